"""Tell the one who works at this machine that its RAM is nearly used up, before programs fail or are ended."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from farm.node.files import read
from farm.node.scarcity import FILES, MEMORY, scarce

OVERLAY = "/run/farm/upper"
_LINE = re.compile("^(MemTotal|MemAvailable): *([0-9]{1,12}) kB$", re.MULTILINE)


class Room(NamedTuple):
    """The machine's RAM, in bytes."""

    available: int
    total: int
    written: int
    """In the file system in RAM that takes writes to the root."""
    space: int
    """All that this file system can take."""


class RoomWatch:
    """Looks again and again; each shortage is told once, and again when it was over meanwhile."""

    def __init__(self, look: Callable[[], Room] | None = None, tell: Callable[[str], None] | None = None) -> None:
        self._look = look or room
        self._tell = tell or _in_a_window
        self._scarce: frozenset[str] = frozenset()

    def look(self) -> None:
        """Tell what is scarce now and was not before."""
        now = self._look()
        before, self._scarce = self._scarce, scarce(*now, self._scarce)
        for what in sorted(self._scarce - before):
            self._tell(sentence(what, now))

    def forget(self) -> None:
        """Nobody is there: who comes next is told all that is scarce then."""
        self._scarce = frozenset()


def sentence(what: str, now: Room) -> str:
    """What somebody at the machine is told."""
    if what == MEMORY:
        return (
            f"This computer is nearly out of memory: {_megabytes(now.available)} of {_megabytes(now.total)} are left. "
            "Save your work, and close programs or tabs that you do not need: otherwise some will be ended."
        )
    assert what == FILES
    return (
        f"This computer's space for files is nearly used up: {_megabytes(now.space - now.written)} of "
        f"{_megabytes(now.space)} are left. It is needed for files outside your home, such as those in /tmp: delete "
        "what you do not need there. Your home is on the server, and is not concerned."
    )


def room(overlay: str = OVERLAY, meminfo: str = "/proc/meminfo") -> Room:
    """How it is now; zeros for what can not be known."""
    memory = {key: int(value) << 10 for key, value in _LINE.findall(read(meminfo))}
    try:
        stat = os.statvfs(overlay)
    except OSError:
        written = space = 0
    else:
        space, written = stat.f_blocks * stat.f_frsize, (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    return Room(memory.get("MemAvailable", 0), memory.get("MemTotal", 0), written, space)


def _megabytes(number: int) -> str:
    return f"{number / (1 << 20):,.0f} MB"


def _in_a_window(text: str) -> None:
    from farm.node.session.on_screen import message  # with what starts programs, which is not for the boot

    message.show_soon(text)
