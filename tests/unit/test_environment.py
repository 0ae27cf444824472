from pathlib import Path

import pytest

from farm.config import Config
from farm.scheduler.control import ListedNode
from farm.watch.activity import Host
from farm.watch.activity.daemons import from_list
from farm.workstation.env.variables import ICECC_WRAPPERS, Slots, compile_environment, count_slots, uses_ccache


def node(name: str, jobs: int = 0, max_jobs: int = 4, load: int = 0) -> Host:
    return from_list(ListedNode(name, "10.77.0.9", 10245, "x86_64", 0.0, jobs, max_jobs, load))


def programs(folder: Path, **links: str) -> str:
    """A PATH entry where some names are links to others."""
    folder.mkdir()
    for name, target in links.items():
        file = folder / target
        file.touch()
        file.chmod(0o755)
        if name != target:
            (folder / name.replace("xx", "++")).symlink_to(target)
    return str(folder)


def test_slots_are_those_of_nodes_that_get_jobs() -> None:
    idle = [node("full", load=1000), node("z", max_jobs=0)]
    listed = [node("submitter-lab"), node("a", jobs=1), node("b", jobs=5), *idle]
    slots = count_slots(listed, Config(name="lab").submitter)
    assert slots == Slots(nodes=2, total=8, free=3)
    assert (slots.parallel_jobs(cpus=2), slots.parallel_jobs(cpus=16)) == (5, 16)


@pytest.mark.parametrize(
    ("listed", "obstacle"),
    [([], "has not logged in"), ([node("a")], "has not logged in"), ([node("me"), node("a", load=1000)], "No node is")],
)
def test_what_stands_in_the_way(listed: list[Host], obstacle: str) -> None:
    slots = count_slots(listed, "me")
    assert obstacle in slots.obstacle
    assert slots.overloaded == any(each.load == 1000 for each in listed)
    assert slots.parallel_jobs(cpus=2) == 2


def test_icecc_comes_first_in_path() -> None:
    found = compile_environment({"PATH": f"/opt/bin:{ICECC_WRAPPERS}/:/nowhere"}, remote=True, jobs=6)
    assert found == {"PATH": f"{ICECC_WRAPPERS}:/opt/bin:/nowhere", "FARM_JOBS": "6"}


def test_ccache_calls_icecc_and_nothing_else_does() -> None:
    found = compile_environment({"PATH": f"{ICECC_WRAPPERS}:/nowhere"}, remote=True, jobs=6, ccache=True)
    assert found == {"PATH": "/nowhere", "CCACHE_PREFIX": "icecc", "FARM_JOBS": "6"}


def test_icecc_is_not_called_by_itself() -> None:
    base = {"PATH": f"{ICECC_WRAPPERS}:/nowhere", "CMAKE_C_COMPILER_LAUNCHER": "/usr/bin/icecc"}
    assert compile_environment(base, remote=True, jobs=6) == {**base, "PATH": "/nowhere", "FARM_JOBS": "6"}


def test_without_nodes_icecc_is_switched_off() -> None:
    found = compile_environment({"PATH": "/nowhere"}, remote=False, jobs=2)
    assert found == {"PATH": "/nowhere", "ICECC": "disable", "FARM_JOBS": "2"}


def test_make_is_told_on_request_only() -> None:
    base = {"PATH": "/nowhere", "MAKEFLAGS": "k"}
    assert compile_environment(base, remote=True, jobs=6)["MAKEFLAGS"] == "k"
    assert compile_environment(base, remote=True, jobs=6, make=True)["MAKEFLAGS"] == "k -j6"
    assert compile_environment({}, remote=False, jobs=6, make=True)["MAKEFLAGS"] == "-j6"
    inside = {**base, "MAKEFLAGS": " -- A=1"}
    assert compile_environment(inside, remote=True, jobs=6, make=True)["MAKEFLAGS"] == "-j6 -- A=1"


def test_one_name_for_one_compiler(tmp_path: Path) -> None:
    base = {"PATH": programs(tmp_path / "bin", gcc="gcc-12", cc="gcc-12", gxx="g++-12", cxx="clang++")}
    found = compile_environment(base, remote=True, jobs=1)
    assert (found["CC"], "CXX" in found) == ("gcc", False)
    assert compile_environment({**base, "CC": "clang"}, remote=True, jobs=1)["CC"] == "clang"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CCACHE_PREFIX": "icecc"}, True),
        ({"CC": "ccache gcc"}, True),
        ({"CMAKE_CXX_COMPILER_LAUNCHER": "/usr/bin/ccache"}, True),
        ({"CC": "gcc", "CXX": ""}, False),
    ],
)
def test_ccache_is_seen_in_the_environment(environment: dict[str, str], expected: bool) -> None:
    assert uses_ccache({"PATH": "/nowhere", **environment}) == expected


def test_ccache_is_seen_in_path(tmp_path: Path) -> None:
    cached, plain = programs(tmp_path / "a", gcc="ccache"), programs(tmp_path / "b", gcc="gcc-12")
    assert uses_ccache({"PATH": f"{ICECC_WRAPPERS}:{cached}:{plain}"})
    assert not uses_ccache({"PATH": f"{plain}:{cached}"})
