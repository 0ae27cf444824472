"""The job stream: every job as it is asked for, begun and ended, the newest first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import ClassVar

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from farm.attach import Attachment
from farm.errors import FarmError
from farm.view.live import Live
from farm.view.wording import duration, exit_words, language, milliseconds, size
from farm.watch.activity import HostKey, Job, JobPlace, JobState
from farm.watch.activity.jobs import SELF_MADE
from tui import filter as terms
from tui.base_view import NARROW_SCREEN, View
from tui.job_detail import JobDetail, job_key
from tui.widgets.columns import Column
from tui.widgets.lines import Cell, Tone
from tui.widgets.stream import MAX_RECORDS, LiveStream
from tui.widgets.table import LiveTable

GLYPHS: dict[str, tuple[str, Tone | None]] = {
    JobState.PENDING: ("○", "muted"),
    JobState.RUNNING: ("▸", "accent"),
    JobState.DONE: ("✓", "good"),
    JobState.FAILED: ("✗", "bad"),
    terms.LOST_STATE: ("?", "warn"),
}
NARROW = ("state", "file", "node", "took")
MEDIUM = ("state", "file", "submitter", "node", "place", "took", "exit")
LARGE = ("state", "file", "submitter", "node", "place", "waited", "took", "exit", "when")
WIDE = ("state", "file", "lang", "submitter", "node", "place", "waited", "took", "in", "out", "exit", "when")
WIDE_CELLS = 140
EMPTY = "no jobs yet"
HINT = "node: submitter: file: state: place: exit: lang: took: waited:, and words; - before a term excludes"


def state_cell(job: Job) -> Cell:
    """A job's state, as a sign and a word."""
    state = terms.state_of(job)
    glyph, tone = GLYPHS[state]
    return f"{glyph} {state}", tone


def place_cell(job: Job) -> Cell:
    """Where it is compiled; nothing as long as nobody knows."""
    if job.state is JobState.PENDING:
        return ""
    return job.place, "warn" if job.place is JobPlace.FALLBACK else None


def exit_cell(job: Job) -> Cell:
    """How it ended, in words; of what submitters do themselves nobody is told."""
    if job.state not in (JobState.DONE, JobState.FAILED) or job.place in SELF_MADE:
        return ""
    return exit_words(job.exit), "bad" if job.exit else None


def took(job: Job, now: float) -> float | None:
    """Seconds it ran, or has been running; None when it never began, or it is not known when it began or ended."""
    if job.state is JobState.RUNNING and not job.ended:
        return max(0.0, now - job.begun) if job.begun else None
    return job.real / 1000 if job.begun and job.state in (JobState.DONE, JobState.FAILED) else None


def _name(key: HostKey) -> str:
    return key[0] or key[1]


def _name_order(key: HostKey) -> tuple[str, HostKey]:
    """By what can be read."""
    return _name(key), key


def _moment(job: Job) -> float:
    return job.ended or job.begun or job.requested


def _clock(job: Job) -> str:
    return time.strftime("%H:%M:%S", time.localtime(_moment(job)))


def _language(job: Job) -> str:
    return language(job).replace("Objective-", "Obj")


def _bytes(number: int) -> str:
    return size(number) if number else ""


