"""Where the jobs of one submitter ran: counts folded from the scheduler's events."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct

from farm.scheduler.monitor import Connected, Disconnected, Watched
from farm.scheduler.protocol import (
    JobBegun,
    JobDone,
    JobRequested,
    LocalBegun,
    LocalDone,
    NodeOffline,
    NodeStats,
)


class NodeTally(Struct):
    """Jobs that ended on one node; ``mean_ms`` is their mean real time there."""

    jobs: int = 0
    failed: int = 0
    mean_ms: float = 0.0

    def add(self, done: JobDone) -> None:
        """Count one more."""
        self.jobs += 1
        self.failed += done.exit != 0
        self.mean_ms += (done.real - self.mean_ms) / self.jobs


@dataclass
class Tally:
    """Jobs that ``submitter`` (a node's name) began since the connection was there."""

    submitter: str
    nodes: dict[str, NodeTally] = field(default_factory=dict)
    local: int = 0
    """Compiled or linked by the submitter itself."""
    pending: set[int] = field(default_factory=set)
    """Jobs whose end has not been reported."""
    changes: int = 0
    connected: bool = False
    gaps: int = 0
    _names: dict[int, str] = field(default_factory=dict)
    _places: dict[int, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """The submitter is known: from now on no job of its is missed."""
        return self.submitter in self._names.values()

    @property
    def complete(self) -> bool:
        """The scheduler was watched without a gap."""
        return self.connected and not self.gaps

    def fold(self, event: Watched) -> None:
        """Take one event into account."""
        match event:
            case NodeStats():
                self._names[event.host] = event.name
            case NodeOffline():
                self._names.pop(event.host, None)
            case JobRequested() if self._is_submitter(event.submitter):
                self._begin(event.job)
            case JobBegun() if event.job in self.pending:
                self._places[event.job] = self._names.get(event.host, f"host {event.host}")
            case JobDone() if event.job in self.pending:
                self._end(event.job)
                self._count(event)
            case LocalBegun() if self._is_submitter(event.host):
                self.local += 1
                self._begin(event.job)
            case LocalDone() if event.job in self.pending:
                self._end(event.job)
            case Connected():
                self.connected = True
            case Disconnected():
                self._lose()
            case _:
                pass

    def _is_submitter(self, host: int) -> bool:
        return self._names.get(host) == self.submitter

    def _begin(self, job: int) -> None:
        self.pending.add(job)
        self.changes += 1

    def _end(self, job: int) -> None:
        self.pending.remove(job)
        self.changes += 1

    def _count(self, done: JobDone) -> None:
        place = self._places.pop(done.job, None)
        if place == self.submitter:
            self.local += 1
        elif place is not None:
            self.nodes.setdefault(place, NodeTally()).add(done)

    def _lose(self) -> None:
        """Ends that come meanwhile are missed, and host ids will be given anew."""
        self.connected = False
        self.gaps += 1
        self.pending.clear()
        self._places.clear()
        self._names.clear()
