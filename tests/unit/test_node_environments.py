from __future__ import annotations

import os
from pathlib import Path

import msgspec

from farm.node.environments import MAX_ENVIRONMENTS, Environments
from farm.watch.node_telemetry import CompileTold

LONG_AGO = (1_700_000_000, 1_700_000_000)


def unpack(folder: Path, name: str, size: int, target: str = "x86_64") -> Path:
    path = folder / f"target={target}" / name
    (path / "usr" / "bin").mkdir(parents=True)
    (path / "usr" / "bin" / "gcc").write_bytes(b"x" * size)
    (path / "lib64").symlink_to("usr/lib64")
    return path


def test_environments_are_named_with_what_they_take(tmp_path: Path) -> None:
    unpack(tmp_path, "b" * 32, 8192)
    unpack(tmp_path, "a" * 32, 4096, target="i686")
    (tmp_path / "native").mkdir()
    (tmp_path / "target=x86_64" / "stray").write_text("no folder")

    assert [{"name": "a" * 32, "bytes": 4096}, {"name": "b" * 32, "bytes": 8192}] == Environments(str(tmp_path)).look()


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert [] == Environments(str(tmp_path / "none")).look()


def test_one_that_is_being_unpacked_is_looked_at_again_a_settled_one_is_not(tmp_path: Path) -> None:
    environments = Environments(str(tmp_path))
    path = unpack(tmp_path, "a" * 32, 4096)
    assert [4096] == [each["bytes"] for each in environments.look()]
    (path / "usr" / "bin" / "as").write_bytes(b"x" * 4096)
    assert [8192] == [each["bytes"] for each in environments.look()]

    os.utime(path, LONG_AGO)
    assert [8192] == [each["bytes"] for each in environments.look()]
    (path / "usr" / "bin" / "ld").write_bytes(b"x" * 4096)
    assert [8192] == [each["bytes"] for each in environments.look()], "it is remembered"


def test_no_more_are_told_than_farmd_takes(tmp_path: Path) -> None:
    for number in range(MAX_ENVIRONMENTS + 3):
        (tmp_path / "target=x86_64" / f"{number:032x}").mkdir(parents=True)
    told = {"ready": True, "environments": Environments(str(tmp_path)).look()}

    assert MAX_ENVIRONMENTS == len(msgspec.convert(told, CompileTold).environments)
