"""What the history tells (schema 1, docs/history.md).

Times are Unix seconds, durations milliseconds unless said otherwise.
"""

from __future__ import annotations

from msgspec import Struct


class Build(Struct, frozen=True, kw_only=True):
    """A `farm run`, or a submitter's burst of jobs, which ends when none has come or run for QUIET_SECONDS."""

    id: int
    submitter: str
    """Name of the daemon that asked."""
    address: str
    started: float
    ended: float
    """Of its last job so far."""
    open: bool
    """Whether further jobs may still belong to this build."""
    tag: str = ""
    """The command, where `farm run` or somebody else told of it."""
    name: str = ""
    """What `farm run` calls it, and the next build like it; empty for jobs outside of `farm run`."""
    run: str = ""
    """Id of the `farm run`."""
    remote: int = 0
    """Jobs that ended on nodes, failed ones included."""
    own: int = 0
    """Those of the scheduler's that it was given itself."""
    local: int = 0
    """Compiled or linked without asking, fallbacks included."""
    fallback: int = 0
    failed: int = 0
    lost: int = 0
    """Ends that nobody told."""
    real_ms: int = 0
    """Of all jobs, added up: what one slot would have needed."""
    user_ms: int = 0
    waited_ms: int = 0
    """Between request and begin, added up."""
    in_bytes: int = 0
    out_bytes: int = 0
    most: int = 0
    """Jobs that ran at one time, at most."""

    @property
    def jobs(self) -> int:
        """Number of jobs, wherever they ran."""
        return self.remote + self.own + self.local

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started

    @property
    def parallelism(self) -> float:
        """Jobs that ran at a time, on average."""
        return self.real_ms / 1000 / self.seconds if self.seconds > 0 else 0.0


class NodeShare(Struct, frozen=True):
    """What one node did for a build, or in an hour."""

    node: str
    jobs: int
    failed: int
    real_ms: int
    out_bytes: int


class FileTime(Struct, frozen=True):
    """A compilation of a build, one of its slowest or a failed one."""

    file: str
    node: str
    place: str
    """remote, own, local or fallback."""
    real_ms: int
    exit: int
    ended: float


class Wait(Struct, frozen=True):
    """For whom a build waited, in job-seconds.

    While jobs of the build were pending, their waiting fell to all submitters in proportion to the jobs that each had
    running on nodes. What fell to the build's own jobs is left out: it filled the farm by itself.
    """

    holder: str
    seconds: float


class Curve(Struct, frozen=True):
    """How many jobs of a build ran at a time: one value for each step, from Unix time ``begin``."""

    begin: float = 0.0
    step: float = 1.0
    """Seconds for which each value stands."""
    running: tuple[float, ...] = ()
    """Means of the steps, of jobs that have ended; there are none for builds that were kept by earlier releases."""


class BuildDetail(Struct, frozen=True, kw_only=True):
    """One build with its nodes, slowest files, failures, waits, and how many of its jobs ran when."""

    build: Build
    nodes: list[NodeShare]
    """Each node's share, the node with most jobs first."""
    slowest: list[FileTime]
    failures: list[FileTime]
    waits: list[Wait]
    curve: Curve = Curve()


class NodeHour(Struct, frozen=True):
    """One node in one hour that began at Unix time ``hour``."""

    hour: int
    share: NodeShare
