"""net.core.rmem_max belongs to the machine: farms raise it together and leave it as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farm.errors import FarmError
from farm.export import socket_buffer
from farm.export.socket_buffer import allow_socket_buffer, release_socket_buffer

BEFORE = 212992


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the place of the kernel's, which other programs on this machine rely on."""
    path = tmp_path / "rmem_max"
    path.write_text(f"{BEFORE}\n")
    monkeypatch.setattr(socket_buffer, "RMEM_MAX", path)
    monkeypatch.setattr(socket_buffer, "RECORD", tmp_path / "record.json")
    return path


@pytest.fixture
def farms(tmp_path: Path) -> tuple[Path, Path]:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    return one, two


def test_it_is_raised_and_restored(setting: Path, farms: tuple[Path, Path]) -> None:
    allow_socket_buffer(1536000, farms[0])
    allow_socket_buffer(1536000, farms[0])
    assert "1536000\n" == setting.read_text()

    release_socket_buffer(farms[0])

    assert f"{BEFORE}\n" == setting.read_text()
    assert not socket_buffer.RECORD.exists()


def test_what_is_high_enough_is_left_alone(setting: Path, farms: tuple[Path, Path]) -> None:
    allow_socket_buffer(1000, farms[0])
    release_socket_buffer(farms[0])

    assert f"{BEFORE}\n" == setting.read_text()


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_farms_each_keeps_what_it_needs(setting: Path, farms: tuple[Path, Path], first: int) -> None:
    allow_socket_buffer(9216000, farms[0])
    allow_socket_buffer(1536000, farms[1])

    release_socket_buffer(farms[first])
    assert ("1536000\n", "9216000\n")[first] == setting.read_text()

    release_socket_buffer(farms[1 - first])
    assert f"{BEFORE}\n" == setting.read_text()


def test_a_farm_whose_home_was_deleted_keeps_nothing(setting: Path, farms: tuple[Path, Path]) -> None:
    allow_socket_buffer(9216000, farms[0])
    allow_socket_buffer(1536000, farms[1])
    farms[0].rmdir()

    release_socket_buffer(farms[1])

    assert f"{BEFORE}\n" == setting.read_text()


def test_what_somebody_set_meanwhile_stays(setting: Path, farms: tuple[Path, Path]) -> None:
    allow_socket_buffer(1536000, farms[0])
    setting.write_text("8000000\n")

    release_socket_buffer(farms[0])

    assert "8000000\n" == setting.read_text()
    assert not socket_buffer.RECORD.exists()


def test_what_somebody_lowered_is_raised_again_and_restored_to_that(setting: Path, farms: tuple[Path, Path]) -> None:
    allow_socket_buffer(1536000, farms[0])
    setting.write_text("300000\n")

    allow_socket_buffer(1536000, farms[0])
    assert "1536000\n" == setting.read_text()
    release_socket_buffer(farms[0])

    assert "300000\n" == setting.read_text()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"boot": "an earlier one", "before": 1, "set": 2, "needs": {}}'])
def test_a_record_of_no_use_is_none(setting: Path, farms: tuple[Path, Path], content: str) -> None:
    socket_buffer.RECORD.write_text(content)

    allow_socket_buffer(1536000, farms[0])
    release_socket_buffer(farms[0])

    assert f"{BEFORE}\n" == setting.read_text()


def test_a_machine_that_forbids_it_is_named(
    setting: Path, farms: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(*_: object) -> int:
        raise PermissionError("Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(type(setting), "write_text", forbid)
        with pytest.raises(FarmError, match="limit for socket buffers") as caught:
            allow_socket_buffer(1536000, farms[0])

    assert "sysctl net.core.rmem_max=1536000" in caught.value.fix
    assert os.access(setting, os.R_OK)
