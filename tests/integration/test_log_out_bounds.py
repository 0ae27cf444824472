"""The log-out of a fat client comes to its end, whatever does not, and says what may not have been written."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator

import pytest

from tests.fat_room import AS_USER, as_user, emptied, fat_room, home_is_mounted
from tests.lab import until
from tests.login_room import PASSWORD, USER, LoginRoom

NEVER_THE_SAME = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("begun", "w").close()
while True:
    if os.fork():
        os._exit(0)
"""
"""One process at a time, each the child of the one before: it has left a list of processes before it is read."""
FREEZE, THAW = 0xC0045877, 0xC0045878
MAKE = {"ext4": ("mkfs.ext4", "-q"), "ntfs": ("mkntfs", "-q", "-Q", "-F")}
QUICK = {
    "user_processes.py": [("TERM_SECONDS, POLL_SECONDS = 5.0", "TERM_SECONDS, POLL_SECONDS = 0.5")],
    "fat/unmounting.py": [("SECONDS, POLL_SECONDS = 5.0", "SECONDS, POLL_SECONDS = 1.0")],
}
STUCK = "STUCK_SECONDS = 3.0", "STUCK_SECONDS = 0.5"


@pytest.fixture(scope="module")
def shared() -> Iterator[LoginRoom]:
    with fat_room() as room:
        for file, changes in QUICK.items():
            for old, new in changes:
                room.client.patch(file, old, new)
        room.client.patch("user_processes.py", *STUCK)
        yield room


@pytest.fixture
def room(shared: LoginRoom) -> Iterator[LoginRoom]:
    room = emptied(shared)
    room.client.machine.run("rm", "-f", "/run/farm/unsaved.json", "/run/farm/notice")
    assert room.client.log_in(USER, PASSWORD)[0]
    yield room


def said(room: LoginRoom) -> tuple[str, str]:
    """What the next greeter shows, and what the machine tells the server, each with the user's name out."""
    greeter = room.client.machine.path("/run/farm/notice")
    told = room.client.machine.path("/run/farm/unsaved.json")
    if not told.exists():
        return greeter.read_text() if greeter.exists() else "", ""
    noted = json.loads(told.read_text())
    assert USER == noted["user"]
    return greeter.read_text(), noted["said"]


def stick(room: LoginRoom, name: str, kind: str) -> str:
    """A stick that the desktop has mounted for its user, as udisks does; returns the folder."""
    machine, folder = room.client.machine, f"/media/{USER}/{name}"
    machine.run("truncate", "--size", "16M", f"/tmp/{kind}.img")
    machine.run(*MAKE[kind], f"/tmp/{kind}.img")
    machine.run("mkdir", "-p", folder)
    device = machine.run("losetup", "--find", "--show", f"/tmp/{kind}.img").stdout.strip()
    machine.run("mount", "-t", "ntfs-3g" if kind == "ntfs" else kind, device, folder)
    machine.run("chmod", "777", folder)
    # Its last user is the mount: it goes with that.
    machine.run("losetup", "--detach", device)
    return folder


def is_mounted(room: LoginRoom, folder: str) -> bool:
    return folder.replace(" ", "\\040") in room.client.machine.run("cat", "/proc/self/mounts").stdout


def test_programs_that_start_new_ones_all_the_time_are_ended(room: LoginRoom) -> None:
    room.client.machine.start("chain", *AS_USER, "sh", "-c", 'cd ~ && exec python3 -c "$0"', NEVER_THE_SAME)
    until(lambda: room.server.machine.path(f"/home/{USER}/begun").exists(), "nothing begins")

    room.client.log_out()

    assert [] == room.client.machine.processes(USER)
    assert not home_is_mounted(room.client)
    assert ("", "") == said(room)


def test_a_program_that_cannot_be_ended_holds_nobody_up_and_is_named(room: LoginRoom) -> None:
    folder = stick(room, "DYING", "ext4")
    with frozen(room, folder):
        stuck = room.client.machine.start("stuck", *AS_USER, "cp", "/etc/passwd", f"{folder}/paper")
        until(lambda: ["D"] == states(room, "cp"), "the program does not wait for the stick")

        room.client.log_out()

        assert ["D"] == states(room, "cp")
        assert not home_is_mounted(room.client)
        assert not is_mounted(room, folder)
        greeter, told = said(room)
        assert "These programs of yours could not be ended, and may not have written all: cp." in greeter
        assert "A stick was still in use when you were logged out" in greeter
        assert greeter == told
    stuck.wait()


def test_a_stick_is_written_and_gone_when_its_user_is(room: LoginRoom) -> None:
    folder = stick(room, "MY STICK", "ext4")
    as_user(room, "sh", "-c", f"echo letter > '{folder}/paper'; cd '{folder}'; sleep 1000 > open 2>&1 &")

    room.client.log_out()

    assert not is_mounted(room, folder)
    assert ("", "") == said(room)
    assert "letter\n" == room.client.machine.run("debugfs", "-R", "cat /paper", "/tmp/ext4.img").stdout


def test_what_a_user_has_mounted_in_the_home_goes_with_it(room: LoginRoom) -> None:
    vault = f"/home/{USER}/vault"
    as_user(room, "mkdir", vault)
    room.client.machine.run("mount", "-t", "tmpfs", "tmpfs", vault)

    room.client.log_out()

    assert not is_mounted(room, vault)
    assert not home_is_mounted(room.client)
    assert ("", "") == said(room)


def test_a_stick_that_takes_long_to_write_goes_on_without_anybody(room: LoginRoom) -> None:
    folder = stick(room, "SLOW", "ntfs")
    stop_driver(room, "STOP")

    room.client.log_out()

    assert not is_mounted(room, folder)
    assert not home_is_mounted(room.client)
    greeter, told = said(room)
    assert "A stick was still being written to when you were logged out: leave it plugged in" in greeter
    assert greeter == told
    stop_driver(room, "CONT")
    until(lambda: not states(room, "mount.ntfs-3g"), "the driver does not end")


def stop_driver(room: LoginRoom, signal: str) -> None:
    """Have a stick's driver, a program here, do what a stick's does that answers no more."""
    room.client.machine.run("pkill", f"-{signal}", "-f", "ntfs-3g")


@contextlib.contextmanager
def frozen(room: LoginRoom, folder: str) -> Iterator[None]:
    """Have the kernel keep whoever writes there waiting, whom nothing can end then (ioctl_fsfreeze(2))."""
    opened = os.open(room.client.machine.path(folder), os.O_RDONLY)
    fcntl.ioctl(opened, FREEZE, 0)
    try:
        yield
    finally:
        fcntl.ioctl(opened, THAW, 0)
        os.close(opened)


def states(room: LoginRoom, name: str) -> list[str]:
    """The states of all processes of a name, as ps(1) has them."""
    return room.client.machine.run("ps", "-C", name, "-o", "s=", check=False).stdout.split()
