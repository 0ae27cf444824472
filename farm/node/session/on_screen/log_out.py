"""End the session at this machine's screen as if its user had logged out: here and on the server."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

from farm.node.files import read
from farm.node.session.pam import client_account
from farm.node.session.ssh_client.ssh_command import SESSION_USER

DISPLAY_MANAGER = "lightdm"
WINDOWS = "FARM_SESSION="
"""In the command line of the connection over which the session's windows come; sticks have others."""
END_SECONDS, POLL_SECONDS = 10.0, 0.1
"""For the session to end by itself; what is left of it is ended then."""


class SessionProcess(NamedTuple):
    """A process of the account under which sessions run."""

    pid: int
    name: str
    parent: int


def who() -> list[str]:
    """The names of those who are logged in; empty when nobody is."""
    uid = str(pwd.getpwnam(SESSION_USER).pw_uid)
    fields = [line.split(":") for line in read(client_account.EXTRAUSERS).splitlines()]
    names = [each[0] for each in fields if len(each) > 2 and each[2] == uid]
    return names if sessions() else []


def log_out() -> list[str]:
    """End all sessions; returns who was logged in.

    What runs on the server ends first, by the end of its connection: so the session here goes on to its own end, and
    what it has besides windows (sticks) is put away.
    """
    gone = who()
    if not gone:
        return []
    windows = [each for each in _processes() if each.name == "ssh" and WINDOWS in read(f"/proc/{each.pid}/cmdline")]
    for each in windows or sessions():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(each.pid, signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while sessions() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if sessions():
        client_account.end_processes()
    return gone


def sessions() -> list[SessionProcess]:
    """The processes that the display manager has started for those who are logged in."""
    return [each for each in _processes() if _status(each.parent).get("Name") == DISPLAY_MANAGER]


def _processes() -> Iterator[SessionProcess]:
    uid = str(pwd.getpwnam(SESSION_USER).pw_uid)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        said = _status(int(pid))
        # One that has ended stays in the list until its parent asks for it.
        if said.get("Uid", "").split()[:1] == [uid] and not said["State"].startswith("Z"):
            yield SessionProcess(int(pid), said["Name"], int(said["PPid"]))


def _status(pid: int) -> dict[str, str]:
    lines = (line.partition(":") for line in read(f"/proc/{pid}/status").splitlines())
    return {key: value.strip() for key, _, value in lines}
