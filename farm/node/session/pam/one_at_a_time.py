"""Log-ins on one machine come one after the other: they share an account, a connection and the socket for questions.

Two at once would answer one another's questions, with the password of the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from farm.node.session.ssh_client.ssh_command import RUN

FILE = f"{RUN}/log-in.lock"
PATIENCE_SECONDS, POLL_SECONDS = 5.0, 0.05
"""A log-in that the display manager has just ended may be on its way out."""


@contextlib.contextmanager
def turn(file: str = FILE, patience: float = PATIENCE_SECONDS) -> Iterator[bool]:
    """Whether it is this one's turn; another log-in begins only after it."""
    os.makedirs(os.path.dirname(file), exist_ok=True)
    end = time.monotonic() + patience
    with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        while not (mine := _taken(lock.fileno())) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        yield mine


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
