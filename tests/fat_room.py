"""A room for tests of sessions that run on the client itself: its desktop is a small program, its home the server's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.diskless import copy_into
from tests.login_room import TOP, USER, LoginRoom, ThinClient, login_room

HOME = f"/home/{USER}"
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "env", f"HOME={HOME}")
DESKTOP = """#!/bin/sh
env > "$HOME/session-environment"
id > "$HOME/session-id"
exec xev
"""


def make_fat(client: ThinClient) -> None:
    """Lay over a thin client what a fat one has besides."""
    # This machine may have users, an image has none.
    client.machine.run("sed", "-i", "-E", "/^[^:]+:[^:]*:[1-9][0-9]{3}:/d", "/etc/passwd", "/etc/group")
    client.machine.run("sh", "-c", "rm -rf /home && mkdir /home")
    copy_into(client.machine, TOP / "images/fat-client/root", "/")
    client.machine.run("rm", "-f", "/usr/bin/x-session-manager")
    client.machine.write("/usr/bin/x-session-manager", DESKTOP, 0o755)


@contextlib.contextmanager
def fat_room() -> Iterator[LoginRoom]:
    """A room whose client is a fat one."""
    with login_room() as room:
        make_fat(room.client)
        yield room


def emptied(room: LoginRoom) -> LoginRoom:
    """The room of several tests for the next one: nobody is logged in, and lts.conf is empty."""
    room.client.log_out()
    room.client.set_lts()
    return room


def home_is_mounted(client: ThinClient, home: str = HOME) -> bool:
    """Whether the user's home is on the client."""
    return f" {home} " in client.machine.run("cat", "/proc/self/mounts").stdout


def as_user(room: LoginRoom, *argv: str, check: bool = True) -> str:
    """Run a program on the client as the one who is logged in there; what it says."""
    done = room.client.machine.run(*AS_USER, *argv, check=check)
    return done.stdout + done.stderr
