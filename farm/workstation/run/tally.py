"""Where the jobs of one submitter ran, folded from the scheduler's events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

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
from farm.workstation.run.own_calls import OwnCalls

MAX_ENDED = 500_000
"""Jobs whose times are kept."""
MAX_STRAYS = 10_000


class NodeTally(Struct):
    """Jobs that ended on one node; ``mean_ms`` is their mean real time there, 0 when nobody told."""

    jobs: int = 0
    failed: int = 0
    mean_ms: float = 0.0


class TalliedJob(Struct):
    """A job of the submitter's; times are those of its messages' arrival, in seconds."""

    id: int
    file: str
    local: bool = False
    """Without asking the scheduler for a node."""
    requested: float = 0.0
    begun: float = 0.0
    ended: float = 0.0
    node: str = ""
    """Empty until the scheduler has said."""
    exit: int = 0
    real_ms: int = 0
    cpu_ms: int = 0


class Counts(Struct, frozen=True):
    """Jobs that are over, by where they ran; times are added up of those that are known."""

    nodes: dict[str, NodeTally]
    local: int
    failed: int
    """On nodes."""
    fallen: int | None
    """Sent to a node, and compiled here after all; None when icecc was not asked."""
    remote_cpu_ms: int
    """Processor time on nodes."""
    local_ms: int
    """Real time here."""


class Now(Struct, frozen=True):
    """What runs at the moment."""

    remote: int = 0
    nodes: int = 0
    local: int = 0
    waiting: int = 0


@dataclass
class Tally:
    """Jobs that ``submitter`` (a node's name) began since the connection was there."""

    submitter: str
    names: dict[str, str] = field(default_factory=dict)
    """Of daemons, by address."""
    pending: dict[int, TalliedJob] = field(default_factory=dict)
    """Jobs whose end has not been reported."""
    ended: deque[TalliedJob] = field(default_factory=lambda: deque(maxlen=MAX_ENDED))
    over: set[int] = field(default_factory=set)
    """Ids of those that have ended."""
    strays: dict[int, JobDone] = field(default_factory=dict)
    """Ends of jobs whose begin was before the connection."""
    changes: int = 0
    done_remote: int = 0
    done_local: int = 0
    connected: bool = False
    gaps: int = 0
    _names: dict[int, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """The submitter is known: from now on no job of its is missed."""
        return self.submitter in self._names.values()

    def fold(self, event: Watched, time: float = 0.0) -> None:
        """Take one event into account."""
        match event:
            case NodeStats():
                self._names[event.host] = event.name
                self.names[event.address] = event.name
            case NodeOffline():
                self._names.pop(event.host, None)
            case JobRequested() if self._is_submitter(event.submitter):
                self._begin(TalliedJob(event.job, event.file, requested=time))
            case JobBegun() if job := self.pending.get(event.job):
                job.node, job.begun = self._names.get(event.host, f"host {event.host}"), time
            case JobDone() if job := self.pending.get(event.job):
                job.exit, job.real_ms, job.cpu_ms = event.exit, event.real, event.user + event.system
                self._end(job, time)
            case JobDone() if len(self.strays) < MAX_STRAYS:
                self.strays[event.job] = event
            case LocalBegun() if self._is_submitter(event.host):
                self._begin(TalliedJob(event.job, event.file, local=True, begun=time, node=self.submitter))
            case LocalDone() if job := self.pending.get(event.job):
                job.real_ms = round(max(0.0, time - job.begun) * 1000)
                self._end(job, time)
            case Connected():
                self.connected = True
            case Disconnected():
                self._lose()
            case _:
                pass

    def _is_submitter(self, host: int) -> bool:
        return self._names.get(host) == self.submitter

    def _begin(self, job: TalliedJob) -> None:
        self.pending[job.id] = job
        self.changes += 1

    def _end(self, job: TalliedJob, time: float) -> None:
        del self.pending[job.id]
        job.ended = time
        if job.node:
            self.ended.append(job)
            self.over.add(job.id)
            self.done_local += job.node == self.submitter
            self.done_remote += job.node != self.submitter
        self.changes += 1

    def _lose(self) -> None:
        """Ends that come meanwhile are missed, and host ids will be given anew."""
        self.connected = False
        self.gaps += 1
        self.pending.clear()
        self._names.clear()

    # -- what is asked; ``own``: what icecc's log has told, None when all of the submitter's jobs are to count

    def jobs(self, own: OwnCalls | None) -> Iterator[TalliedJob]:
        """Those that have ended."""
        return filter(_belongs(self.submitter, own), self.ended)

    def open(self, own: OwnCalls | None) -> bool:
        """Whether an end is still to be reported."""
        if own is None:
            return bool(self.pending)
        if not own.remote.keys() <= self.over:
            return True  # the news of them are on their way
        return any(map(_belongs(self.submitter, own), self.pending.values()))

    def now(self, own: OwnCalls | None) -> Now:
        """What runs. Who waits cannot be told apart: those of other builds on this machine are counted."""
        belongs = _belongs(self.submitter, own)
        running = [job for job in self.pending.values() if job.node and belongs(job)]
        nodes = [job.node for job in running if job.node != self.submitter]
        waiting = sum(not job.node for job in self.pending.values())
        return Now(len(nodes), len(set(nodes)), len(running) - len(nodes), waiting)

    def counts(self, own: OwnCalls | None) -> Counts:
        """What has ended; by icecc's log where there is one, which misses nothing when the scheduler is not watched."""
        ended = list(self.jobs(own))
        here = [job for job in ended if job.node == self.submitter]
        remote = [job for job in ended if job.node != self.submitter]
        if own is not None:
            known = {job.id: job for job in remote}
            remote = [known.get(id) or self._from_log(id, address) for id, address in own.remote.items()]
        nodes = _by_node(remote, own)
        failed = sum(node.failed for node in nodes.values())
        cpu = sum(job.cpu_ms for job in remote)
        if own is None:
            return Counts(nodes, len(here), failed, None, cpu, sum(job.real_ms for job in here))
        asked = sum(job.real_ms for job in here if not job.local)  # of these the log tells no time
        return Counts(nodes, own.here, failed, len(own.fallen), cpu, own.here_ms + asked)

    def _from_log(self, id: int, address: str) -> TalliedJob:
        """A job whose begin the scheduler told nobody here."""
        job = TalliedJob(id, "", node=self.names.get(address, address))
        if told := self.strays.get(id):
            job.exit, job.real_ms, job.cpu_ms = told.exit, told.real, told.user + told.system
        return job


def _belongs(submitter: str, own: OwnCalls | None) -> Callable[[TalliedJob], bool]:
    """Whether a job is the run's own; of what runs here the log knows no id, but the file."""
    if own is None:
        return lambda _: True

    def check(job: TalliedJob) -> bool:
        return job.id in own.remote or (job.node in ("", submitter) and PurePath(job.file).name in own.names)

    return check


def _by_node(jobs: Iterable[TalliedJob], own: OwnCalls | None) -> dict[str, NodeTally]:
    """Node → its jobs; what fell back has failed there, whatever its exit code, and what it was never sent has not."""
    fallen, spoilt = (own.fallen, own.spoilt) if own else (set[int](), set[int]())
    nodes: dict[str, NodeTally] = {}
    timed: dict[str, int] = {}
    for job in jobs:
        node = nodes.setdefault(job.node, NodeTally())
        node.jobs += 1
        node.failed += (job.exit != 0 or job.id in fallen) and job.id not in spoilt
        if job.real_ms:
            timed[job.node] = timed.get(job.node, 0) + 1
            node.mean_ms += (job.real_ms - node.mean_ms) / timed[job.node]
    return dict(sorted(nodes.items()))
