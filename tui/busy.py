"""How busy each daemon was in the last minute, from the jobs that ran on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from farm.view.live import Live
from farm.view.status import NodeStatus
from farm.watch.activity import HostKey, Job, JobPlace

PIECE_SECONDS = 5
PIECES = 12
"""So many pieces make a minute."""
AT_ONCE = 1000
"""So many ended jobs are added at a time: after a while elsewhere there may be more than a key can wait for."""


class BusyMinute:
    """Slot time in use, by daemon, in pieces of the last minute. It costs nothing while nobody asks."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._spent: dict[HostKey, dict[int, float]] = {}
        """Seconds of slots, by the number of the piece."""
        self._number = 0
        """Of the last ended job that was taken note of."""
        self._backlog: deque[Job] = deque()
        self._piece = 0

    def follow(self, now: float) -> None:
        """Add what has ended since; the newest of a long while first."""
        self._backlog.extend(self._new(now))
        for _ in range(min(AT_ONCE, len(self._backlog))):
            job = self._backlog.popleft()
            if job.place in (JobPlace.REMOTE, JobPlace.OWN) and job.begun:
                _add(self._spent.setdefault(job.node, {}), job.begun, job.ended)
        if self._piece != (piece := int(now // PIECE_SECONDS)):
            self._piece = piece
            self._forget(piece - PIECES)

    def busy(self, node: NodeStatus, running: Iterable[Job | None], now: float) -> list[float | None]:
        """Slots of a node that were in use, as the mean of each piece; None: nothing is known of it (yet)."""
        spent: dict[int, float] = {}
        for job in running:
            if job is not None and job.begun:
                _add(spent, max(job.begun, now - PIECES * PIECE_SECONDS), now)
        known = [spent, *(self._spent.get(login.key, {}) for login in node.logins)]
        last = int(now // PIECE_SECONDS)
        begin = self._backlog[0].ended if self._backlog else self._live.samples[0].time if self._live.samples else now
        return [
            sum(each.get(piece, 0.0) for each in known) / max(1.0, min(PIECE_SECONDS, now - piece * PIECE_SECONDS))
            if (piece + 1) * PIECE_SECONDS > begin
            else None
            for piece in range(last - PIECES + 1, last + 1)
        ]

    def _new(self, now: float) -> Iterable[Job]:
        """Jobs of the last minute that ended since, the newest first; numbers begin anew with farmd."""
        ended = self._live.ended
        last = ended[-1].number if ended else 0
        known, self._number = self._number if self._number <= last else 0, last
        for job in reversed(ended):
            if job.number <= known or job.ended < now - PIECES * PIECE_SECONDS:
                return
            yield job

    def _forget(self, last: int) -> None:
        for key, spent in [*self._spent.items()]:
            for piece in [piece for piece in spent if piece <= last]:
                del spent[piece]
            if not spent:
                del self._spent[key]


def _add(spent: dict[int, float], begun: float, ended: float) -> None:
    """Share the time out to the pieces in which it lies."""
    while begun < ended:
        piece = int(begun // PIECE_SECONDS)
        until = min(ended, (piece + 1) * PIECE_SECONDS)
        spent[piece] = spent.get(piece, 0.0) + until - begun
        begun = until
