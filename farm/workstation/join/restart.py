"""Restart this machine's iceccd where it is ours, when no compiler call uses it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from farm.errors import FarmError
from farm.errors.hints import hint
from farm.home import Home
from farm.workstation.env.outdated import find_outdated
from farm.workstation.join.iceccd import START_SECONDS, user_daemon, wait_for
from farm.workstation.membership import Membership

CALLS_SECONDS = 60.0
CONNECTED = "03"
"""Of a socket in /proc/net/unix (include/uapi/linux/net.h)."""
BY_HAND = {
    "server": "sudo farm doctor --fix --only environment",
    "system": "sudo systemctl restart iceccd",
    "user": "farm doctor --fix --only environment",
    "icecream": "sudo systemctl restart iceccd",
}


def is_ours(membership: Membership) -> bool:
    """Whether the daemon is this user's own, or the server's and the user is root."""
    return membership.how == "user" or (membership.how == "server" and os.geteuid() == 0)


def renew(
    membership: Membership, home: Home, environment: Mapping[str, str], folder: str, say: Callable[[str], None]
) -> None:
    """Have iceccd restarted when it no longer gives out a compiler that is in PATH, or ``say`` that it has to be.

    ``folder``: where compilers are called.
    """
    obstacle = find_outdated({**environment, "ICECC_TEST_SOCKET": membership.socket}, folder)
    if obstacle:
        restart_or_say(obstacle, membership, home, say)


def restart_or_say(obstacle: str, membership: Membership, home: Home, say: Callable[[str], None]) -> None:
    """Restart iceccd where that is ours to do; else ``say`` how."""
    if not is_ours(membership):
        say(f"{obstacle} Restart iceccd: {hint(BY_HAND[membership.how])}")
        return
    say(f"{obstacle} Restarting iceccd when no compiler call uses it.")
    try:
        restart(membership, home)
    except FarmError as error:
        say(" ".join(filter(None, (error.what, error.why, error.fix))))


def restart(membership: Membership, home: Home) -> None:
    """Restart it when it is idle, and wait until it listens again.

    Raises FarmError when it is not ours, when other calls go on using it, or when it does not come back.
    """
    if not is_ours(membership):
        raise FarmError("You cannot restart this iceccd.", "", BY_HAND[membership.how])
    _wait_until_idle(membership)
    if membership.how == "user":
        user_daemon().restart()
    else:
        from farm.supervisor import Supervisor  # XML-RPC takes milliseconds to import, which each `farm run` would pay

        Supervisor(home).restart("iceccd")
    if not wait_for(membership.socket):
        raise FarmError(
            "iceccd does not answer.",
            f"iceccd does not listen on {membership.socket} after {START_SECONDS:.0f} s.",
            "Look at its log: farm logs iceccd",
        )


def _wait_until_idle(membership: Membership) -> None:
    deadline = time.monotonic() + CALLS_SECONDS
    while calls := count_calls(membership.socket):
        if time.monotonic() > deadline:
            raise FarmError(
                "iceccd was not restarted.",
                f"{calls} compiler calls of another build still use it after {CALLS_SECONDS:.0f} s.",
                f"When that build has ended: {BY_HAND[membership.how]}",
            )
        time.sleep(0.1)


def count_calls(path: str) -> int:
    """How many connections an iceccd has at its socket: one for each call of icecc that runs (proc(5), net/unix)."""
    sockets = (line.split(None, 7) for line in Path("/proc/net/unix").read_text(errors="replace").splitlines())
    return sum(
        len(words) == 8 and words[5] == CONNECTED and _plain(words[7].rstrip("\n")) == _plain(path) for words in sockets
    )


def _plain(path: str) -> str:
    return path.removeprefix("/var") if path.startswith("/var/run/") else path
