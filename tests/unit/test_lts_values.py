"""The variables of lts.conf from the server's file to a node's programs."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config import Config, GroupConfig, MachineConfig
from farm.config.lts_file import LTS_FILE
from farm.netboot.settings import machine_settings
from farm.node.lts.precedence import KnownMachine
from farm.node.lts.reading import MAX_LTS_BYTES
from farm.node.session.lts_values import FILE, SECRETS, LtsValues, settle, told_values
from farm.node.settings import parse_settings

CONF = """
[default]
  LDM_DIRECTX = yes   # as ever
  SCREEN_07 = ldm
  SCREEN_02 = shell
  LDM_SERVER = "10.0.0.1 10.0.0.2"
  LDM_SESSION = NONE
  VOLUME = 200
[52:54:00:00:00:01]
  LDM_PASSWORD = "a \\"b\\" $c"
[pc0*]
  LANG = de_DE.UTF-8
"""
PC = KnownMachine("pc01", "10.0.0.5", "52:54:00:00:00:01")


def settled(root: Path, conf: str = CONF) -> LtsValues:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/lts.conf").write_text(conf)
    settle(str(root), PC)
    return told_values(str(root))


def test_a_machine_reads_what_its_server_wrote(tmp_path: Path) -> None:
    told = settled(tmp_path)
    assert told.is_on("LDM_DIRECTX")
    assert not told.is_on("SOUND")
    assert told.is_on("SOUND", default=True)
    assert {2: "shell", 7: "ldm"} == told.numbered("SCREEN_#")
    assert ["10.0.0.1", "10.0.0.2"] == told.words("LDM_SERVER")
    assert "xfce" == told.text("LDM_SESSION", "xfce")
    assert "de_DE.UTF-8" == told.text("LANG")
    assert (75, 200) == (told.number("VOLUME", 0, 100, 75), told.number("VOLUME", 0, 200, 75))
    assert 'a "b" $c' == told.text("LDM_PASSWORD")


def test_passwords_are_for_root_alone(tmp_path: Path) -> None:
    settled(tmp_path)
    assert 0o600 == (tmp_path / SECRETS).stat().st_mode & 0o777
    assert {"LDM_PASSWORD"} == set(json.loads((tmp_path / SECRETS).read_text()))
    assert "LDM_PASSWORD" not in (tmp_path / FILE).read_text()


def test_without_a_file_nothing_is_set(tmp_path: Path) -> None:
    assert {} == told_values(str(tmp_path)).found
    settle(str(tmp_path), PC)
    assert {} == told_values(str(tmp_path)).found
    settled(tmp_path)
    os.unlink(tmp_path / "etc/lts.conf")
    settle(str(tmp_path), PC)
    assert {} == told_values(str(tmp_path)).found


@given(st.binary(max_size=300))
def test_whatever_the_file_holds_a_machine_starts(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        Path(name, "etc").mkdir()
        Path(name, "etc/lts.conf").write_bytes(content)
        settle(name, PC)
        assert all(isinstance(each, str) for each in told_values(name).found.values())


@pytest.mark.parametrize("sign", ["é", "\\\\", "\x01", "\U0001f600"])
def test_a_file_as_long_as_can_be_is_read_whole(tmp_path: Path, sign: str) -> None:
    most = (MAX_LTS_BYTES - 100) // len(sign.encode())
    told = settled(tmp_path, f'[default]\n  A = "{sign * most}"\n  LDM_PASSWORD = secret\n')
    assert {"A", "LDM_PASSWORD"} == set(told.found)
    assert told.text("A").count(sign[0])


@pytest.mark.parametrize("written", ["", "x", "1.5", "-1", "101", "9" * 30, "٣"])
def test_what_is_no_number_counts_as_not_set(written: str) -> None:
    assert 75 == LtsValues({"VOLUME": written}).number("VOLUME", 0, 100, 75)


def test_machines_with_sessions_are_given_the_file_and_others_are_not() -> None:
    config = Config(
        machines=[MachineConfig(mac=PC.mac, name="pc01")],
        groups={"desks": GroupConfig(machines=["pc01"], image="thin-client")},
    )
    sha256 = hashlib.sha256(CONF.encode()).hexdigest()
    told = machine_settings(config, "ssh-ed25519 AAAAC3Nz farm", hashes={LTS_FILE: sha256})
    assert "files" not in told["default.json"]
    given = [{"path": "/etc/lts.conf", "sha256": sha256, "mode": "0644"}]
    assert given == parse_settings(json.dumps(told["52-54-00-00-00-01.json"]).encode()).files
    assert "files" not in machine_settings(config, "ssh-ed25519 AAAAC3Nz farm")["52-54-00-00-00-01.json"]
