"""What may not have been written when a session ended: noted until the machine restarts."""

from __future__ import annotations

import json
import syslog
import time
from typing import NamedTuple

from farm.node.files import read, write
from farm.node.session.pam.notice import MAX_BYTES

FILE = "/run/farm/unsaved.json"


class Unsaved(NamedTuple):
    """The last log-out of which there is something to say."""

    at: float
    """Unix time, in seconds, by this machine's clock."""
    user: str
    said: str
    """The sentences that the next greeter shows."""


def note(user: str, said: str, file: str = FILE) -> None:
    """Note it, and say it in the machine's log."""
    syslog.syslog(syslog.LOG_AUTH | syslog.LOG_WARNING, f"at the log-out of {user}: {said}")
    write(file, json.dumps(Unsaved(round(time.time(), 3), user, said[:MAX_BYTES])._asdict()), 0o600)


def noted(file: str = FILE) -> Unsaved | None:
    """What is noted; None when there is nothing."""
    try:
        said = json.loads(read(file))
        return Unsaved(float(said["at"]), str(said["user"]), str(said["said"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
