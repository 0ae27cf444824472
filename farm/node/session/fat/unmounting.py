"""Unmount what a session has used: no server, stick or program holds a log-out for ever."""

from __future__ import annotations

import ctypes
import os
import re
import syslog
import time
from enum import Enum

SECONDS, POLL_SECONDS = 5.0, 0.1
"""For programs that have ended to let go of a folder, and for its last data to be written."""
_FORCE, _DETACH = 1, 2
"""The flags of umount2(2)."""
_ESCAPED = re.compile(r"\\([0-7]{3})")
"""Blanks and the like in proc_mounts(5)."""


class Unmounted(Enum):
    """How a folder was unmounted; in each case nobody can open anything there any more."""

    WHOLE = "whole"
    """All that was written is where it belongs."""
    IN_USE = "in use"
    """Programs had it open: what they have not written is lost."""
    BEING_WRITTEN = "being written"
    """The kernel goes on writing, as long as it can."""


def unmount(folder: str, seconds: float = SECONDS) -> Unmounted:
    """Unmount a folder that no program should be using any more, within twice so many seconds."""
    end = time.monotonic() + seconds
    while is_mounted(folder):
        done = _umount(folder, 0, end)
        if done is None and not is_mounted(folder):
            syslog.syslog(syslog.LOG_AUTH | syslog.LOG_WARNING, f"{folder} is unmounted, and still being written to")
            return Unmounted.BEING_WRITTEN
        if not done:
            if time.monotonic() > end:
                _umount(folder, _FORCE | _DETACH, time.monotonic() + seconds)
                syslog.syslog(syslog.LOG_AUTH | syslog.LOG_WARNING, f"{folder} was in use when it was unmounted")
                return Unmounted.IN_USE
            time.sleep(POLL_SECONDS)
    return Unmounted.WHOLE


def is_mounted(folder: str) -> bool:
    """Whether something is mounted there."""
    return folder in _mounts()


def mounted_below(*folders: str) -> list[str]:
    """The folders below these at which something is mounted, the last one first."""
    return [each for each in reversed(_mounts()) if each.startswith(tuple(f"{folder}/" for folder in folders))]


def _mounts() -> list[str]:
    with open("/proc/self/mounts", errors="surrogateescape") as file:
        return [_ESCAPED.sub(lambda found: chr(int(found[1], 8)), line.split(" ")[1]) for line in file]


def _umount(folder: str, flags: int, end: float) -> bool | None:
    """Whether it succeeded; None: it goes on at the end of time, in a process of its own.

    By the kernel's call alone: umount(8) looks at the folder first, and waits for a server that is gone. The kernel
    waits as well, for all data to be written, and nothing can end that.
    """
    path, failed = os.fsencode(folder), True
    call = ctypes.CDLL(None).umount2
    pid = os.fork()
    if pid == 0:
        try:
            # Who waits for the end of the log-in's pipes does not wait for this.
            os.closerange(0, os.sysconf("SC_OPEN_MAX"))
            failed = call(path, flags) != 0
        finally:
            os._exit(failed)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status == 0
        if time.monotonic() > end:
            return None
        time.sleep(POLL_SECONDS / 10)
