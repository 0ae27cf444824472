"""The tables of the overview: the busiest nodes, submitters, the slowest jobs that run, the last that failed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from heapq import nsmallest
from operator import attrgetter

from msgspec import Struct

from farm.view.live import Live
from farm.view.status import NodeStatus
from farm.view.wording import duration, exit_words, rate
from farm.watch.activity import NOBODY, HostKey, Job, JobPlace, JobState
from tui.figures import is_worker
from tui.job_detail import job_key
from tui.problem_texts import recent
from tui.slot_cells import Slots, busy_slots, slot_cells, slot_jobs
from tui.state_words import natural
from tui.submitters import sign
from tui.widgets.columns import Column, number_column
from tui.widgets.lines import Cell
from tui.widgets.table import LiveTable

TOP_SECONDS = 10.0
"""Jobs a second of nodes and submitters are means of so long."""
FEW_SLOTS, MANY_SLOTS = 8, 16
"""Cells for the slots of a node in a narrow table, and in a wide one."""
WIDE_TABLE = 50
SHOWN_JOBS = 40
FAILED_SECONDS = 900.0
"""A failure that is older is no news."""


class Submitter(Struct, frozen=True):
    """Somebody whose jobs are in flight or have lately ended."""

    key: HostKey
    name: str
    """With its address where another has the same name."""
    running: int
    waiting: int
    rate: float
    local: int
    """Running now, on its own machine."""


def submitters(live: Live, now: float) -> list[Submitter]:
    """All daemons that submit jobs, with what they have running and waiting."""
    running: Counter[HostKey] = Counter()
    waiting: Counter[HostKey] = Counter()
    local: Counter[HostKey] = Counter()
    for job in live.jobs.values():
        if job.state is JobState.PENDING:
            waiting[job.submitter] += 1
        elif job.place in (JobPlace.LOCAL, JobPlace.FALLBACK):
            local[job.submitter] += 1
        else:
            running[job.submitter] += 1
    done = Counter(job.submitter for job in recent(live, now, TOP_SECONDS))
    keys = dict.fromkeys(key for key in (*running, *waiting, *local, *done) if key != NOBODY)
    same = Counter(name for name, _ in keys)
    return [
        Submitter(
            key,
            key[0] if same[key[0]] == 1 and key[0] else " ".join(filter(None, key)),
            running[key],
            waiting[key],
            done[key] / TOP_SECONDS,
            local[key],
        )
        for key in keys
    ]


class NodeTable(LiveTable[NodeStatus]):
    """Nodes that compile for others, the busiest first."""

    def __init__(self, live: Live, id: str) -> None:
        column = Column[NodeStatus]
        super().__init__(
            [
                column(
                    name="name",
                    title="Busiest nodes",
                    width=14,
                    min_width=8,
                    cell=lambda node: node.name,
                    value=lambda node: natural(node.name),
                    elastic=True,
                ),
                self._slots_column(FEW_SLOTS),
                number_column("busy", "Busy", 6, _busy, _running),
                number_column("rate", "Jobs/s", 7, self._rate, self._rank),
            ],
            key=lambda node: node.key,
            sort="rate",
            reverse=True,
            empty="no node has a job",
            stays=True,
            id=id,
        )
        self._live = live
        self._rates: Counter[HostKey] = Counter()
        self._busy: Slots = {}
        self._most = FEW_SLOTS

    def _slots_column(self, width: int) -> Column[NodeStatus]:
        return Column(name="slots", title="Slots", width=width, cell=self._slots)

    def on_resize(self) -> None:
        """A wide table has room for more slots."""
        most = MANY_SLOTS if self.size.width >= WIDE_TABLE else FEW_SLOTS
        if most != self._most:
            self._most = most
            self.replace_column(self._slots_column(most))

    def show(self, now: float) -> None:
        """Show the nodes that are online now."""
        self._busy = busy_slots(self._live)
        self._rates = Counter(job.node for job in recent(self._live, now, TOP_SECONDS))
        online = (node for node in self._live.nodes.values() if node.host is not None and node.host.online)
        self.set_rows(node for node in online if is_worker(node))

    def _slots(self, node: NodeStatus) -> Cell:
        return slot_cells(node, slot_jobs(node, self._busy), self._live, self._most)

    def _rate(self, node: NodeStatus) -> Cell:
        return rate(self._rates[node.host.key] / TOP_SECONDS) if node.host else ""

    def _rank(self, node: NodeStatus) -> tuple[int, int]:
        return (self._rates[node.host.key], _running(node)) if node.host else (0, 0)


class SubmitterTable(LiveTable[Submitter]):
    """Who submits, with the letter by which slots show it."""

    def __init__(self, live: Live, id: str) -> None:
        super().__init__(
            [
                Column[Submitter](
                    name="name", title="Submitters", width=14, min_width=8, cell=self._signed, elastic=True
                ),
                number_column("running", "Runs", 5, lambda each: f"{each.running}", _weight),
                number_column("waiting", "Waits", 5, lambda each: f"{each.waiting}", attrgetter("waiting")),
                number_column("local", "Local", 5, lambda each: f"{each.local}", attrgetter("local")),
                number_column("rate", "Jobs/s", 6, lambda each: rate(each.rate), attrgetter("rate")),
            ],
            key=lambda submitter: submitter.key,
            sort="running",
            reverse=True,
            empty="no submitter compiles",
            stays=True,
            id=id,
        )
        self._live = live

    def show(self, now: float) -> None:
        """Show who has jobs now."""
        self.set_rows(submitters(self._live, now))

    def _signed(self, each: Submitter) -> Cell:
        mark = sign(self._live, each.key)
        return [(f"{mark.letter} ", mark.tone), (each.name, None)]


class SlowTable(LiveTable[Job]):
    """Jobs that run, the longest first."""

    def __init__(self, live: Live, id: str) -> None:
        super().__init__(
            [
                _file("Slowest running"),
                Column[Job](name="node", title="Node", width=12, min_width=6, cell=lambda job: job.node[0]),
                number_column("took", "Takes", 6, lambda job: duration(self._now - job.begun), lambda job: -job.begun),
            ],
            key=job_key,
            empty="no job runs",
            stays=True,
            id=id,
        )
        self._live = live
        self._now = 0.0

    def show(self, now: float) -> None:
        """Show the jobs that run now."""
        self._now = now
        running = (job for job in self._live.jobs.values() if job.state is JobState.RUNNING and job.begun)
        self.set_rows(nsmallest(SHOWN_JOBS, running, key=attrgetter("begun")))


class FailureTable(LiveTable[Job]):
    """Jobs that failed lately, the newest first."""

    def __init__(self, live: Live, id: str) -> None:
        super().__init__(
            [
                _file("Last failures"),
                Column[Job](name="node", title="Node", width=12, min_width=6, cell=lambda job: job.node[0]),
                Column[Job](name="exit", title="Exit", width=10, min_width=6, cell=lambda job: exit_words(job.exit)),
                number_column("ago", "Ago", 6, lambda job: duration(self._now - job.ended), lambda job: job.ended),
            ],
            key=job_key,
            empty="no job failed lately",
            stays=True,
            id=id,
        )
        self._live = live
        self._now = 0.0
        self._failed: deque[Job] = deque(maxlen=SHOWN_JOBS)
        """The newest stand at the end."""
        self._number = 0
        """Of the last job that was looked at."""

    def show(self, now: float) -> None:
        """Look at what has ended since, and replace the rows."""
        self._now = now
        self._failed.extend(reversed([job for job in self._new() if job.state is JobState.FAILED]))
        self.set_rows(job for job in reversed(self._failed) if job.ended > now - FAILED_SECONDS)

    def _new(self) -> Iterable[Job]:
        """Jobs that ended since, the newest first; numbers begin anew with farmd."""
        ended = self._live.ended
        last = ended[-1].number if ended else 0
        if last < self._number:
            self._number = 0
            self._failed.clear()
        known, self._number = self._number, last
        for job in reversed(ended):
            if job.number <= known:
                return
            yield job


def _file(title: str) -> Column[Job]:
    return Column[Job](
        name="file", title=title, width=20, min_width=8, cell=lambda job: job.file, elastic=True, path=True
    )


def _running(node: NodeStatus) -> int:
    return node.host.jobs_running if node.host else 0


def _busy(node: NodeStatus) -> Cell:
    if node.host is None:
        return ""
    return f"{node.host.jobs_running}/{node.host.slots}" if node.host.slots else ("none", "muted")


def _weight(submitter: Submitter) -> tuple[int, float]:
    return submitter.running, submitter.rate
