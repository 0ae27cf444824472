"""The commands that `farm doctor` prints are typed: what was found is then gone, and calls go to icecc once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from farm.doctor.check import ChosenChecks, Examination, Result
from farm.doctor.workstation.facts import WorkstationFacts
from farm.doctor.workstation.shell import CHECKS

WRAPPERS = "/usr/lib/icecc/bin"
WRAPPED = f"{WRAPPERS}:/usr/local/bin:/usr/bin:/bin"
PLAIN = "/usr/local/bin:/usr/bin:/bin"
CMAKE = "cmake_minimum_required(VERSION 3.20)\nproject(p C CXX)\nadd_library(part STATIC part.c)\n"


def examined(folder: Path, code: str, shell: dict[str, str]) -> Result:
    """What a check of the shell finds; no farm is needed for those."""
    facts = WorkstationFacts(environment=shell, folder=folder, membership=None)
    results = Examination(CHECKS, facts, ChosenChecks(only=frozenset({code}))).run(lambda _: None, lambda _: None)
    return next(result for result in results if result.code == code)


def typed(command: str, folder: Path, shell: dict[str, str]) -> dict[str, str]:
    """The environment of a shell in which a command was typed."""
    argv = ["/bin/sh", "-ec", f"{command}; exec /usr/bin/env -0"]
    done = subprocess.run(argv, cwd=folder, env=shell, capture_output=True, text=True, check=True)
    lines = done.stdout[done.stdout.rfind("\n\n") + 1 :].split("\0")
    return dict(line.rpartition("\n")[2].split("=", 1) for line in lines if "=" in line)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "part.c").write_text("int part(void) { return 1; }\n")
    (tmp_path / "CMakeLists.txt").write_text(CMAKE)
    return tmp_path


@pytest.mark.parametrize(
    ("code", "shell"),
    [
        ("icecc-settings", {"ICECC": "disable"}),
        ("icecc-settings", {"ICECC": "no"}),
        ("icecc-settings", {"ICECC_PREFERRED_HOST": "pc01"}),
        ("compiler-path", {"CC": "/usr/bin/gcc"}),
        ("compiler-path", {"CC": "/usr/bin/clang", "CXX": "clang++"}),
        ("compiler-path", {"CXX": "/usr/bin/g++-12 -m64"}),
        ("compiler-path", {"CC": "gcc-12"}),
        ("compiler-path", {"CC": "clang-14"}),
        ("ccache-order", {"CCACHE_PREFIX": "icecc"}),
        ("ccache-order", {"CCACHE_PREFIX": "icecc", "PATH": f"/usr/lib/ccache:{WRAPPED}"}),
        ("ccache-order", {"CCACHE_PREFIX": "icecc", "PATH": PLAIN, "CC": "ccache icecc gcc"}),
        ("ccache-order", {"CC": "icecc icecc gcc", "PATH": PLAIN}),
        ("ccache-order", {"CC": f"icecc {WRAPPERS}/gcc"}),
        ("ccache-order", {"CMAKE_C_COMPILER_LAUNCHER": "icecc", "CMAKE_CXX_COMPILER_LAUNCHER": "icecc"}),
        ("ccache-order", {"CCACHE_PREFIX": "icecc", "PATH": PLAIN, "CMAKE_C_COMPILER_LAUNCHER": "ccache;icecc"}),
        ("ccache-order", {"PATH": f"{WRAPPERS}:/usr/lib/ccache:{PLAIN}"}),
    ],
)
def test_a_shell(place: Path, code: str, shell: dict[str, str]) -> None:
    before = {"PATH": WRAPPED, "HOME": str(place), **shell}
    found = examined(place, code, before)
    assert found.state in ("fail", "warn"), found
    after = typed(found.command, place, before)
    for each in (code, "compiler-path", "ccache-order"):
        assert examined(place, each, after).state == "ok", (found.command, examined(place, each, after))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("path", [WRAPPED, PLAIN])
def test_a_build_folder_without_icecc(place: Path, compiler: str, path: str) -> None:
    """Its other settings stay, and it still builds: with icecc, whose log tells of each call."""
    shell = {"PATH": path, "HOME": str(place)}
    options = [f"-DCMAKE_C_COMPILER=/usr/bin/{compiler}", "-DCMAKE_BUILD_TYPE=Debug", "-DFOR_ME=kept"]
    _follow(place, shell, options)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_build_folder_that_meets_icecc_twice(place: Path, compiler: str) -> None:
    shell = {"PATH": WRAPPED, "HOME": str(place)}
    launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=icecc", "-DCMAKE_CXX_COMPILER_LAUNCHER=icecc"]
    _follow(place, shell, [f"-DCMAKE_C_COMPILER={WRAPPERS}/{compiler}", *launcher, "-DFOR_ME=kept"])


def _follow(place: Path, shell: dict[str, str], options: list[str]) -> None:
    # What meets icecc twice cannot be configured to the end, but its cache is there all the same.
    subprocess.run(["cmake", "-B", "build", *options], cwd=place, env={**shell, "PATH": PLAIN}, check=False)
    found = examined(place, "cmake-cache", shell)
    assert found.state == "fail", found
    subprocess.run(["sh", "-ec", found.command], cwd=place, env=shell, check=True)
    assert examined(place, "cmake-cache", shell).state == "ok"
    assert "FOR_ME:UNINITIALIZED=kept" in (place / "build/CMakeCache.txt").read_text()
    log = place / "icecc.log"
    told = {**shell, "ICECC_LOGFILE": str(log), "ICECC_DEBUG": "debug"}
    subprocess.run(["cmake", "--build", "build", "--target", "part"], cwd=place, env=told, check=True)
    assert log.read_text().count("invoked as: ") == 1


def test_a_shell_whose_calls_do_not_go_to_icecc(place: Path) -> None:
    """It is a warning: `farm env` needs a farm, which tests/integration/test_env.py has."""
    found = examined(place, "compiler-path", {"PATH": PLAIN, "HOME": str(place)})
    assert (found.state, found.command) == ("warn", 'eval "$(farm env)"')
