"""One clock for hundreds of daemons: what is due is done and what is to be sent is sent a few times a second.

That costs far less than a timer for each job and a system call for each message.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable

from farm.simulate.fake_daemon import FakeDaemon


class BeatClock:
    """Things to do at their time, and messages to send at the next beat."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._written: set[FakeDaemon] = set()

    @staticmethod
    def now() -> float:
        """Seconds on a clock that nobody sets."""
        return time.monotonic()

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do that after so many seconds, at the beat that follows."""
        heapq.heappush(self._due, (self.now() + seconds, next(self._order), do))

    def send(self, daemon: FakeDaemon, message: bytes) -> None:
        """Send that at the end of this beat."""
        daemon.send(message)
        self._written.add(daemon)

    def do_due(self) -> None:
        """Do what is due."""
        now = self.now()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def flush(self) -> None:
        """Send all that is to be sent."""
        for daemon in self._written:
            daemon.flush()
        self._written.clear()
