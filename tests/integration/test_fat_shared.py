"""What a fat client shares with others: folders of the server, its printers, and none of the thin client's ways."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fat_room import as_user, emptied, fat_room
from tests.login_room import PASSWORD, SERVER, USER, LoginRoom

SHARED = "/srv/shared"
LOOK = """
import threading
from farm.node.session.room_warning import RoomWatch
RoomWatch().look()
[each.join() for each in threading.enumerate() if each is not threading.current_thread()]
"""
PRINTER = """
import json
from farm.node.session.extras.printers import environment
from farm.node.session.lts_values import told_values
print(json.dumps(environment(told_values())))
"""
SOUND = "import json; from farm.node.session.extras import look_all; print(json.dumps(look_all().get('sound')))"
FILES_SCARCE = "^This computer.s space for files is nearly used up"


@pytest.fixture(scope="module")
def shared() -> Iterator[LoginRoom]:
    """A class shares a folder on the server by a group that the client does not know."""
    with fat_room() as room:
        server = room.server.machine
        server.run("groupadd", "class7")
        server.run("usermod", "-aG", "class7", USER)
        server.run("sh", "-c", f"mkdir -p {SHARED} /srv/secret && chgrp class7 {SHARED} && chmod 2770 {SHARED}")
        server.run("sh", "-c", f"echo exercises > {SHARED}/monday && chmod 700 /srv/secret")
        yield room


@pytest.fixture
def room(shared: LoginRoom) -> LoginRoom:
    return emptied(shared)


def mounts(room: LoginRoom) -> str:
    return room.client.machine.run("cat", "/proc/self/mounts").stdout


def test_a_folder_of_the_server_is_shared_by_its_group_and_seen_by_nobody_else(room: LoginRoom) -> None:
    entered, said = room.client.log_in(USER, PASSWORD)

    assert entered, said
    assert "exercises\n" == as_user(room, "cat", f"{SHARED}/monday")
    as_user(room, "sh", "-c", f"echo done > {SHARED}/{USER}")
    owner = room.server.machine.run("stat", "-c", "%U %G", f"{SHARED}/{USER}").stdout
    assert f"{USER} class7\n" == owner
    tried = room.client.machine.run("setpriv", "--reuid=nobody", "--clear-groups", "ls", f"{SHARED}/", check=False)

    assert "Permission denied" in tried.stderr
    assert "srv-shared" in mounts(room)

    room.client.log_out()

    assert "srv-shared" not in mounts(room)
    assert not room.client.machine.path(SHARED).is_symlink()
    assert not room.client.machine.path("/run/farm/shared").exists()


def test_what_a_user_leaves_beside_them_takes_no_folder_from_the_next_one(room: LoginRoom) -> None:
    assert room.client.log_in(USER, PASSWORD)[0]
    as_user(room, "sh", "-c", "cd /run/farm/shared; echo x > a; mkdir -p b/c; ln -s /etc d")
    room.client.log_out()
    assert "srv-shared" not in mounts(room)

    assert room.client.log_in(USER, PASSWORD)[0]
    assert "exercises\n" == as_user(room, "cat", f"{SHARED}/monday")


def test_lts_conf_names_the_folders(room: LoginRoom) -> None:
    room.client.set_lts(SHARED_FOLDERS="/srv/secret /etc/ssh /srv/nowhere /srv/../etc")

    entered, said = room.client.log_in(USER, PASSWORD)

    assert entered, said
    assert ["/run/farm/shared/srv-secret"] == [
        line.split()[1] for line in mounts(room).splitlines() if "/run/farm/shared" in line
    ]
    assert "Permission denied" in as_user(room, "ls", "/srv/secret/", check=False)
    room.client.log_out()
    room.client.set_lts(SHARED_FOLDERS="")
    assert room.client.log_in(USER, PASSWORD)[0]
    assert "/run/farm/shared" not in mounts(room)


def test_what_cannot_be_mounted_keeps_nobody_out(room: LoginRoom) -> None:
    room.client.machine.run("mkdir", "-p", SHARED)

    entered, said = room.client.log_in(USER, PASSWORD)

    room.client.machine.run("rmdir", SHARED)
    assert entered, said
    assert "srv-shared" not in mounts(room)


def answer(room: LoginRoom, code: str) -> object:
    """What a part of the machine's software says."""
    said: object = json.loads(room.client.machine.run("/usr/bin/python3", "-I", "-c", code).stdout)
    return said


def prepared(room: LoginRoom, **lts: str) -> None:
    """As before each start of the display manager."""
    room.client.set_lts(**lts)
    node = {"name": "pc01", "mac": "52:54:00:00:00:01", "server": SERVER}
    room.client.machine.write("/run/farm/node.json", json.dumps(node))
    room.client.machine.run("/usr/bin/python3", "-I", "-m", "farm.node.session.prepare")


def test_programs_see_the_servers_printers(room: LoginRoom) -> None:
    client_conf = room.client.machine.path("/etc/cups/client.conf")
    prepared(room)
    assert f"ServerName {SERVER}\n" == client_conf.read_text()
    prepared(room, CUPS_SERVER="printers.lan")
    assert "ServerName printers.lan\n" == client_conf.read_text()
    client_conf.unlink()
    prepared(room, LTSP_FATCLIENT="False")
    assert not client_conf.exists()


def test_a_session_has_the_printer_that_lts_conf_names(room: LoginRoom) -> None:
    room.client.set_lts(LDM_PRINTER_DEFAULT="office")
    assert {"PRINTER": "office"} == answer(room, PRINTER)
    room.client.set_lts(LDM_PRINTER_DEFAULT="two words")
    assert {} == answer(room, PRINTER)


def test_the_sound_of_a_session_is_that_of_its_user(room: LoginRoom) -> None:
    assert None is answer(room, SOUND)
    assert room.client.log_in(USER, PASSWORD)[0]
    asked = "#!/bin/sh\nid -un > /tmp/asked\necho $XDG_RUNTIME_DIR >> /tmp/asked\n"
    room.client.machine.write("/usr/bin/pw-dump", asked, 0o755)

    told = answer(room, SOUND)

    assert isinstance(told, dict)
    assert "" == told["failed"]
    uid = as_user(room, "id", "-u").strip()
    assert [USER, f"/run/user/{uid}"] == room.client.machine.path("/tmp/asked").read_text().split()


def test_sticks_are_the_desktops_own(room: LoginRoom) -> None:
    done = room.client.machine.run("/usr/bin/python3", "-I", "-m", "farm.node.session.media.stick", "sdz1")
    assert ("", "") == (done.stdout, done.stderr)


def test_sound_can_be_off(room: LoginRoom) -> None:
    silent = room.client.machine.path("/run/systemd/user/pipewire.socket")
    prepared(room)
    assert not silent.is_symlink()
    prepared(room, SOUND="False")
    assert silent.is_symlink()


def test_who_works_there_is_told_that_the_ram_is_nearly_full() -> None:
    with fat_room() as room:
        client = room.client
        client.told(room.server.settings())
        client.start_greeter()
        client.machine.run("sh", "-c", "mkdir -p /run/farm/upper; mount -t tmpfs -o size=10m upper /run/farm/upper")
        client.machine.run("dd", "if=/dev/zero", "of=/run/farm/upper/much", "bs=1M", "count=9")

        client.machine.run("/usr/bin/python3", "-I", "-c", LOOK)

        assert client.on_screen("xdotool", "search", "--onlyvisible", "--name", FILES_SCARCE).stdout
