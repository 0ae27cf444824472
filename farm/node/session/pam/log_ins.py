"""Who has logged in on this machine, and why others have not: noted for those who look after it.

The file is root's: a line of JSON for each, the last one the newest.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import NamedTuple

from farm.node.files import read, write
from farm.node.session.pam.user_name import USER_NAME
from farm.node.session.session_settings import HOST

FILE = "/run/farm/log-ins"
MAX_NOTED = 100
MAX_SENTENCE = 250
"""Characters of why a log-in failed: all lines together stay below what a file is read of."""


class LogInNoted(NamedTuple):
    """A log-in, with or without success."""

    at: float
    """Unix time, in seconds, by this machine's clock."""
    user: str
    """Empty when what was typed is no user's name: that may have been a password."""
    server: str
    """Empty when none was asked."""
    failed: str = ""
    """The sentence that the greeter showed; empty when the user is in."""


def note(user: str, server: str, failed: str = "", file: str = FILE, *, repeats: bool = True) -> None:
    """Note a log-in; of more than MAX_NOTED the oldest are forgotten.

    ``repeats``: whether one is noted that went as the last one of this user on this server.
    """
    sentence = "".join(each if each.isprintable() else " " for each in failed)[:MAX_SENTENCE]
    new = LogInNoted(
        round(time.time(), 3),
        user if USER_NAME.fullmatch(user) else "",
        server if HOST.fullmatch(server) else "",
        sentence,
    )
    os.makedirs(os.path.dirname(file), exist_ok=True)
    # Two screens may let two people in at the same moment.
    with open(f"{file}.lock", "w", opener=_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = noted(file)
        last = next((each for each in reversed(before) if each[1:3] == new[1:3]), None)
        if last and not repeats and last.failed == new.failed:
            return
        kept = [*before, new][-MAX_NOTED:]
        write(file, "".join(json.dumps(each._asdict(), ensure_ascii=False) + "\n" for each in kept), 0o600)


def noted(file: str = FILE) -> list[LogInNoted]:
    """All that is noted, the oldest first; what cannot be read is left out."""
    return [each for line in read(file).splitlines() if (each := _parsed(line))]


def _parsed(line: str) -> LogInNoted | None:
    try:
        said = json.loads(line)
        return LogInNoted(float(said["at"]), *(str(said[key]) for key in ("user", "server", "failed")))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
