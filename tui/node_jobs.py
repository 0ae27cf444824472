"""What a node did lately: its part of the timeline, and its last jobs."""

from __future__ import annotations

import time
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from farm.view.live import Live
from farm.view.status import NodeStatus
from farm.view.wording import duration, milliseconds
from farm.watch.activity import HostKey, Job, JobState
from tui.job_detail import job_key
from tui.job_lanes import TIMELINE_KINDS, JobLanes
from tui.jobs import NewJobs, state_cell, took
from tui.links import Follow, JobTarget
from tui.submitters import sign
from tui.widgets.columns import Column
from tui.widgets.gantt import Gantt
from tui.widgets.lane_groups import LaneName
from tui.widgets.lanes import by_kind, legend
from tui.widgets.lines import Cell
from tui.widgets.table import LiveTable
from tui.widgets.tone_line import ToneLine

LAST_JOBS = 20
MAX_LANES = 10
"""Lanes that are shown without scrolling."""
WIDE_CELLS = 100
"""From here on two tables stand side by side."""
LEAST_ROWS = 9
"""Lines of a table, its title included, however low the screen is."""


class NodeJobs(Vertical):
    """The lanes and the last jobs of one machine; of one that only submits, the jobs that it asked for.

    Args:
        live: what is known.
        slots: the table of its slots; the last jobs stand beside it where there is room, else below it.
    """

    DEFAULT_CSS = """
    NodeJobs {
        height: auto;
        & > Horizontal { height: auto; layout: vertical; margin-bottom: 1; }
        & > Horizontal.-wide { layout: horizontal; }
        & > Horizontal > LiveTable { width: 1fr; }
        & > Horizontal.-wide > #node-jobs { margin-left: 1; }
        & > Gantt { height: 3; }
    }
    """

    def __init__(self, live: Live, slots: LiveTable[Any]) -> None:
        super().__init__()
        self._live = live
        self._slots = slots
        self._node: NodeStatus | None = None
        self._now = 0.0
        self._follower = NewJobs(live)
        self._hosts: frozenset[HostKey] = frozenset()
        self._lanes = JobLanes(live)
        self._shown: list[LaneName] | None = None
        self._last: list[Job] = []
        self._gantt = Gantt(look=by_kind(TIMELINE_KINDS), empty="no job yet", id="node-lanes")
        self._legend = ToneLine()
        self.table: LiveTable[Job] = LiveTable(
            [
                Column[Job](name="state", title="Last jobs", width=9, cell=state_cell),
                Column[Job](
                    name="file", title="File", width=26, min_width=10, elastic=True, path=True, cell=lambda j: j.file
                ),
                Column[Job](name="other", title="For", width=14, min_width=6, cell=self._other),
                Column[Job](name="took", title="Took", width=7, align="right", cell=self._took),
                Column[Job](name="when", title="When", width=8, cell=_when),
            ],
            key=job_key,
            empty="no job yet",
            id="node-jobs",
        )

    def compose(self) -> ComposeResult:
        """What it does; the rest comes when that has been drawn, since a key must not wait for it."""
        with Horizontal():
            yield self._slots

    async def _add_rest(self) -> None:
        """What it did, the lanes, and what their colours mean."""
        await self.query_one(Horizontal).mount(self.table)
        await self.mount(self._gantt, self._legend)
        self._legend.tell(legend(TIMELINE_KINDS))
        if self.display and not self._slots.display:
            self.table.focus(scroll_visible=False)
        assert self._node is not None
        self.show(self._node, self._now)

    def show(self, node: NodeStatus, now: float) -> None:
        """Draw what its daemons did."""
        if self._node is None:
            self.call_after_refresh(self._add_rest)
        self._node, self._now = node, now
        if self.table.is_attached and self._legend.is_attached:
            self._follow(node)
        self._fit()

    def _follow(self, node: NodeStatus) -> None:
        if self._hosts != (hosts := frozenset(login.key for login in node.logins)):
            self._hosts = hosts
            self._follower.reset()
        news = self._follower.news(self._concerns)
        self._gantt.add(self._lanes.bars(job for job in news if job.node in hosts))
        if self._shown != (lanes := self._lanes.of(node)):
            self._shown = lanes
            self._gantt.set_lanes(lanes)
            self._gantt.display = self._legend.display = bool(lanes)
            self._gantt.styles.height = 1 + min(MAX_LANES, len(lanes))
        self._gantt.now = self._now
        known = {job_key(job): job for job in (*self._last, *news)}
        told = (job for job in known.values() if job.ended or job.node not in hosts)  # the others are in the slots
        self._last = sorted(told, key=_moment, reverse=True)[:LAST_JOBS]
        self.table.set_rows(self._last)

    def _fit(self) -> None:
        """Side by side the tables are equally high."""
        # Of the screen: the own width changes with the scroll bar, which comes and goes with the height.
        wide = self._slots.display and self.app.size.width >= WIDE_CELLS
        self.query_one(Horizontal).set_class(wide, "-wide")
        most = max(LEAST_ROWS, self.app.size.height // 4)
        slots = min(most, max(3, len(self._slots.rows) + 1))
        jobs = min(most, max(3, len(self._last) + 1))
        self._slots.styles.height = max(slots, jobs) if wide else slots
        self.table.styles.height = max(slots, jobs) if wide else jobs

    def _concerns(self, job: Job) -> bool:
        return job.node in self._hosts or job.submitter in self._hosts

    def _other(self, job: Job) -> Cell:
        """Whoever it was done for, or by whom."""
        if job.node not in self._hosts:
            return f"→ {job.node[0] or job.node[1]}" if job.begun else "→"
        if job.submitter == job.node:
            return "itself", "muted"
        letter, tone = sign(self._live, job.submitter)
        return [(letter, tone), (f" {job.submitter[0] or job.submitter[1]}", None)]

    def _took(self, job: Job) -> Cell:
        seconds = took(job, self._now)
        if seconds is None:
            return ""
        return duration(seconds) if job.state is JobState.RUNNING else milliseconds(seconds * 1000)

    @on(LiveTable.Opened, "#node-jobs")
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        if (job := self.table.cursor_row) is not None:
            self.post_message(Follow(JobTarget(job)))

    @on(Gantt.Picked)
    def _picked(self, message: Gantt.Picked) -> None:
        message.stop()
        known = (*self._live.jobs.values(), *reversed(self._live.ended))
        job = next((job for job in known if job_key(job) == message.key), None)
        if job is not None:
            self.post_message(Follow(JobTarget(job)))


def _moment(job: Job) -> float:
    return job.ended or job.begun or job.requested


def _when(job: Job) -> str:
    return time.strftime("%H:%M:%S", time.localtime(_moment(job)))
