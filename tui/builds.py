"""The builds view: each submitter's bursts of jobs, the newest first; two of them can be compared."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from farm.attach import Attachment
from farm.errors import FarmError
from farm.history.build_records import Build
from farm.view.live import Live
from farm.view.wording import count, duration, milliseconds, rate
from tui.base_view import NARROW_SCREEN, View
from tui.build_compare import BuildCompare
from tui.build_detail import REFRESH_SECONDS, BuildDetailScreen
from tui.records_line import RecordsLine
from tui.widgets.columns import Column, number_column
from tui.widgets.lines import Cell, Tone
from tui.widgets.table import LiveTable

DATED_SECONDS = 86400.0
"""Older builds are shown with their date."""
NARROW = ("mark", "started", "submitter", "jobs", "took", "failed")
MEDIUM = ("mark", "started", "submitter", "name", "jobs", "took", "most", "failed", "state")
COMPARE_MARKS = "ab"


def when(moment: float, now: float) -> str:
    """A time of day, or the day too when that is long ago."""
    form = "%H:%M:%S" if abs(now - moment) < DATED_SECONDS else "%m-%d %H:%M"
    return time.strftime(form, time.localtime(moment))


def _remote(build: Build) -> float:
    """Percent of its jobs that nodes compiled."""
    return 100 * build.remote / build.jobs if build.jobs else 0.0


def _count(number: int, tone: Tone) -> Cell:
    return (str(number), tone) if number else "0"


class BuildsView(View):
    """Builds, as the history has them."""

    TITLE = "Builds"
    ABOUT = (
        "A build is a submitter's burst of jobs; it ends when no jobs come for a while. At a time: the number of "
        "its jobs that ran at once, average and maximum. Remote: the share of its jobs that nodes compiled. "
        "Waited: the total time that its jobs waited for nodes. Mark two builds with space, then press c to "
        "compare them: the first marked is a."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", tooltip="Mark the build for comparing it with another", id="builds.mark"),
        Binding("c", "compare", "Compare", tooltip="Compare the two marked builds", id="builds.compare"),
    ]
    DEFAULT_CSS = """
    BuildsView {
        & > LiveTable { height: 1fr; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        self._now = 0.0
        self._asked: float | None = None
        self._error: FarmError | None = None
        self._line = RecordsLine()
        self._marked: list[int] = []
        self._table: LiveTable[Build] = LiveTable(
            self._columns(), key=lambda build: build.id, empty="no builds yet", id="builds-table"
        )

    def compose(self) -> ComposeResult:
        """What is marked or wrong, and the builds."""
        yield self._line
        yield self._table

    def _columns(self) -> list[Column[Build]]:
        column = Column[Build]
        return [
            column(name="mark", title="", width=1, cell=self._mark_cell),
            column(
                name="started",
                title="Started",
                width=11,
                min_width=8,
                cell=lambda b: when(b.started, self._now),
                value=lambda b: b.started,
                descending=True,
            ),
            column(
                name="submitter",
                title="Submitter",
                width=16,
                min_width=6,
                cell=lambda b: b.submitter or b.address,
                value=lambda b: b.submitter or b.address,
            ),
            column(
                name="name",
                title="Name",
                width=14,
                min_width=4,
                elastic=True,
                cell=lambda b: b.name or b.tag,
                value=lambda b: b.name or b.tag or None,
            ),
            number_column("jobs", "Jobs", 6, lambda b: f"{b.jobs}", lambda b: b.jobs),
            number_column("took", "Took", 7, lambda b: duration(b.seconds), lambda b: b.seconds),
            number_column("mean", "At a time", 9, lambda b: rate(b.parallelism), lambda b: b.parallelism),
            number_column("most", "Most", 5, lambda b: f"{b.most}", lambda b: b.most),
            number_column("remote", "Remote", 6, lambda b: f"{_remote(b):.0f} %", lambda b: _remote(b)),
            number_column("fallback", "Fallback", 8, lambda b: _count(b.fallback, "warn"), lambda b: b.fallback),
            number_column("failed", "Failed", 6, lambda b: _count(b.failed, "bad"), lambda b: b.failed),
            number_column("waited", "Waited", 8, lambda b: milliseconds(b.waited_ms), lambda b: b.waited_ms),
            column(
                name="state",
                title="State",
                width=8,
                cell=lambda b: ("▸ runs", "accent") if b.open else "✓ ended",
                value=lambda b: b.open,
            ),
        ]

    def _mark_cell(self, build: Build) -> Cell:
        return (COMPARE_MARKS[self._marked.index(build.id)], "strong") if build.id in self._marked else ""

    def show(self, now: float) -> None:
        """Ask for the builds when what is known is old."""
        self._now = now
        if self._asked is None or abs(now - self._asked) >= REFRESH_SECONDS:
            self._asked = now
            self._fetch()
        self._tell()

    @work(exclusive=True, group="builds")
    async def _fetch(self) -> None:
        try:
            found = await self.attachment.builds()
        except FarmError as error:
            self._failed(error)
            return
        self._marked = [each for each in self._marked if any(build.id == each for build in found)]
        self._table.set_rows(found)
        self._failed(None)

    def _failed(self, error: FarmError | None) -> None:
        """Say what is wrong with what was asked for, or that nothing is."""
        self._error = error
        self._tell()

    def _tell(self) -> None:
        self._line.tell(self._words(), self._error)

    def _words(self) -> str:
        if self._marked:
            names = (f"{COMPARE_MARKS[index]}: {self._called(id)}" for index, id in enumerate(self._marked))
            return f"{' · '.join(names)} · {'c compares' if len(self._marked) == 2 else 'space marks another'}"
        number = count(len(self._table.rows), "build")
        return f"{number}, {self._table.order_words('newest first', 'oldest first')} · space marks two to compare"

    def _called(self, id: int) -> str:
        build = self._table.rows[id]
        return f"{build.name or build.tag or build.submitter} {when(build.started, self._now)}"

    def on_resize(self) -> None:
        """Show as many columns as can be read, without names where no farm is told them."""
        width = self.size.width
        every = [column.name for column in self._columns()]
        names = NARROW if width < NARROW_SCREEN else MEDIUM if width < 110 else every
        self._table.show_columns([name for name in names if name != "name" or self.attachment.is_farm])

    def action_mark(self) -> None:
        """Mark the build under the cursor, or no longer; a third takes the place of the first."""
        build = self._table.cursor_row
        if build is None:
            return
        if build.id in self._marked:
            self._marked.remove(build.id)
        else:
            self._marked = [*self._marked[-1:], build.id]
        self._table.repaint()
        self._tell()

    @work(exclusive=True, group="build")
    async def action_compare(self) -> None:
        """Compare the two that are marked."""
        if len(self._marked) < 2:
            self.notify("Mark two builds with space first.")
            return
        try:
            a, b = [await self.attachment.build(id) for id in self._marked]
        except FarmError as error:
            self._failed(error)
            return
        self.app.push_screen(BuildCompare(self.attachment, self.live, a, b))

    @on(LiveTable.Opened)
    @work(exclusive=True, group="build")
    async def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        build = self._table.cursor_row
        if build is None:
            return
        try:
            found = await self.attachment.build(build.id)
        except FarmError as error:
            self._failed(error)
            return
        self.app.push_screen(BuildDetailScreen(self.attachment, self.live, found))
