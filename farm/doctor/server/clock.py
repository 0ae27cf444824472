"""The clock: whether something keeps it right, and whether it jumps."""

from __future__ import annotations

import ctypes
import time

STA_UNSYNC = 0x0040
TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """struct timex (adjtimex(2)), as far as it is read; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    )


def synchronised() -> bool | None:
    """What the kernel says, whichever program keeps the time; None when it may not be asked."""
    state = _Timex()
    answer: int = ctypes.CDLL(None).adjtimex(ctypes.byref(state))
    if answer < 0:
        return None
    return answer != TIME_ERROR and not state.status & STA_UNSYNC


class Jumps:
    """Compares the clock with the time that has passed since this was made."""

    def __init__(self) -> None:
        self._began = self._lead()

    @staticmethod
    def _lead() -> float:
        return time.time() - time.monotonic()

    def seconds(self) -> float:
        """How far the clock was set forward meanwhile."""
        return self._lead() - self._began
