"""The records of what a scheduler tells: daemons, jobs, totals."""

from __future__ import annotations

import enum
from typing import Literal

from immutables import Map
from msgspec import Struct

from farm.node.ports import ICECCD_PORT
from farm.scheduler.control import ListedNode
from farm.scheduler.discovery import FoundScheduler

HostKey = tuple[str, str]
"""Name and address: what a daemon's logins have in common over time."""
NOBODY: HostKey = ("", "")
NO_JOBS = 1000
"""The load at which the scheduler gives a daemon no jobs."""


Canary = Literal["", "right", "wrong", "none"]
"""The same bytes as on the server, others, no object at all; empty: it was not tried."""


class JobState(enum.StrEnum):
    """How far a job has come."""

    PENDING = "pending"
    """Asked for; no node has begun."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Ended with an exit code other than 0, or without a node."""


class JobPlace(enum.StrEnum):
    """Where a job is compiled, and how it came there."""

    REMOTE = "remote"
    """On a node, for another machine."""
    OWN = "own"
    """The scheduler chose the submitter itself."""
    LOCAL = "local"
    """By the submitter, which asked nobody."""
    FALLBACK = "fallback"
    """By the submitter, after a node had failed."""


class Job(Struct, frozen=True, gc=False):
    """One compilation. Times are Unix seconds at which the news came (clocks of nodes may be off), 0 when not known."""

    id: int
    """The scheduler's; counted anew when it is restarted."""
    state: JobState
    place: JobPlace
    file: str
    """Its last three path parts; of local jobs the output file."""
    submitter: HostKey = NOBODY
    node: HostKey = NOBODY
    slot: int = 0
    """Lane on the node, from 0: the lowest that was free."""
    language: int = -1
    """0 C, 1 C++, 2 Objective-C, 3 Objective-C++, 4 custom, -1 not known."""
    requested: float = 0.0
    begun: float = 0.0
    ended: float = 0.0
    exit: int = 0
    """Of the compiler; 255: node lost, 118: the client could not use the node, 107: the client is gone."""
    real: int = 0
    """Milliseconds, like the next two."""
    user: int = 0
    system: int = 0
    page_faults: int = 0
    in_compressed: int = 0
    """Bytes, like the next three."""
    in_bytes: int = 0
    out_compressed: int = 0
    out_bytes: int = 0
    number: int = 0
    """Ended jobs are numbered from 1, in their order."""

    @property
    def waited(self) -> float:
        """Seconds from the request to the beginning; 0 when not known."""
        return max(0.0, self.begun - self.requested) if self.begun and self.requested else 0.0


class Host(Struct, frozen=True, kw_only=True):
    """A daemon that is, or was, logged in to the scheduler: a node, a submitter or both. It survives its logins."""

    name: str
    address: str
    id: int = 0
    """The scheduler's, of this login."""
    online: bool = True
    since: float = 0.0
    """Unix time of this login, or of its end."""
    logins: int = 1
    """As many as are known for certain."""
    logins_missed: bool = False
    """There may have been more: before the watching began, or while there was no connection to the scheduler."""
    found: bool = False
    """It was logged in when our connection began, which is what ``since`` tells: nobody tells since when."""
    slots: int = 0
    no_remote: bool = False
    platform: str = ""
    port: int = ICECCD_PORT
    """At which it takes sources; the usual one until the control port has been asked."""
    protocol: int = 0
    features: tuple[str, ...] = ()
    speed: float = 0.0
    """Output bytes per user millisecond, as the scheduler weighs them; 0: never measured."""
    load: int = 0
    """0–1000; at 1000 it gets no job."""
    load_averages: tuple[float, float, float] | None = None
    free_memory: int | None = None
    """Free memory in MiB; None: not reported."""
    installing: float = 0.0
    """Unix time since which it receives an environment; 0: it does not."""
    taken: int = 0
    """Its lanes in use, a bit each."""
    running: int = 0
    """Jobs it compiles for the farm."""
    done: int = 0
    failed: int = 0
    busy_ms: int = 0
    """Real time of those."""
    in_bytes: int = 0
    out_bytes: int = 0
    last: float = 0.0
    """Unix time at which its last job began or ended."""
    pending: int = 0
    """Jobs it has asked for that nobody has begun."""
    submitted: int = 0
    local: int = 0
    """Jobs it compiled without asking."""
    fallback: int = 0
    local_running: int = 0
    canary: Canary = ""
    """How a small compilation went that farmd had it do."""
    evictions: int = 0
    """How often in a row a login of its name and address has ended another's at once, which the scheduler does."""
    evicted: float = 0.0
    """Unix time of the last."""

    @property
    def key(self) -> HostKey:
        """A daemon's name and address, by which it is known."""
        return self.name, self.address

    @property
    def offered(self) -> int:
        """Jobs of others that it takes at a time."""
        return 0 if self.no_remote else self.slots


