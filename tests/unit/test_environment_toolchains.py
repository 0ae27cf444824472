"""Compilers, and how ICECC_VERSION tells them apart."""

from pathlib import Path

import msgspec
import pytest

from farm.errors import FarmError
from farm.workstation.env.toolchains import (
    KeptEnvironment,
    find_compiler,
    icecc_version,
    is_current,
    kept_environments,
    link_names,
    prune,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Compilers, one of them with a version, one with a triplet, and something else."""
    for name in ("gcc", "g++", "gcc-12", "g++-12", "arm-none-eabi-gcc", "clang-14", "clang++-14", "tcc"):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\necho {name} 1.0\n")
        file.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("word", "triplet", "names", "prefixes"),
    [
        ("gcc", "", ["gcc", "g++"], []),
        ("gcc-12", "", ["gcc-12", "g++-12"], ["gcc", "g++"]),
        ("clang-14", "", ["clang-14", "clang++-14"], ["clang", "clang++"]),
        ("arm-none-eabi-gcc", "", ["arm-none-eabi-gcc"], ["arm-none-eabi"]),
        ("arm-none-eabi-gcc", "arm-none-eabi", ["arm-none-eabi-gcc"], ["arm-none-eabi"]),
        ("gcc-12", "a-b", ["a-b-gcc", "a-b-g++"], ["a-b", "a-b"]),
    ],
)
def test_names_and_prefixes(folder: Path, word: str, triplet: str, names: list[str], prefixes: list[str]) -> None:
    found = find_compiler(word, str(folder), triplet)
    assert (list(found.names), found.prefixes) == (names, prefixes)
    assert find_compiler(str(folder / word), "/nowhere", triplet) == found


@pytest.mark.parametrize(("word", "why"), [("tcc", "icecc does not recognise tcc"), ("gcc-99", "There is no compiler")])
def test_what_is_no_compiler(folder: Path, word: str, why: str) -> None:
    with pytest.raises(FarmError, match=why):
        find_compiler(word, str(folder))


def test_the_variable_says_which_archive_is_whose(folder: Path) -> None:
    path, native, other = str(folder), Path("/e/n.tar.gz"), Path("/e/o.tar.gz")
    version, cross = find_compiler("gcc-12", path), find_compiler("arm-none-eabi-gcc", path)
    assert icecc_version(native, []) == "/e/n.tar.gz"
    assert icecc_version(native, [(version, other), (cross, native)]) == (
        "/e/n.tar.gz,/e/o.tar.gz=gcc,/e/o.tar.gz=g++,/e/n.tar.gz=arm-none-eabi"
    )


def test_two_compilers_with_one_prefix_are_refused(folder: Path) -> None:
    one = find_compiler("gcc-12", str(folder))
    with pytest.raises(FarmError, match="cannot distinguish gcc-12 from the other gcc-"):
        icecc_version(Path("/n.tar"), [(one, Path("/a.tar")), (one, Path("/b.tar"))])


@pytest.mark.parametrize("place", ["/a,b", "/a:b", "/a=b"])
def test_a_path_that_would_be_taken_apart_is_refused(folder: Path, place: str) -> None:
    with pytest.raises(FarmError, match="cannot be used in ICECC_VERSION"):
        icecc_version(Path(f"{place}/n.tar"), [])


def test_links_are_made_once(tmp_path: Path) -> None:
    first = link_names({"gcc-12": Path("/usr/bin/icecc")}, tmp_path)
    assert (first / "gcc-12").readlink() == Path("/usr/bin/icecc")
    assert link_names({"gcc-12": Path("/usr/bin/icecc")}, tmp_path) == first
    assert link_names({"gcc-12": Path("/usr/bin/ccache")}, tmp_path) != first
    assert len(list(tmp_path.iterdir())) == 2


def test_environments_of_compilers_that_changed_are_removed(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    gone = KeptEnvironment(compiler="/gone/gcc", version="1", digest="00", archive="a.tar.gz", bytes=3, made=1.0)
    changed = KeptEnvironment(
        compiler=str(folder / "gcc"), version="0.9", digest="11", archive="b.tar.gz", bytes=3, made=2.0
    )
    for record in (gone, changed):
        (kept / f"{record.digest}.json").write_bytes(msgspec.json.encode(record))
        (kept / record.archive).touch()
    (kept / "broken.json").write_text("{")
    (kept / "foul.json").write_bytes(b'{"compiler": "\xff"}')
    assert [record.digest for record in kept_environments(kept)] == ["00", "11"]
    assert [is_current(record) for record in (gone, changed)] == [False, False]
    assert prune(kept) == ["a.tar.gz", "b.tar.gz"]
    assert (kept_environments(kept), prune(kept), prune(tmp_path / "none")) == ([], [], [])
