"""Where the jobs of one submitter ran: what farm.watch.activity makes of the scheduler's events about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from msgspec import Struct
from msgspec.structs import replace

from farm.printable import printable
from farm.scheduler.monitor import Disconnected, Watched
from farm.scheduler.protocol import JobBegun, JobDone, JobRequested, LocalBegun, LocalDone, NodeStats
from farm.watch.activity import NOBODY, Activity, HostKey, Job, JobPlace, JobState, fold
from farm.watch.activity.jobs import SELF_MADE
from farm.workstation.run.own_calls import HereCall, OwnCalls

MAX_TIMED = 500_000
"""Jobs whose times are kept."""
MAX_STRAYS = 10_000
CLOSE_SECONDS = 2.0
"""By which a job's begin may be off from icecc's clock, for two builds at a time to know theirs while they go on."""
LATE_SECONDS = 60.0
"""The same when all is over."""
UNKNOWN = "unknown"
"""Stands for a node of which the scheduler has told nothing that can be believed."""


class NodeTally(Struct):
    """Jobs that ended on one node; ``mean_ms`` is their mean real time there, 0 when nobody told."""

    jobs: int = 0
    failed: int = 0
    mean_ms: float = 0.0


class Counts(Struct, frozen=True):
    """Jobs that are over, by where they ran; times are added up of those that are known."""

    nodes: dict[str, NodeTally]
    local: int
    failed: int
    """Jobs that failed on nodes."""
    fallen: int | None
    """Sent to a node, and compiled here after all; None when icecc was not asked."""
    remote_cpu_ms: int
    """Processor time on nodes."""
    local_ms: int
    """Real time of what ran here, in milliseconds."""


class Now(Struct, frozen=True):
    """What runs at the moment."""

    remote: int = 0
    nodes: int = 0
    local: int = 0
    waiting: int = 0


@dataclass
class Tally:
    """Jobs that ``submitter`` (a node's name) began since the connection was there.

    Events about the jobs of others, and daemons' reports of their load, are passed over: of a busy farm's events these
    are nearly all, and looking at one costs 0.2 microseconds where folding it takes 2.
    """

    submitter: str
    named: Mapping[str, str] = field(default_factory=dict)
    """Address → name of nodes, in case it ends before the scheduler has told."""
    activity: Activity = field(default_factory=Activity)
    """The daemons that were told of, and of jobs the submitter's alone."""
    ended: deque[Job] = field(default_factory=lambda: deque(maxlen=MAX_TIMED))
    """Those that some machine has begun."""
    over: set[int] = field(default_factory=set)
    """Ids of the jobs that are over."""
    strays: dict[int, JobDone] = field(default_factory=dict)
    """Ends of jobs whose begin was before the connection."""
    changes: int = 0
    done_remote: int = 0
    done_local: int = 0
    gaps: int = 0
    """How often the connection was lost, or was not to be had."""
    mine: dict[int, HereCall] = field(default_factory=dict)
    """Ids of the submitter's own jobs that icecc's log turned out to tell of, and the calls that they are."""
    _others: set[int] = field(default_factory=set)
    """Ids of those that turned out to be of another build."""
    _unmatched: dict[int, Job] = field(default_factory=dict)
    """Jobs that the submitter has done itself, by whichever build."""
    _calls: list[HereCall] = field(default_factory=list)
    """What icecc's log tells of, and no job has been found for."""
    _calls_seen: int = 0

    def __post_init__(self) -> None:
        self._name = printable(self.submitter)

    @property
    def ready(self) -> bool:
        """The submitter is known: from now on no job of its is missed."""
        return any(name == self._name for name, _ in self.activity.ids.values())

    @property
    def connected(self) -> bool:
        """The scheduler is watched."""
        return self.activity.scheduler.up

    @property
    def pending(self) -> Mapping[int, Job]:
        """Jobs whose end has not been reported."""
        return self.activity.jobs

    def fold(self, event: Watched, time: float = 0.0) -> None:
        """Take one event into account."""
        before = self.activity
        if not self._concerns(event):
            if isinstance(event, JobDone) and len(self.strays) < MAX_STRAYS:
                self.strays[event.job] = event
            return
        self.activity = fold(before, event, time)
        if isinstance(event, Disconnected):
            self.gaps += 1
        if isinstance(event, JobRequested | LocalBegun):
            self.changes += 1
        if self.activity.count != before.count:
            self._end(self.activity.ended[self.activity.count])

    def _concerns(self, event: Watched) -> bool:
        """Whether the event tells of the submitter's jobs, of a daemon's coming or going, or of the connection."""
        match event:
            case NodeStats():
                return self.activity.ids.get(event.host) != (event.name, event.address)
            case JobRequested():
                return self._is_submitter(event.submitter)
            case LocalBegun():
                return self._is_submitter(event.host)
            case JobBegun() | JobDone() | LocalDone():
                return event.job in self.activity.jobs
        return True

    def _is_submitter(self, host: int) -> bool:
        return self.activity.ids.get(host, NOBODY)[0] == self._name

    def _end(self, job: Job) -> None:
        if job.begun or job.node != NOBODY:
            self.ended.append(job)
            self.over.add(job.id)
            here, known = self._here(job), job.id in self.mine or job.id in self._others
            self.done_local += here
            self.done_remote += not here
            if here and not known and len(self._unmatched) < MAX_TIMED:
                self._unmatched[job.id] = job
        self.changes += 1

    def _here(self, job: Job) -> bool:
        return job.node[0] == self._name

    # -- what is asked; ``own``: what icecc's log has told, None when all of the submitter's jobs are to count

    def jobs(self, own: OwnCalls | None) -> Iterator[Job]:
        """Those that have ended."""
        if own is None:
            return iter(self.ended)
        self._match(own)
        return (job for job in self.ended if job.id in own.remote or job.id in self.mine)

    def claims(self, own: OwnCalls) -> set[int]:
        """Ids of jobs that are certainly the run's own, those that run included."""
        self._match(own, CLOSE_SECONDS)
        return own.remote.keys() | self.mine.keys()

    def give_up(self, ids: set[int]) -> bool:
        """These jobs are of another build, so that others are looked for in their place; whether that is news."""
        wrong = self.mine.keys() & ids
        self._calls += [self.mine.pop(id) for id in wrong]
        self._others |= ids
        return bool(wrong)

    def _match(self, own: OwnCalls, within: float = LATE_SECONDS) -> None:
        """Find the jobs of what icecc's log says was done here.

        The log has no ids for these, and another build may make a file of the same name at the time. So of the jobs
        with that name each call gets the one that began and took most nearly as it says, ``within`` some seconds.
        """
        self._calls += own.made[self._calls_seen :]
        self._calls_seen = len(own.made)
        known = self.mine.keys() | self._others
        running = {id: job for id, job in self.pending.items() if job.begun and self._here(job) and id not in known}
        by_name: dict[str, list[Job]] = {}
        for job in (self._unmatched | running).values():
            by_name.setdefault(PurePath(job.file).name, []).append(job)
        pairs = sorted(
            (distance, number, job.id)
            for number, call in enumerate(self._calls)
            for job in by_name.get(call.name, ())
            if (distance := _distance(call, job)) <= within
        )
        done = set[int]()
        for _, number, id in pairs:
            if number not in done and id not in self.mine:
                done.add(number)
                self.mine[id] = self._calls[number]
                self._unmatched.pop(id, None)
        self._calls = [call for number, call in enumerate(self._calls) if number not in done]

    def open(self, own: OwnCalls | None) -> bool:
        """Whether an end is still to be reported."""
        if own is None:
            return bool(self.pending)
        if not own.remote.keys() <= self.over:
            return True  # the news of them are on their way
        return any(map(_belongs(self._name, own), self.pending.values()))

    def now(self, own: OwnCalls | None) -> Now:
        """What runs. Who waits cannot be told apart: those of other builds on this machine are counted."""
        belongs = _belongs(self._name, own)
        running = [job for job in self.pending.values() if job.state is JobState.RUNNING and belongs(job)]
        nodes = [job.node for job in running if not self._here(job)]
        waiting = sum(job.state is JobState.PENDING for job in self.pending.values())
        return Now(len(nodes), len(set(nodes)), len(running) - len(nodes), waiting)

    def names(self) -> dict[str, str]:
        """Address → name of nodes; of several daemons at one address, of the one that came last."""
        hosts = sorted(self.activity.hosts.values(), key=lambda host: (host.online, host.since))
        return {**self.named, **{host.address: host.name for host in hosts}}

    def counts(self, own: OwnCalls | None) -> Counts:
        """What has ended; by icecc's log where there is one, which misses nothing when the scheduler is not watched."""
        ended = list(self.jobs(own))
        here = [job for job in ended if self._here(job)]
        remote = [job for job in ended if not self._here(job)]
        if own is not None:
            known, names = {job.id: job for job in remote}, self.names()
            remote = [
                known.get(id) or self._from_log(id, (names.get(address, address), address))
                for id, address in own.remote.items()
            ]
        nodes = _by_node(remote, own)
        failed = sum(node.failed for node in nodes.values())
        cpu = sum(job.user + job.system for job in remote)
        if own is None:
            return Counts(nodes, len(here), failed, None, cpu, sum(job.real for job in here))
        asked = sum(job.real for job in here if job.place not in SELF_MADE)  # of these the log tells no time
        return Counts(nodes, own.here, failed, len(own.fallen), cpu, own.here_ms + asked)

    def _from_log(self, id: int, node: HostKey) -> Job:
        """A job whose begin the scheduler told nobody here."""
        job = Job(id, JobState.DONE, JobPlace.REMOTE, "", node=node)
        if told := self.strays.get(id):
            job = replace(job, exit=told.exit, real=told.real, user=told.user, system=told.system)
        return job


def _distance(call: HereCall, job: Job) -> float:
    """Seconds by which what icecc's log says of a call is off from a job."""
    off = abs(job.begun - call.second)
    return off if call.ms is None or not job.ended else off + abs(job.real - call.ms) / 1000


def node_name(job: Job) -> str:
    """The machine that compiled it."""
    return job.node[0] or UNKNOWN


def _belongs(submitter: str, own: OwnCalls | None) -> Callable[[Job], bool]:
    """Whether a job is the run's own; of what runs here the log knows no id, but the file."""
    if own is None:
        return lambda _: True

    def check(job: Job) -> bool:
        return job.id in own.remote or (job.node[0] in ("", submitter) and PurePath(job.file).name in own.names)

    return check


def _by_node(jobs: Iterable[Job], own: OwnCalls | None) -> dict[str, NodeTally]:
    """Node → its jobs; what fell back has failed there, whatever its exit code, and what it was never sent has not."""
    fallen, spoilt = (own.fallen, own.spoilt) if own else (set[int](), set[int]())
    nodes: dict[str, NodeTally] = {}
    timed: dict[str, int] = {}
    for job in jobs:
        name = node_name(job)
        node = nodes.setdefault(name, NodeTally())
        node.jobs += 1
        node.failed += (job.exit != 0 or job.id in fallen) and job.id not in spoilt
        if job.real:
            timed[name] = timed.get(name, 0) + 1
            node.mean_ms += (job.real - node.mean_ms) / timed[name]
    return dict(sorted(nodes.items()))
