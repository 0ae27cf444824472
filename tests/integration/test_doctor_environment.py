"""Environments that no node can use are told apart from good ones, by using them as a node does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.doctor.check import State
from farm.doctor.workstation.environment import examine, examine_named
from tests.lab import AS_NOBODY


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What icecc packs of this machine's gcc, unpacked."""
    folder = tmp_path_factory.mktemp("packed")
    environment = {**os.environ, "ICECC_ENV_COMPRESSION": "none"}
    subprocess.run(["icecc", "--build-native", "gcc"], cwd=folder, env=environment, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar")
    root = folder / "root"
    root.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", root], check=True)
    archive.unlink()
    return root


def archive(packed: Path, folder: Path, change: Callable[[Path], object]) -> Path:
    """One with something changed."""
    root = folder / "root"
    subprocess.run(["cp", "-al", packed, root], check=True)
    change(root)
    path = folder / "environment.tar"
    subprocess.run(["tar", "-cf", path, "-C", root, "."], check=True)
    shutil.rmtree(root)
    return path


def remove(*names: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for name in names:
            next(root.rglob(name)).unlink()

    return change


def link(name: str, target: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).unlink()
        (root / name).symlink_to(target)

    return change


def not_executable(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).unlink()  # the same file is in other trees
        (root / name).write_bytes(content)

    return change


def as_clang(root: Path) -> None:
    """This machine may have no clang: gcc's driver takes the same words from a node."""
    (root / "usr/bin/gcc").rename(root / "usr/bin/clang")
    (root / "usr/bin/g++").unlink()


def split_usr(root: Path) -> None:
    """As on a system where /bin is a link."""
    (root / "bin/true").rename(root / "usr/bin/true")
    (root / "bin").rmdir()
    (root / "bin").symlink_to("usr/bin")


def clang_without(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        as_clang(root)
        remove(name)(root)

    return change


@pytest.mark.parametrize("change", [lambda root: None, as_clang, split_usr, remove("g++", "cc1plus")])
def test_good_ones(packed: Path, tmp_path: Path, change: Callable[[Path], object]) -> None:
    found = examine(archive(packed, tmp_path, change), "unset ICECC_VERSION")
    assert State.OK == found.state, found
    assert "environment compiles" in found.seen[-1]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (link("bin/true", "../usr/bin/true"), "its bin/true is a broken link"),
        (link("bin/true", "/bin/true"), "its bin/true is a broken link"),
        (remove("true"), "bin/true is missing"),
        (remove("cc1"), "its gcc does not compile"),
        (remove("cc1plus"), "its g++ does not compile"),
        (remove("libmpfr.so.6"), "its gcc does not compile"),
        (remove("libc.so.6"), "its bin/true, with which nodes test it, does not run"),
        (remove("libbfd*"), "its assembler does not run"),
        (remove("as"), "assembler is missing"),
        (remove("bin/gcc", "bin/g++"), "there is no compiler"),
        (not_executable("usr/bin/gcc"), "its gcc is not executable"),
        (clang_without("cc1"), "its clang does not compile"),
        (clang_without("libmpfr.so.6"), "its clang does not compile"),
    ],
)
def test_what_no_node_can_use(packed: Path, tmp_path: Path, change: Callable[[Path], object], what: str) -> None:
    found = examine(archive(packed, tmp_path, change), "unset ICECC_VERSION")
    assert (State.FAIL, True) == (found.state, what in found.cause), found
    assert "unset ICECC_VERSION" == found.command


EXAMINE = """import sys
import tempfile
from pathlib import Path
from farm.doctor.workstation.environment import examine
print(*examine(Path(sys.argv[1]), "").seen)
"""


def test_without_root(packed: Path) -> None:
    """In a user namespace; where none may be made, what was not tried is said."""
    with tempfile.TemporaryDirectory(prefix="farm-test-") as name:
        folder = Path(name)
        path = archive(packed, folder, lambda root: None)
        denied = folder / "unshare"
        denied.write_text("#!/bin/sh\nexit 1\n")
        for each, mode in ((folder, 0o755), (path, 0o644), (denied, 0o755)):
            each.chmod(mode)
        usual = os.environ["PATH"]
        for search, told in ((usual, "environment compiles"), (f"{folder}:{usual}", "only root can run them here")):
            argv = [*AS_NOBODY, sys.executable, "-c", EXAMINE, str(path)]
            environment = {**os.environ, "PATH": search}
            done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
            assert told in done.stdout, done.stderr


def test_one_for_another_processor(packed: Path, tmp_path: Path) -> None:
    found = examine(archive(packed, tmp_path, lambda root: None), "", "aarch64")
    assert (State.OK, True) == (found.state, "only a machine that is aarch64 can run it" in found.seen[0])


def test_what_icecc_does_not_take(tmp_path: Path) -> None:
    """A link, however good what it leads to, and a file that is too small to be an archive."""
    (tmp_path / "small.tar").write_bytes(b"x" * 499)
    (tmp_path / "whole.tar").write_bytes(b"x" * 1000)
    (tmp_path / "link.tar").symlink_to("whole.tar")
    for name in ("small.tar", "link.tar"):
        (found,) = examine_named(str(tmp_path / name))
        assert (State.FAIL, True) == (found.state, "icecc takes neither" in found.cause), found
    (found,) = examine_named(str(tmp_path / "whole.tar"))
    assert "cannot be unpacked" in found.cause