class Scheduler(Struct, frozen=True):
    """The scheduler as the monitor connection sees it."""

    up: bool = False
    address: str = ""
    since: float = 0.0
    protocol: int = 0
    why: str = ""
    rivals: tuple[FoundScheduler, ...] = ()
    """Others that answer for the same netname."""
    blocked: tuple[str, ...] = ()
    """Names and addresses it lets log in no more."""
    settled: bool = True
    """It has told of whoever was logged in when this connection began."""


class Totals(Struct, frozen=True, gc=False):
    """Since the watching began."""

    requested: int = 0
    begun: int = 0
    """By a node, own jobs included."""
    done: int = 0
    failed: int = 0
    local_begun: int = 0
    local: int = 0
    """Local jobs ended, fallbacks included."""
    fallback: int = 0
    lost: int = 0
    """In flight when the connection or their submitter was lost: how they ended is not known."""
    in_bytes: int = 0
    out_bytes: int = 0
    busy_ms: int = 0
    waited: float = 0.0
    """Seconds that jobs have waited for a node, added up."""


class Sample(Struct, frozen=True, gc=False):
    """One moment: what was in use, and the totals so far (rates are their differences)."""

    time: float
    slots: int = 0
    busy: int = 0
    pending: int = 0
    local: int = 0
    """Local jobs that run at this moment."""
    totals: Totals = Totals()


class Activity(Struct, frozen=True, kw_only=True):
    """All that one scheduler has told."""

    scheduler: Scheduler = Scheduler()
    hosts: Map[HostKey, Host] = Map()
    ids: Map[int, HostKey] = Map()
    """Whose login a host id is."""
    forged: Map[int, float] = Map()
    """Host ids of daemons whose text is forged → Unix time at which that was first seen."""
    jobs: Map[int, Job] = Map()
    """Jobs that wait for a node or run on one, by id."""
    made: Map[HostKey, Map[int, None]] = Map()
    """Ids of those that daemons compile by themselves, by daemon."""
    local: Map[tuple[HostKey, str], Map[int, None]] = Map()
    """Ids of the local ones among these, by submitter and file stem."""
    ended: Map[int, Job] = Map()
    """The last MAX_ENDED, by number."""
    count: int = 0
    """The number of the job that ended last."""
    failures: Map[tuple[HostKey, str], float] = Map()
    """Submitter and file stem → when a node failed with it."""
    totals: Totals = Totals()
    samples: tuple[Sample, ...] = ()

    @property
    def online(self) -> list[Host]:
        """The daemons that are logged in."""
        return [host for host in self.hosts.values() if host.online]


class Listed(Struct, frozen=True):
    """What the control port says besides: who receives an environment, who is blocked."""

    nodes: tuple[ListedNode, ...]
    blocked: tuple[str, ...]


class RivalsSeen(Struct, frozen=True):
    """The other schedulers of the same netname that answer now."""

    rivals: tuple[FoundScheduler, ...]


class Tick(Struct, frozen=True):
    """A second has passed."""


def stem(file: str) -> str:
    """What source and object of one compilation share: ``src/f00.cpp``, ``f00.o`` and ``f00.cpp.o`` give ``f00``."""
    return file.rpartition("/")[2].partition(".")[0]
