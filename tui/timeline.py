"""The timeline: which slot compiled what and when; jobs that submitters do themselves in a lane of their own."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from farm.attach import Attachment
from farm.view.live import Live
from farm.view.wording import duration, exit_words, milliseconds
from farm.watch.activity import NOBODY, HostKey, Job, JobState
from tui import filter as terms
from tui.base_view import View
from tui.job_detail import JobDetail, job_key
from tui.job_lanes import TIMELINE_KINDS, JobLanes, by_submitter
from tui.jobs import NewJobs, took
from tui.state_words import natural
from tui.submitters import sign
from tui.widgets.gantt import Gantt
from tui.widgets.lane_groups import Group
from tui.widgets.lanes import Bar, by_kind, legend
from tui.widgets.tone_line import ToneLine, TonePart

PIECE = 2000
"""So many jobs are added at a time: after a while elsewhere there may be many, and a key must not wait for all."""
PIECE_SECONDS = 0.05
"""From one piece to the next: time enough to draw what the key has opened."""
LEGEND_JOBS = 500
"""So many of the last jobs name submitters for the legend."""
NO_BAR = "arrows, [ and ] go to a job"


def about(job: Job, now: float) -> str:
    """A job in a line."""
    seconds = took(job, now)
    lasted = "" if seconds is None else milliseconds(seconds * 1000) if job.ended else duration(seconds)
    state = terms.state_of(job)
    how = exit_words(job.exit) if state is JobState.FAILED else state
    who = f"{job.submitter[0]} → {job.node[0]}" if job.node != job.submitter else job.node[0]
    return f"{job.file} · {how} · {lasted} · {job.place} · {who}"


class TimelineView(View):
    """A Gantt chart of slots."""

    TITLE = "Timeline"
    ABOUT = (
        "A lane for each slot, and as many as its local jobs need for each submitter (⌂). The line of a node shows how "
        "many of its lanes were busy; enter or a click folds it. The slot of a job is the lowest that "
        "was free when the job began. Times are those of the scheduler's messages. Left and right scroll in time, + "
        "and - zoom, "
        "[ and ] go from job to job, enter opens one, f or end follows the present, h hides idle lanes, w colours "
        "jobs by submitter or by result."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "hide", "Hide idle", tooltip="Hide lanes without a visible job, or show all", id="timeline.hide"),
        Binding("w", "who", "Who", tooltip="Colour jobs by submitter, or by result again", id="timeline.who"),
    ]
    DEFAULT_CSS = """
    TimelineView {
        & > Gantt { height: 1fr; }
        & > #timeline-line { background: $panel; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        self._now = 0.0
        self._follower = NewJobs(live)
        self._backlog: deque[Job] = deque()
        """What is new and has not been added yet."""
        self._lanes = JobLanes(live)
        self._hides = False
        self._by_submitter = False
        self._shown: list[Group] = []
        self._gantt = Gantt(look=by_kind(TIMELINE_KINDS), empty="no slots: no node is registered")
        self._legend = ToneLine(id="timeline-legend")
        self._line = ToneLine(id="timeline-line")

    def compose(self) -> ComposeResult:
        """The chart, what its colours mean, and the bar under the cursor in words."""
        yield self._gantt
        yield self._legend
        yield self._line

    def on_mount(self) -> None:
        """Lanes stand in our order, not in that of the first jobs."""
        self._gantt.set_groups(self._shown)

    def show(self, now: float) -> None:
        """Add what is new, and move on in time."""
        self._now = now
        adding = bool(self._backlog)
        self._backlog += self._follower.news()
        if not adding:
            self._add()

    def _add(self) -> None:
        """A piece of what is new; the lanes are drawn after the first, the bars after the last."""
        news = [self._backlog.popleft() for _ in range(min(PIECE, len(self._backlog)))]
        self._gantt.add(self._lanes.bars(news))
        if self._backlog:
            self.set_timer(PIECE_SECONDS, self._add)
        else:
            self._gantt.now = self._now
            self._tell()
            self._legend.tell(self._legend_parts())
        self._show_lanes()

    def _show_lanes(self) -> None:
        shown = self._lanes.busy_since(self._gantt.span[0]) if self._hides else self._lanes.groups()
        if shown is not self._shown and shown != self._shown:
            self._gantt.set_groups(shown)
        self._shown = shown

    def action_hide(self) -> None:
        """Leave out the lanes that have been idle for as long as the chart shows, or show them again."""
        self._hides = not self._hides
        self._show_lanes()

    def action_who(self) -> None:
        """Colour the bars by who asked for them, or by what came of them again."""
        self._by_submitter = not self._by_submitter
        self._gantt.look = by_submitter(self.live) if self._by_submitter else by_kind(TIMELINE_KINDS)
        self._legend.tell(self._legend_parts())

    def _legend_parts(self) -> list[TonePart]:
        if not self._by_submitter:
            return legend(TIMELINE_KINDS)
        parts: list[TonePart] = []
        for key in sorted(self._submitters(), key=lambda key: (natural(key[0]), key)):
            letter, tone = sign(self.live, key)
            parts += [(f"{letter}██", tone), (f" {key[0] or key[1]}  ", None)]
        return [*parts, *legend({"failed": TIMELINE_KINDS["failed"]})]

    def _submitters(self) -> set[HostKey]:
        """Whose jobs are in flight, or were among the last that ended."""
        ended = self.live.ended
        last = (ended[-1 - back].submitter for back in range(min(len(ended), LEGEND_JOBS)))
        return {*last, *(job.submitter for job in self.live.jobs.values())} - {NOBODY}

    def _tell(self, bar: Bar | None = None) -> None:
        bar = bar or self._gantt.bar
        job = self._job(bar) if bar else None
        self._line.tell([(about(job, self._now), None)] if job else [(NO_BAR, "muted")])

    def _job(self, bar: Bar) -> Job | None:
        number = bar.id[0] if isinstance(bar.id, tuple) else 0
        job = self.live.jobs.get(number)
        if job is not None and job_key(job) == bar.id:
            return job
        return next((job for job in reversed(self.live.ended) if job_key(job) == bar.id), None)

    @on(Gantt.Pointed)
    def _pointed(self, message: Gantt.Pointed) -> None:
        self._tell(message.bar)

    @on(Gantt.Picked)
    def _picked(self, message: Gantt.Picked) -> None:
        if (job := self._job(message.bar)) is not None:
            self.app.push_screen(JobDetail(self.attachment, self.live, job))
