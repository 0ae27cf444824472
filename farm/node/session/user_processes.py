"""The processes of an account on this machine, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from farm.node.files import read

TERM_SECONDS, POLL_SECONDS = 2.0, 0.02


def end(uid: int, patience: float | None = None) -> bool:
    """End all processes of an account, kill those that do not listen; whether all are gone.

    ``patience``: seconds to wait for those that cannot even be killed, as they wait for a server; None: for ever.
    """
    begin = time.monotonic()
    word = signal.SIGTERM
    sent: set[int] = set()
    while left := of_account(uid):
        if time.monotonic() > begin + TERM_SECONDS:
            word, sent = signal.SIGKILL, set()
        if patience is not None and time.monotonic() > begin + TERM_SECONDS + patience:
            return False
        for pid in left - sent:
            tell(pid, word)
        sent |= left
        time.sleep(POLL_SECONDS)
    return True


def of_account(uid: int, name: str = "") -> set[int]:
    """The ids of those that live; ``name``: only those that are called so."""
    return {int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _lives_as(pid, uid, name)}


def tell(pid: int, word: signal.Signals) -> None:
    """Send a signal to a process, which may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, word)


def status(pid: str | int) -> dict[str, str]:
    """What the kernel says of a process (proc(5)); empty when it has ended."""
    lines = (line.partition(":") for line in read(f"/proc/{pid}/status").splitlines())
    return {key: value.strip() for key, _, value in lines}


def _lives_as(pid: str, uid: int, name: str) -> bool:
    said = status(pid)
    # One that has ended stays in the list until its parent asks for it.
    lives = said.get("Uid", "").split()[:1] == [str(uid)] and not said["State"].startswith("Z")
    return lives and name in ("", said["Name"])
