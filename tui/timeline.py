"""The timeline: which slot compiled what and when; jobs that submitters do themselves in a lane of their own."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from farm.attach import Attachment
from farm.view.live import Live
from farm.view.wording import duration, exit_words, milliseconds
from farm.watch.activity import HostKey, Job, JobPlace, JobState
from tui import filter as terms
from tui.base_view import View
from tui.job_detail import JobDetail, job_key
from tui.jobs import NewJobs, took
from tui.widgets.gantt import Gantt
from tui.widgets.lanes import BAR_KINDS, Bar, BarKind
from tui.widgets.safe_text import clean

LaneKey = tuple[HostKey, int]
"""Whose, and which slot; SELF for what a submitter does without a slot."""
SELF = -1
PIECE = 2000
"""So many jobs are added at a time: after a while elsewhere there may be many, and a key must not wait for all."""
PIECE_SECONDS = 0.05
"""From one piece to the next: time enough to draw what the key has opened."""
TIMELINE_KINDS = {
    **BAR_KINDS,
    "fallback": BarKind("▞", "warn", head="↺"),
    terms.LOST_STATE: BarKind("▚", "muted", head="?"),
}
"""Remote, own, local, failed, and what is neither done nor failed."""


def kind(job: Job) -> str:
    """How a job's bar looks: that it failed says more than where."""
    state = terms.state_of(job)
    return "failed" if state is JobState.FAILED else terms.LOST_STATE if state == terms.LOST_STATE else str(job.place)


def lane(job: Job) -> LaneKey:
    """Where a job's bar stands."""
    return job.node, SELF if job.place in (JobPlace.LOCAL, JobPlace.FALLBACK) else job.slot


def bars(jobs: Iterable[Job]) -> list[Bar]:
    """The jobs that somebody has begun."""
    return [
        Bar(job_key(job), lane(job), job.begun, kind(job), job.ended or None, job.file.rpartition("/")[2])
        for job in jobs
        if job.begun
    ]


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
        "A lane for each slot, and one for the local jobs of each submitter. The slot of a job is the lowest that "
        "was free when the job began. Times are those of the scheduler's messages. Left and right scroll in time, + "
        "and - zoom, "
        "[ and ] go from job to job, enter opens one, f or end follows the present, h hides idle lanes."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "hide", "Hide idle", tooltip="Hide lanes without a visible job, or show all", id="timeline.hide")
    ]
    DEFAULT_CSS = """
    TimelineView {
        & > Gantt { height: 1fr; }
        & > #timeline-line { height: 1; padding: 0 1; background: $panel; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        self._now = 0.0
        self._follower = NewJobs(live)
        self._backlog: deque[Job] = deque()
        """What is new and has not been added yet."""
        self._slots: dict[HostKey, int] = {}
        self._lanes: list[tuple[LaneKey, str]] = []
        self._selves: set[HostKey] = set()
        self._last: dict[LaneKey, float] = {}
        """When each lane's last job ended, or began."""
        self._hides = False
        self._shown_lanes: list[tuple[LaneKey, str]] = []
        self._said = ""
        self._gantt = Gantt(kinds=TIMELINE_KINDS, per_cell=1.0, empty="no slots: no node is registered")

    def compose(self) -> ComposeResult:
        """The chart, and the bar under the cursor in words or what the glyphs mean."""
        yield self._gantt
        yield Static("", id="timeline-line", markup=False)

    def on_mount(self) -> None:
        """Lanes stand in our order, not in that of the first jobs."""
        self._gantt.set_lanes(self._shown_lanes)

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
        self._arrange(news)
        self._gantt.add(bars(news))
        if self._backlog:
            self.set_timer(PIECE_SECONDS, self._add)
        else:
            self._gantt.now = self._now
            self._tell()
        self._show_lanes()

    def _arrange(self, news: Iterable[Job]) -> None:
        """The lanes: as many as nodes have slots, or as jobs have shown."""
        slots = self._slots
        hosts = [login for node in self.live.nodes.values() for login in node.logins]
        for host in hosts:
            if host.online and slots.get(host.key, 0) < host.slots:
                slots[host.key] = host.slots
        for job in news:
            if job.begun:
                key, slot = lane(job)
                if slot == SELF:
                    self._selves.add(key)
                elif slots.get(key, 0) <= slot:
                    slots[key] = slot + 1
                self._last[key, slot] = max(self._last.get((key, slot), 0.0), job.ended, job.begun)
        self._forget({host.key for host in hosts})
        slots = self._slots
        if len(self._lanes) != len(self._selves) + sum(slots.values()):
            keys = sorted({*slots, *self._selves})
            named = Counter(name for name, _ in keys)
            self._lanes = [
                ((key, slot), _label(key if named[key[0]] == 1 else (" ".join(key), ""), slot))
                for key in keys
                for slot in (*range(slots.get(key, 0)), *((SELF,) if key in self._selves else ()))
            ]

    def _forget(self, known: set[HostKey]) -> None:
        """Daemons of which nobody knows go when their last job has gone too."""
        if not {*self._slots, *self._selves} - known:
            return
        oldest = self.live.ended[0].ended if self.live.ended else 0.0
        lately = {key for (key, _), when in self._last.items() if when >= oldest}
        gone = {*self._slots, *self._selves} - known - lately
        self._selves -= gone
        self._slots = {key: number for key, number in self._slots.items() if key not in gone}
        self._last = {lane: when for lane, when in self._last.items() if lane[0] not in gone}

    def _show_lanes(self) -> None:
        shown = self._lanes
        if self._hides:
            begin, last = self._gantt.span[0], self._last
            busy = {lane(job) for job in self.live.jobs.values() if job.begun}
            shown = [each for each in shown if each[0] in busy or last.get(each[0], 0.0) >= begin]
        if shown != self._shown_lanes:
            self._shown_lanes = shown
            self._gantt.set_lanes(shown)

    def action_hide(self) -> None:
        """Leave out the lanes that have been idle for as long as the chart shows, or show them again."""
        self._hides = not self._hides
        self._show_lanes()

    def _tell(self, bar: Bar | None = None) -> None:
        bar = bar or self._gantt.bar
        job = self._job(bar) if bar else None
        said = clean(about(job, self._now)) if job else self._gantt.legend()
        if said != self._said:
            self._said = said
            self.query_one("#timeline-line", Static).update(said, layout=False)

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


def _label(key: HostKey, slot: int) -> str:
    name = clean(key[0] or key[1])
    return f"{name} self" if slot == SELF else f"{name} {slot + 1}"
