"""The commands by which a fat session has its mark, its key and its home: nothing of a name becomes part of them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.session.fat import lock_server
from farm.node.session.fat.fat_home import mount_command
from farm.node.session.fat.server_account import parse_account
from farm.node.session.fat.session_keeper import mark_command
from farm.node.session.fat.session_key import edit_command
from farm.node.session.lts_values import LtsValues
from farm.node.session.session_settings import SessionServer
from tests.unit.test_server_account import SAID

KEY = "ssh-ed25519 " + "A" * 68


@given(st.text())
def test_a_machines_name_is_a_word_and_nothing_else(name: str) -> None:
    mark, edit = shlex.split(mark_command(name)), shlex.split(edit_command("", name))

    assert ["exec", "env", "sh", "-c"] == [mark[0], mark[1], mark[3], mark[4]]
    assert 6 == len(mark)
    assert ["exec", "env", "sh", "-c"] == [*edit[:2], *edit[6:8]]
    assert 9 == len(edit)


def test_a_name_that_is_none_marks_no_machine() -> None:
    assert "FARM_NAME=pc01" in shlex.split(mark_command("pc01"))
    assert "FARM_NAME=" in shlex.split(mark_command("pc 01;id"))
    assert "mark=farm-session@unnamed" in shlex.split(edit_command("", ".*"))


def test_a_new_key_removes_those_of_all_machines_and_a_log_out_only_its_own() -> None:
    assert "gone=farm-session@[a-z0-9-]*" in shlex.split(edit_command("ssh-ed25519 AAAA", "pc01", alone=True))
    assert "gone=farm-session@pc01" in shlex.split(edit_command("ssh-ed25519 AAAA", "pc01"))
    assert "gone=farm-session@pc01" in shlex.split(edit_command("", "pc01"))


def test_a_home_comes_by_sshfs_unless_lts_conf_says_nfs() -> None:
    account = parse_account("bob", SAID)
    assert account

    by_ssh = mount_command(account, "server", LtsValues({}))
    by_nfs = mount_command(account, "server", LtsValues({"NFS_HOME": "True"}))

    assert ["mount.fuse3", "sshfs#server:", "/home/staff/bob"] == by_ssh[:3]
    assert ["server:/home/staff/bob", "/home/staff/bob"] == by_nfs[-2:]
    assert all({"nosuid", "nodev"} <= set(",".join(each).split(",")) for each in (by_ssh, by_nfs))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"user": "bob"}',
        '{"user": "-oProxyCommand=x", "options": [], "servers": [{"host": "server", "host_keys": []}]}',
        '{"user": "bob", "options": [], "servers": [{"host": "-oProxyCommand=x", "host_keys": []}]}',
    ],
)
def test_a_lock_without_a_valid_server_opens_to_nobody(text: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(text)

    assert ("", None) == lock_server.told_server(str(tmp_path / "lock"))
    assert not lock_server.opens_by_itself(str(tmp_path / "lock"))


def test_a_lock_opens_by_itself_where_nobody_typed_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_server, "FILE", str(tmp_path / "lock"))
    for unattended in (True, False):
        lock_server.tell("guest1", SessionServer("server", 22, (KEY,)), unattended)
        assert lock_server.opens_by_itself(lock_server.FILE) is unattended
        assert "guest1" == lock_server.told_server(lock_server.FILE)[0]