class NewJobs:
    """What is new among the jobs of a `Live` since it was last asked."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._flight: dict[int, Job] = {}
        self._number = 0

    def reset(self) -> None:
        """Begin anew: all jobs are new again."""
        self._flight, self._number = {}, 0

    def news(self, wanted: Callable[[Job], bool] | None = None, limit: int | None = None) -> list[Job]:
        """New and changed jobs, in the order they were asked for; the lost ones have an end and no result.

        ``wanted``: those that are passed on; of the ended ones at most ``limit``, the newest.
        """
        live, before = self._live, self._flight
        ended = [*self._ended()]
        over = {job.id for job in ended}
        now = dict(live.jobs)
        lost = [replace(job, ended=live.time) for id, job in before.items() if id not in now and id not in over]
        changed = [job for id, job in now.items() if before.get(id) is not job]
        self._flight = now
        found = [*filter(wanted, [*lost, *changed]), *islice(filter(wanted, ended), limit)]
        return sorted(found, key=lambda job: job.requested or job.begun)

    def _ended(self) -> Iterator[Job]:
        """The jobs that ended since, the newest first; numbers begin anew with farmd."""
        ended = self._live.ended
        if not ended:
            return
        known = self._number if self._number <= ended[-1].number else 0
        self._number = ended[-1].number
        for job in reversed(ended):
            if job.number <= known:
                break
            yield job


class JobsView(View):
    """All jobs, in flight and ended, with a filter."""

    TITLE = "Jobs"
    ABOUT = (
        "All jobs, newest request first. Waited: from the request until a node began. Took: real time by the node's "
        "clock. In and out: bytes of source and object before compression. Place: remote is on a node for another "
        "machine, own means that the scheduler chose the submitter itself, local is without asking the scheduler, "
        "fallback is local after a node had failed. "
        f"Filter by {HINT}. Values are parts of names (node:=pc1 means the whole name), lists (state:failed,lost) or "
        "comparisons (took:>5, exit:>0)."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", tooltip=f"Terms: {HINT}", id="jobs.filter"),
        Binding("escape", "clear", "Clear filter", show=False, id="jobs.clear"),
    ]
    DEFAULT_CSS = """
    JobsView {
        & > #jobs-line { height: 1; color: $foreground-muted; padding: 0 1; }
        & > #jobs-line.-wrong { color: $text-error; text-style: bold; }
        & > #jobs-filter { height: 1; border: none; padding: 0 1; display: none; &.-open { display: block; } }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        self._now = 0.0
        self._follower = NewJobs(live)
        self._predicate: terms.Predicate | None = None
        self._wrong = ""
        self._said = ""
        self._stream = self._make_stream()

    def compose(self) -> ComposeResult:
        """A line that says what is shown, the filter when it is wanted, the stream."""
        yield Static("", id="jobs-line", markup=False)
        yield Input(placeholder=HINT, id="jobs-filter", compact=True, max_length=terms.MAX_LENGTH)
        yield self._stream

    def _make_stream(self) -> LiveStream[Job]:
        return LiveStream(
            [
                Column[Job](name="state", title="State", width=9, cell=state_cell, value=terms.state_of),
                Column[Job](
                    name="file",
                    title="File",
                    width=26,
                    min_width=10,
                    elastic=True,
                    path=True,
                    cell=lambda j: j.file,
                    value=lambda j: j.file,
                ),
                Column[Job](name="lang", title="Lang", width=6, min_width=3, cell=_language, value=_language),
                Column[Job](
                    name="submitter",
                    title="Submitter",
                    width=14,
                    min_width=6,
                    cell=lambda j: _name(j.submitter),
                    value=lambda j: _name_order(j.submitter),
                ),
                Column[Job](
                    name="node",
                    title="Node",
                    width=14,
                    min_width=6,
                    cell=lambda j: _name(j.node),
                    value=lambda j: _name_order(j.node),
                ),
                Column[Job](name="place", title="Place", width=8, cell=place_cell, value=lambda j: j.place),
                Column[Job](
                    name="waited",
                    title="Waited",
                    width=7,
                    align="right",
                    descending=True,
                    cell=lambda j: milliseconds(j.waited * 1000) if j.waited else "",
                    value=lambda j: j.waited,
                ),
                Column[Job](
                    name="took",
                    title="Took",
                    width=7,
                    align="right",
                    descending=True,
                    cell=self._took_cell,
                    value=lambda j: took(j, self._now),
                ),
                Column[Job](
                    name="in",
                    title="In",
                    width=9,
                    align="right",
                    descending=True,
                    cell=lambda j: _bytes(j.in_bytes),
                    value=lambda j: j.in_bytes,
                ),
                Column[Job](
                    name="out",
                    title="Out",
                    width=9,
                    align="right",
                    descending=True,
                    cell=lambda j: _bytes(j.out_bytes),
                    value=lambda j: j.out_bytes,
                ),
                Column[Job](name="exit", title="Exit", width=19, min_width=7, cell=exit_cell, value=lambda j: j.exit),
                Column[Job](name="when", title="When", width=8, cell=_clock, value=_moment, descending=True),
            ],
            key=job_key,
            reverse=True,
            limit=MAX_RECORDS,
            empty=EMPTY,
        )

    def _took_cell(self, job: Job) -> Cell:
        seconds = took(job, self._now)
        if seconds is None:
            return ""
        return duration(seconds) if job.state is JobState.RUNNING else milliseconds(seconds * 1000)

    def show(self, now: float) -> None:
        """Add what is new."""
        self._now = now
        self._add()
        self._tell()

    def _add(self) -> None:
        keep, knows = self._predicate, self._stream.knows
        wanted = None if keep is None else lambda job: keep(job) or knows(job_key(job))
        self._stream.append(self._follower.news(wanted, MAX_RECORDS))

    def _tell(self) -> None:
        stream = self._stream
        if self._wrong:
            said = self._wrong
        else:
            order = stream.order_words("newest first", "oldest first")
            way = order if stream.following else f"paused, {stream.missed:,} new since: f follows"
            count = len(stream.shown)
            kept = f"the last {count:,}" if count >= MAX_RECORDS else f"{count:,}"
            matching = f" of {len(self.live.jobs) + len(self.live.ended):,} match" if self._predicate else " jobs"
            said = f"{kept}{matching} · {way} · {len(self.live.jobs):,} in flight"
        if said != self._said:
            self._said = said
            line = self.query_one("#jobs-line", Static)
            line.set_class(bool(self._wrong), "-wrong")
            line.update(said, layout=False)

    def on_resize(self) -> None:
        """Show as many columns as can be read."""
        width = self.size.width
        self._stream.show_columns(
            NARROW if width < NARROW_SCREEN else WIDE if width >= WIDE_CELLS else MEDIUM if width < 100 else LARGE
        )

    def enter(self) -> None:
        """The stream takes the focus."""
        self._stream.focus(scroll_visible=False)

    # -- filter

    @property
    def _input(self) -> Input:
        return self.query_one("#jobs-filter", Input)

    def action_filter(self) -> None:
        """Open the line in which a filter is typed."""
        self._input.add_class("-open")
        self._input.focus()

    def action_clear(self) -> None:
        """Show all jobs again."""
        self._input.value = ""
        self._input.remove_class("-open")
        self._stream.focus()

    @on(Input.Changed, "#jobs-filter")
    def _changed(self, message: Input.Changed) -> None:
        """Apply what is typed as it is typed; what cannot be understood leaves the filter as it was."""
        try:
            predicate = terms.parse(message.value)
        except FarmError as error:
            self._wrong = " ".join(part for part in (error.what, error.why) if part)
            self._tell()
            return
        self._wrong, self._predicate = "", predicate
        self._follower.reset()
        self._stream.following = True
        self._stream.clear_records()
        self._stream.filter = predicate
        self._stream.empty = "no job matches" if predicate else EMPTY
        self._add()
        self._tell()

    @on(Input.Submitted, "#jobs-filter")
    def _submitted(self, message: Input.Submitted) -> None:
        """Back to the jobs, filtered."""
        self._input.set_class(bool(message.value), "-open")
        self._stream.focus()

    @on(LiveStream.Followed)
    def _followed(self) -> None:
        self._tell()

    @on(LiveTable.Opened)
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        if (job := self._stream.cursor_row) is not None:
            self.app.push_screen(JobDetail(self.attachment, self.live, job))
