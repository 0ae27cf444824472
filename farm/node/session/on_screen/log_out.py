"""End the session at this machine's screen as if its user had logged out: here and on the server."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

from farm.node.files import read
from farm.node.session import user_processes
from farm.node.session.pam import client_account

DISPLAY_MANAGER = "lightdm"
WINDOWS = "FARM_SESSION="
"""In the command line of the connection over which the session's windows come; sticks have others."""
END_SECONDS, POLL_SECONDS = 10.0, 0.1
"""For the session to end by itself; what is left of it is ended then."""


class SessionProcess(NamedTuple):
    """A process of the account under which the session runs, or of the one that has its connection."""

    pid: int
    name: str
    parent: int


def who() -> list[str]:
    """The names of those who are logged in; empty when nobody is."""
    name, _ = client_account.sitting()
    return [name] if name and sessions() else []


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
        user_processes.tell(each.pid, signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while sessions() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if sessions():
        user_processes.end(client_account.sitting()[1], END_SECONDS)
    return gone


def sessions() -> list[SessionProcess]:
    """The processes that the display manager has started for those who are logged in."""
    return [each for each in _processes() if user_processes.status(each.parent).get("Name") == DISPLAY_MANAGER]


def _processes() -> Iterator[SessionProcess]:
    for uid in {client_account.sitting()[1], client_account.session_uid()}:
        for pid in user_processes.of_account(uid):
            if said := user_processes.status(pid):
                yield SessionProcess(pid, said["Name"], int(said["PPid"]))
