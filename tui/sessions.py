"""The sessions view: who logged in at which machine, from when to when, on which server, and what failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from farm.attach import Attachment
from farm.errors import FarmError
from farm.history.log_in_records import LogInRecord
from farm.view.desks import (
    desk_totals,
    desks_words,
    jobs_beside,
    kind_of_session,
    memory_left,
    nearly_full,
    processor_percent,
)
from farm.view.live import Live
from farm.view.session_words import round_trip_words
from farm.view.status import NodeStatus
from farm.view.wording import clock_words, duration
from tui.base_view import NARROW_SCREEN, View
from tui.node_detail import NodeDetail
from tui.records_line import RecordsLine
from tui.widgets.columns import Column, number_column
from tui.widgets.lines import Cell
from tui.widgets.table import LiveTable

REFRESH_SECONDS = 5.0
SHOWN = 1000
"""Log-ins that are asked for."""
BESIDE = ("jobs", "cpu", "memory")
"""What a machine does besides a session that lasts."""
COLUMNS_FROM = {
    0: ("began", "user", "outcome"),
    NARROW_SCREEN: ("began", "took", "user", "node", "kind", "jobs", "outcome"),
    100: ("began", "took", "user", "node", "kind", "server", *BESIDE, "outcome"),
    150: ("began", "ended", "took", "user", "node", "kind", "server", "round-trip", *BESIDE, "outcome"),
}
"""Cells of the screen → what is shown from there on: why a log-in failed takes room."""
FILTERS: dict[str, Callable[[LogInRecord], bool]] = {
    "": lambda each: True,
    "who is there now": lambda each: each.lasts,
    "log-ins that failed": lambda each: bool(each.failed),
}
"""What is shown, by what the line above says; the key goes from one to the next."""


class SessionsView(View):
    """Log-ins at the machines' screens, as the history has them."""

    TITLE = "Sessions"
    NEEDS_FARM = True
    ABOUT = (
        "Each log-in at a desk, newest first: who, at which machine, on which server, and how long the session lasted, "
        "or why the log-in failed. Of a session that lasts there is more. Kind: a fat client's programs run on the "
        "machine itself, a thin client's on the server. Round trip: the time to that server and back, as the machine "
        "measures it on the session's connection. Jobs: how many the machine compiles, of those that it takes now. "
        "CPU% and Left: how busy its processors are, and the memory that programs can still have. Press F to show only "
        "who is there now, or only failures; press enter for the machine's page. Times are by the machine's clock."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "F",
            "filter",
            "Show only",
            tooltip="Show all, only who is there now, or only log-ins that failed",
            id="sessions.filter",
        ),
    ]
    DEFAULT_CSS = """
    SessionsView {
        & > LiveTable { height: 1fr; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        self._now = 0.0
        self._asked: float | None = None
        self._error: FarmError | None = None
        self._line = RecordsLine()
        self._filter = ""
        self._table: LiveTable[LogInRecord] = LiveTable(
            self._columns(),
            key=lambda each: (each.mac, *each.key),
            empty="no log-ins: no desk has been used yet",
            id="sessions-table",
        )

    def compose(self) -> ComposeResult:
        """How many sit where, or what is wrong, and the log-ins."""
        yield self._line
        yield self._table

    def _columns(self) -> list[Column[LogInRecord]]:
        column = Column[LogInRecord]
        return [
            column(
                name="began",
                title="From",
                width=16,
                min_width=5,
                cell=lambda s: clock_words(s.began, self._now),
                value=lambda s: s.began,
                descending=True,
            ),
            column(name="ended", title="To", width=16, min_width=5, cell=self._to, value=lambda s: s.ended or None),
            number_column("took", "Took", 7, self._took, self._seconds),
            column(name="user", title="User", width=11, min_width=6, cell=_user, value=lambda s: s.user),
            column(name="node", title="Machine", width=11, min_width=6, cell=lambda s: s.node, value=lambda s: s.node),
            column(name="kind", title="Kind", width=4, cell=self._kind, value=lambda s: self._kind(s) or None),
            column(name="server", title="Server", width=15, cell=lambda s: s.server, value=lambda s: s.server or None),
            number_column("round-trip", "Round trip", 10, self._away, self._round_trip),
            number_column("jobs", "Jobs", 4, self._jobs, self._jobs_running),
            number_column("cpu", "CPU%", 4, self._processors, self._percent),
            number_column("memory", "Left", 8, self._memory_left, self._memory),
            column(
                name="outcome",
                title="Outcome",
                width=20,
                min_width=9,
                elastic=True,
                cell=_outcome,
                value=lambda s: s.failed or None,
            ),
        ]

    def _to(self, log_in: LogInRecord) -> Cell:
        return "" if log_in.failed or log_in.lasts else clock_words(log_in.ended, self._now)

    def _seconds(self, log_in: LogInRecord) -> float | None:
        if log_in.failed:
            return None
        return (self._now if log_in.lasts else log_in.ended) - log_in.began

    def _took(self, log_in: LogInRecord) -> Cell:
        seconds = self._seconds(log_in)
        return "" if seconds is None else duration(seconds)

    def _desk(self, log_in: LogInRecord) -> NodeStatus | None:
        """The machine of a session that lasts."""
        return self.live.nodes.get(log_in.mac) if log_in.lasts else None

    def _kind(self, log_in: LogInRecord) -> str:
        node = self._desk(log_in)
        return kind_of_session(node) if node else ""

    def _jobs(self, log_in: LogInRecord) -> Cell:
        node = self._desk(log_in)
        return (jobs_beside(node), "accent" if self._jobs_running(log_in) else None) if node else ""

    def _jobs_running(self, log_in: LogInRecord) -> int | None:
        node = self._desk(log_in)
        return node.host.jobs_running if node and node.host and node.host.online else None

    def _processors(self, log_in: LogInRecord) -> Cell:
        percent = self._percent(log_in)
        return "" if percent is None else f"{percent:.0f}"

    def _percent(self, log_in: LogInRecord) -> float | None:
        node = self._desk(log_in)
        return processor_percent(node) if node else None

    def _memory_left(self, log_in: LogInRecord) -> Cell:
        node = self._desk(log_in)
        return (memory_left(node), "warn" if nearly_full(node) else None) if node else ""

    def _memory(self, log_in: LogInRecord) -> int | None:
        node = self._desk(log_in)
        return node.telemetry.memory.available if node and node.telemetry else None

    def _round_trip(self, log_in: LogInRecord) -> float | None:
        node = self._desk(log_in)
        return node.session.agent.round_trip if node and node.session and node.session.agent else None

    def _away(self, log_in: LogInRecord) -> Cell:
        seconds = self._round_trip(log_in)
        return "" if seconds is None else round_trip_words(seconds)

    # -- what is known

    def show(self, now: float) -> None:
        """Ask for the log-ins when what is known is old."""
        self._now = now
        if self._asked is None or abs(now - self._asked) >= REFRESH_SECONDS:
            self._asked = now
            self._fetch()
        self._tell()

    @work(exclusive=True, group="sessions")
    async def _fetch(self) -> None:
        try:
            found = await self.attachment.log_ins(SHOWN)
        except FarmError as error:
            self._error = error
        else:
            self._error = None
            self._table.set_rows(found)
        self._tell()

    def _tell(self) -> None:
        said = f"desks: {desks_words(desk_totals(self.live.nodes.values())) or 'none'}"
        said += f" · {self._filter}: {len(self._table.shown)} of {len(self._table.rows)}" if self._filter else ""
        self._line.tell(said, self._error)

    def on_resize(self) -> None:
        """Show as many columns as can be read."""
        self._table.show_columns(COLUMNS_FROM[max(cells for cells in COLUMNS_FROM if cells <= self.size.width)])

    @property
    def chosen(self) -> NodeStatus | None:
        """The machine under the cursor."""
        log_in = self._table.cursor_row
        return None if log_in is None else self.live.nodes.get(log_in.mac)

    def action_filter(self) -> None:
        """Show the next selection of log-ins."""
        names = list(FILTERS)
        self._filter = names[(names.index(self._filter) + 1) % len(names)]
        self._table.filter = FILTERS[self._filter]
        self._tell()

    @on(LiveTable.Opened)
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        if (node := self.chosen) is not None:
            self.app.push_screen(NodeDetail(self.attachment, self.live, node.key))


def _user(log_in: LogInRecord) -> Cell:
    return log_in.user or ("no name", "muted")


def _outcome(log_in: LogInRecord) -> Cell:
    if log_in.failed:
        return f"✗ {log_in.failed}", "warn"
    return ("● there", "good") if log_in.lasts else ("✓ ended", "muted")
