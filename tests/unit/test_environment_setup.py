"""What `farm env` decides and writes, without a farm."""

import json
import os
import shlex
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FarmError
from farm.workstation.env import formats, variables
from farm.workstation.env.setup import Setup, Wish, set_up
from farm.workstation.env.shell_undo import VARIABLE, applied, changes_back, with_record
from farm.workstation.env.variables import Slots, compile_environment, socket_variable
from farm.workstation.membership import Membership

TEXT = st.binary().map(lambda content: os.fsdecode(content.replace(b"\0", b"")))
"""Whatever may stand in an environment."""
NAMES = st.sampled_from(["PATH", "CC", "CXX", "CCACHE_PREFIX", "FARM_JOBS"])


def member(path: str) -> Membership:
    return Membership(farm="f", netname="n", scheduler="10.0.0.1", port=8765, submitter="me", socket=path, how="user")


def setup_of(**changes: object) -> Setup:
    facts = {
        "farm": "lab",
        "changes": {"PATH": "/usr/lib/icecc/bin:/usr/bin", "FARM_JOBS": "6", "CC": "gcc"},
        "added": ("/usr/lib/icecc/bin",),
        "launcher": "icecc",
        "cc": ("/usr/bin/gcc",),
        "cxx": ("/usr/bin/g++",),
        "jobs": 6,
        "slots": Slots(nodes=2, total=4, free=4),
        "why": (),
    }
    return Setup(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_iceccd_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that tests may well have one."""
    monkeypatch.setattr(variables, "SYSTEM_SOCKETS", ())


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder for PATH with icecc, ccache and compilers in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("icecc", "ccache", "gcc-12", "g++-12"):
        (folder / name).touch(mode=0o755)
    for name, target in (("gcc", "gcc-12"), ("cc", "gcc-12"), ("g++", "g++-12"), ("c++", "g++-12")):
        (folder / name).symlink_to(target)
    return folder


def made(machine: Path, wish: Wish, **base: str) -> Setup:
    slots = Slots(nodes=1, total=4, free=4)
    home = machine.parent
    there = member(f"{home}/.iceccd.socket")
    return set_up({"PATH": str(machine), "HOME": str(home), **base}, there, slots, wish, cpus=2, cache=home / "cache")


@pytest.mark.parametrize(
    ("free", "cpus", "jobs", "reason"),
    [(10, 4, 12, "10 of"), (100, 2, 16, "each can preprocess"), (0, 8, 8, "this machine has 8"), (1, 1, 3, "1 of")],
)
def test_as_many_jobs_as_slots_are_free_and_this_machine_can_feed(free: int, cpus: int, jobs: int, reason: str) -> None:
    slots = Slots(nodes=3, total=120, free=free)
    assert slots.parallel_jobs(cpus) == jobs
    assert reason in slots.why_parallel_jobs(cpus)


def test_without_nodes_there_are_as_many_jobs_as_processors() -> None:
    assert "no node takes jobs" in Slots(obstacle="No node is ready.").why_parallel_jobs(2)


def test_a_compiler_named_by_its_path_is_named_by_its_name(machine: Path) -> None:
    base = {"PATH": str(machine), "CC": f"{machine}/gcc", "CXX": "/elsewhere/g++"}
    found = compile_environment(base, remote=True, jobs=1)
    assert (found["CC"], found["CXX"]) == ("gcc", "/elsewhere/g++")
    with_options = compile_environment({**base, "CC": f"{machine}/gcc -m32 -pipe"}, remote=True, jobs=1)
    assert with_options["CC"] == "gcc -m32 -pipe"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", ["gcc"]),
        ("gcc -m32", ["gcc", "-m32"]),
        ("ccache gcc-12 -m32", ["gcc-12", "-m32"]),
        ("env LC_ALL=C ccache gcc", ["gcc"]),
        ("no-such-compiler -m32", ["gcc"]),
    ],
)
def test_build_systems_are_told_of_the_compilers_own_options(machine: Path, given: str, words: list[str]) -> None:
    found = made(machine, Wish(ccache=False), **({"CC": given} if given else {}))
    assert list(found.cc) == [f"{machine}/{words[0]}", *words[1:]]
    compiler = json.loads(formats.to_presets(found))["configurePresets"][0]["cacheVariables"]["CMAKE_C_COMPILER"]
    assert compiler == ";".join(found.cc)
    assert ", ".join(f"'{word}'" for word in found.cc) in formats.to_meson(found)


def test_the_socket_is_named_only_where_icecc_would_miss_it(tmp_path: Path) -> None:
    own = str(tmp_path / ".iceccd.socket")
    assert socket_variable(member(own), {"HOME": str(tmp_path)}) == {}
    assert socket_variable(member("/other"), {"HOME": str(tmp_path)}) == {"ICECC_TEST_SOCKET": "/other"}
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(own)
        other.listen()
        assert socket_variable(member("/other"), {"HOME": str(tmp_path)}) == {"ICECC_TEST_SOCKET": "/other"}


def test_ccache_comes_in_when_it_is_there_and_icecc_only_behind_it(machine: Path) -> None:
    found = made(machine, Wish())
    assert (found.changes["CCACHE_PREFIX"], found.launcher) == ("icecc", "ccache")
    assert "/usr/lib/icecc/bin" not in str(found.changes["PATH"])
    assert found.call == ["env", "CCACHE_PREFIX=icecc", "ccache"]
    (machine / "ccache").unlink()
    assert made(machine, Wish()).call == ["icecc"]
    with pytest.raises(FarmError, match="ccache is not installed"):
        made(machine, Wish(ccache=True))


def test_without_ccache_nothing_of_it_stays(machine: Path) -> None:
    path = f"/usr/lib/ccache:{machine}"
    found = made(machine, Wish(ccache=False), PATH=path, CCACHE_PREFIX="icecc")
    assert found.changes["PATH"] == f"/usr/lib/icecc/bin:{machine}"
    assert found.changes["CCACHE_PREFIX"] is None


def test_make_is_told_on_request_only(machine: Path) -> None:
    assert "MAKEFLAGS" not in made(machine, Wish()).changes
    told = made(machine, Wish(jobs=9)).changes
    assert (told["MAKEFLAGS"], told["CMAKE_BUILD_PARALLEL_LEVEL"], told["FARM_JOBS"]) == ("-j9", "9", "9")


def test_a_name_that_icecc_has_no_link_of_gets_one(machine: Path) -> None:
    found = made(machine, Wish(ccache=False), CC="gcc-12")
    links = Path(found.added[0])
    assert {link.name: link.readlink() for link in links.iterdir()} == dict.fromkeys(
        ("gcc-12", "g++-12"), machine / "icecc"
    )
    assert (found.cc, "ICECC_VERSION" in found.changes) == ((f"{machine}/gcc-12",), False)
    again = made(machine, Wish(ccache=False), CC="gcc-12", PATH=str(found.changes["PATH"]))
    assert again.changes.get("PATH", found.changes["PATH"]) == found.changes["PATH"]


def test_this_machines_gcc_needs_no_kept_environment(machine: Path) -> None:
    found = made(machine, Wish(ccache=False, compilers=["gcc"]))
    assert (found.changes["CC"], found.changes["CXX"], "ICECC_VERSION" in found.changes) == ("gcc", "g++", False)


def test_icecc_must_be_there(machine: Path) -> None:
    (machine / "icecc").unlink()
    with pytest.raises(FarmError, match="icecc is not installed"):
        made(machine, Wish())


@given(st.dictionaries(NAMES, TEXT), st.dictionaries(NAMES, TEXT | st.none()))
def test_what_was_changed_is_taken_back(base: dict[str, str], changes: dict[str, str | None]) -> None:
    inside = applied(base, with_record(base, changes))
    assert applied(inside, changes_back(inside)) == base


@given(st.dictionaries(NAMES, TEXT), TEXT)
def test_a_record_that_is_none_changes_nothing_else(base: dict[str, str], record: str) -> None:
    assert applied({**base, VARIABLE: record}, changes_back({**base, VARIABLE: record})) == base


def test_what_was_changed_since_stays() -> None:
    base = {"PATH": "/bin", "CC": "gcc"}
    inside = applied(base, with_record(base, {"PATH": "/ice:/bin", "CC": "clang", "CXX": "g++"}))
    inside |= {"PATH": f"/venv:{inside['PATH']}", "CC": "tcc"}
    assert applied(inside, changes_back(inside)) == {"PATH": "/venv:/bin", "CC": "tcc"}


@given(st.dictionaries(st.sampled_from(["CC", "CXX"]), TEXT.filter(lambda text: "\r" not in text)))
def test_a_shell_reads_what_is_written(changes: dict[str, str]) -> None:
    written = formats.to_sh({**changes, "GONE": None})
    words = shlex.split(written.replace("\nexport", " ; export"))
    assert [word.partition("=")[2] for word in words if word.partition("=")[0] in changes] == list(changes.values())


def test_fish_reads_what_is_written(machine: Path) -> None:
    nasty = 'a\'b\\c $d "e" (f)'
    script = formats.to_fish({"NASTY": nasty, "PATH": f"/usr/bin:{machine}"}) + "env"
    env = {**os.environ, "HOME": str(machine)}
    said = subprocess.run(["fish", "-c", script], env=env, text=True, capture_output=True, check=True)
    assert {f"NASTY={nasty}", f"PATH=/usr/bin:{machine}"} <= set(said.stdout.splitlines())


def test_presets_are_added_to_those_that_are_there() -> None:
    there = {
        "version": 2,
        "vendor": {"x": [1]},
        "configurePresets": [{"name": "mine", "generator": "Ninja"}],
        "testPresets": [{"name": "t", "configurePreset": "mine"}],
    }
    first = formats.to_presets(setup_of(), json.dumps(there))
    written = json.loads(first)
    assert {**written, "version": 2} == {
        **there,
        "configurePresets": [*there["configurePresets"], written["configurePresets"][1]],  # type: ignore[misc]
        "buildPresets": [{"name": "farm", "configurePreset": "farm", "jobs": 6}],
    }
    assert written["version"] == formats.PRESETS_VERSION
    assert formats.to_presets(setup_of(), first) == first


def test_what_was_added_to_our_presets_stays() -> None:
    document = json.loads(formats.to_presets(setup_of()))
    preset = document["configurePresets"][0]
    preset |= {"generator": "Ninja", "binaryDir": "/b"}
    preset["cacheVariables"]["MINE"] = "1"
    again = json.loads(formats.to_presets(setup_of(cxx=(), launcher="ccache"), json.dumps(document)))
    found = again["configurePresets"][0]
    assert (found["generator"], found["binaryDir"]) == ("Ninja", "/b")
    assert found["cacheVariables"] == {
        "MINE": "1",
        "CMAKE_C_COMPILER_LAUNCHER": "ccache",
        "CMAKE_CXX_COMPILER_LAUNCHER": "ccache",
        "CMAKE_C_COMPILER": "/usr/bin/gcc",
    }


@pytest.mark.parametrize(
    "there",
    [
        "",
        "{",
        "[]",
        '{"version": "3"}',
        '{"configurePresets": {}}',
        '{"buildPresets": [1]}',
        '{"configurePresets": [{"name": "farm", "cacheVariables": []}]}',
    ],
)
def test_presets_that_cannot_be_understood_are_refused(there: str) -> None:
    with pytest.raises(FarmError, match="cannot be parsed"):
        formats.to_presets(setup_of(), there)


def test_meson_and_direnv() -> None:
    needed = setup_of(launcher="ccache", changes={"CCACHE_PREFIX": "icecc", "GONE": None})
    assert "c = ['env', 'CCACHE_PREFIX=icecc', 'ccache', '/usr/bin/gcc']\n" in formats.to_meson(needed)
    assert "cpp" not in formats.to_meson(setup_of(cxx=()))
    assert formats.to_envrc(setup_of()).endswith(
        "PATH_rm /usr/lib/icecc/bin\nPATH_add /usr/lib/icecc/bin\nexport FARM_JOBS=6\nexport CC=gcc\n"
    )


def test_json_says_what_decided() -> None:
    found = json.loads(formats.to_json(setup_of(why=("6 jobs.",))))
    assert (found["CC"], found["jobs"], found["slots"], found["advice"]) == ("gcc", 6, 4, ["6 jobs."])
