"""Everybody who submits jobs: what each has running and waiting, its share of the slots, and on which nodes."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.widgets import Static

from farm.attach import Attachment
from farm.view.live import Live
from farm.view.status import HostStatus, NodeStatus
from farm.view.wording import count, rate
from farm.watch.activity import HostKey, JobPlace, JobState
from tui.base_view import NARROW_SCREEN, View
from tui.links import Follow, NodeTarget
from tui.overview_tables import Submitter, submitters
from tui.state_words import natural
from tui.submitters import sign
from tui.widgets.columns import Column, number_column
from tui.widgets.lines import Cell
from tui.widgets.table import LiveTable

SHARE_CELLS = 10
NARROW = ("name", "running", "waiting", "share")
WIDE = ("name", "running", "waiting", "local", "rate", "share", "submitted", "fallback", "nodes")


class SubmitterRow(NamedTuple):
    """A submitter, what the scheduler told of it, and where its jobs run."""

    now: Submitter
    host: HostStatus | None
    share: float
    """Of all jobs that run on nodes now, 0 to 1."""
    nodes: str
    """Names and numbers of jobs, the most first."""

    @property
    def submitted(self) -> int:
        """Jobs it asked for since its log-in."""
        return self.host.jobs_submitted if self.host else 0

    @property
    def fallback(self) -> int:
        """Jobs that it compiled itself after a node had failed."""
        return self.host.jobs_fallback if self.host else 0


def submitter_rows(live: Live, now: float) -> list[SubmitterRow]:
    """Everybody with jobs now or lately, and everybody else who is logged in and has submitted some."""
    hosts = {login.key: login for node in live.nodes.values() for login in node.logins}
    busy = {each.key: each for each in submitters(live, now)}
    quiet = (
        Submitter(key, key[0] or key[1], 0, 0, 0.0, 0)
        for key, host in hosts.items()
        if host.jobs_submitted and host.online and key not in busy
    )
    places: dict[HostKey, Counter[str]] = {}
    for job in live.jobs.values():
        if job.state is JobState.RUNNING and job.place is JobPlace.REMOTE:
            places.setdefault(job.submitter, Counter())[job.node[0] or job.node[1]] += 1
    total = sum(map(Counter.total, places.values()))
    rows = []
    for each in (*busy.values(), *quiet):
        used = places.get(each.key, Counter())
        names = sorted(used, key=lambda name: (-used[name], natural(name)))
        said = "  ".join(f"{name} {used[name]}" for name in names)
        rows.append(SubmitterRow(each, hosts.get(each.key), used.total() / total if total else 0.0, said))
    return rows


class SubmittersView(View):
    """Who uses the farm, and which machines."""

    TITLE = "Submitters"
    ABOUT = (
        "Everybody who has submitted jobs, with the letter and colour by which slots and the timeline show them. "
        "Runs: jobs on nodes now; waits: asked for, and begun by no node; local: compiled by itself now; jobs a second "
        "are a mean of ten seconds. Share: of all jobs that run on nodes now. Jobs: how many it asked for since its "
        "log-in; again: how many it compiled itself after a node had failed. On: the nodes where its jobs run, and how "
        "many. Press enter for its page."
    )
    DEFAULT_CSS = """
    SubmittersView {
        & > #submitters-line { height: 1; color: $text-muted; padding: 0 1; }
        & > LiveTable { height: 1fr; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        column = Column[SubmitterRow]
        self._said = ""
        self._table: LiveTable[SubmitterRow] = LiveTable(
            [
                column(
                    name="name",
                    title="Submitter",
                    width=18,
                    min_width=10,
                    cell=self._signed,
                    value=lambda row: natural(row.now.name),
                ),
                number_column("running", "Runs", 5, lambda row: f"{row.now.running}", _weight),
                number_column("waiting", "Waits", 6, lambda row: f"{row.now.waiting}", attrgetter("now.waiting")),
                number_column("local", "Local", 6, lambda row: f"{row.now.local}", attrgetter("now.local")),
                number_column("rate", "Jobs/s", 7, lambda row: rate(row.now.rate), attrgetter("now.rate")),
                column(name="share", title="Share", width=SHARE_CELLS + 5, cell=self._share, value=attrgetter("share")),
                number_column("submitted", "Jobs", 7, lambda row: f"{row.submitted}", attrgetter("submitted")),
                number_column("fallback", "Again", 6, lambda row: f"{row.fallback}", attrgetter("fallback")),
                column(name="nodes", title="On", width=20, min_width=8, cell=attrgetter("nodes"), elastic=True),
            ],
            key=lambda row: row.now.key,
            sort="running",
            reverse=True,
            empty="nobody has submitted a job yet",
            id="submitters-table",
        )

    def compose(self) -> ComposeResult:
        """How many there are, and the table."""
        yield Static("", id="submitters-line", markup=False)
        yield self._table

    def show(self, now: float) -> None:
        """Everybody as they are now."""
        rows = submitter_rows(self.live, now)
        self._table.set_rows(rows)
        active = sum(row.now.running + row.now.waiting + row.now.local > 0 for row in rows)
        said = f"{count(len(rows), 'submitter')}, {active} with jobs now"
        if said != self._said:
            self._said = said
            self.query_one("#submitters-line", Static).update(said, layout=False)

    def on_resize(self) -> None:
        """As many columns as can be read."""
        self._table.show_columns(NARROW if self.size.width < NARROW_SCREEN else WIDE)

    @property
    def chosen(self) -> NodeStatus | None:
        """The machine of the submitter under the cursor."""
        row = self._table.cursor_row
        return self.live.nodes.get(self.live.by_host.get(row.now.key, "")) if row else None

    @property
    def name_here(self) -> str:
        """The name of the submitter under the cursor."""
        row = self._table.cursor_row
        return row.now.name if row else ""

    @on(LiveTable.Opened)
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        if (row := self._table.cursor_row) is not None:
            self.post_message(Follow(NodeTarget(row.now.key)))

    def _signed(self, row: SubmitterRow) -> Cell:
        mark = sign(self.live, row.now.key)
        return [(f"{mark.letter} ", mark.tone), (row.now.name, None)]

    def _share(self, row: SubmitterRow) -> Cell:
        filled = round(row.share * SHARE_CELLS)
        tone = sign(self.live, row.now.key).tone
        return [("█" * filled, tone), ("·" * (SHARE_CELLS - filled), "muted"), (f" {row.share:4.0%}", None)]


def _weight(row: SubmitterRow) -> tuple[int, float]:
    return row.now.running, row.now.rate
