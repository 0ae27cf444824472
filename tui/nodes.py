"""All nodes in a table: sorted, searched, filtered, with columns to choose; enter opens one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from farm.attach import Attachment
from farm.view.desks import offer_words
from farm.view.live import Live
from farm.view.status import NodeStatus
from farm.view.wording import count, duration
from farm.watch.activity import Job
from tui import node_columns as columns
from tui import state_words
from tui.base_view import View, open_page
from tui.busy import PIECES, BusyMinute
from tui.dialogs import Choice, ChooseMany
from tui.node_detail import NodeDetail
from tui.node_filter import HINT, NodeFilter, values
from tui.slot_cells import Slots, busy_slots, slot_cells, slot_jobs
from tui.submitters import sign
from tui.widgets.columns import Column, layout, number_column
from tui.widgets.lines import Cell, Paint, Tone
from tui.widgets.sparkline import spark
from tui.widgets.table import LiveTable
from tui.widgets.tone_line import ToneLine

LONG_SECONDS = 2.0
"""A job that runs for longer is named; shorter ones would only flicker."""


class NodesView(View):
    """The farm's machines and every other daemon that offers slots."""

    TITLE = "Nodes"
    ABOUT = (
        "Machines of the farm and every other daemon that offers slots; daemons that only submit are shown only "
        "if a filter or search matches them. Load is reported by the daemon, from 0 to 1000; at 1000 it gets no "
        "jobs. Slots: a cell for each, with the letter and colour of the submitter whose job runs there, · when it "
        "is free, ╌ when it is not offered, as somebody uses the machine; where there are more slots than cells, a "
        "cell stands for several. Last minute: slots in use, of all. Speed is measured by the scheduler. CPU and "
        "memory come from the node's agent, or memory from its daemon. Since: how long it has been in its stage. "
        "Failed is coloured when more than a tenth of the jobs failed. Idle says why a node compiles nothing, in a "
        "word where there is little room; of one that does, what has run there for longest. Click on a title to sort "
        "by it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Filter", key_display="/", tooltip=f"Words and terms: {HINT}", id="nodes.search"),
        Binding("F", "filter", "Show only", tooltip="Choose states, stages, platforms and images", id="nodes.filter"),
        Binding("C", "columns", "Columns", tooltip="Choose columns", id="nodes.columns"),
        Binding("escape", "clear", "Show all", show=False, tooltip="Clear search and filter", id="nodes.clear"),
    ]
    DEFAULT_CSS = """
    NodesView {
        & > #nodes-search { height: 1; border: none; padding: 0 1; display: none; }
        & > #nodes-search.-open { display: block; }
        & > LiveTable { height: 1fr; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        self._now = 0.0
        self._reasons = state_words.Reasons(live, 0.0)
        self._filter = NodeFilter()
        self._own_columns = False
        self._busy: Slots = {}
        self._jobs_of: dict[str, Sequence[Job | None]] = {}
        self._history = BusyMinute(live)
        self._slots_width = 8
        self._sentences = False
        self._columns = self._make_columns()
        self._table: LiveTable[NodeStatus] = LiveTable(
            self._columns,
            key=lambda node: node.key,
            sort="name",
            tone=lambda node: "muted" if state_words.state(node) == state_words.OFFLINE else None,
            empty="no nodes: none is registered or booting",
            id="nodes-table",
        )
        self._table.filter = self._keeps

    def compose(self) -> ComposeResult:
        """What is shown in words, the search when it is wanted, the table."""
        yield ToneLine(id="nodes-line")
        yield Input(placeholder=HINT, id="nodes-search", compact=True, max_length=100)
        yield self._table

    def _make_columns(self) -> list[Column[NodeStatus]]:
        column = Column[NodeStatus]
        return [
            column(
                name="name",
                title="Node",
                width=14,
                min_width=8,
                cell=lambda node: node.name,
                value=lambda node: state_words.natural(node.name),
            ),
            column(name="stage", title="Stage", width=12, cell=state_words.stage_words, value=lambda n: n.stage.rank),
            number_column("since", "Since", 6, self._since, self._seconds),
            column(
                name="address",
                title="Address",
                width=15,
                min_width=7,
                cell=lambda node: node.address,
                value=columns.address_order,
            ),
            column(name="slots", title="Slots", width=8, min_width=4, cell=self._slots),
            number_column("busy", "Busy", 6, columns.busy_words, columns.of_host(lambda host: host.jobs_running)),
            column(name="minute", title="Last minute", width=PIECES, cell=self._minute),
            number_column("load", "Load", 5, columns.load_words, columns.of_host(lambda host: host.load)),
            number_column("cpu", "CPU%", 4, _figure(columns.cpu, "{:.0f}"), columns.cpu),
            number_column("memory", "Free MiB", 8, _figure(columns.memory, "{:,.0f}"), columns.memory),
            number_column("speed", "Speed", 5, _figure(columns.speed, "{:.0f}"), columns.speed),
            number_column("done", "Done", 6, _figure(columns.done, "{}"), columns.done),
            number_column("failed", "Failed", 6, columns.failed_words, columns.failed),
            column(
                name="image",
                title="Image",
                width=14,
                min_width=8,
                cell=columns.image_words,
                value=lambda node: node.image or None,
            ),
            column(
                name="platform",
                title="Platform",
                width=8,
                min_width=6,
                cell=columns.platform,
                value=columns.platform,
            ),
            number_column("protocol", "Proto", 5, _figure(columns.protocol, "{}"), columns.protocol),
            column(name="idle", title="Idle", width=14, min_width=8, cell=self._idle, value=self._code, elastic=True),
        ]

    # -- cells that need more than the node

    def _seconds(self, node: NodeStatus) -> float | None:
        return self._now - node.doing_since if node.doing_since else None

    def _since(self, node: NodeStatus) -> Cell:
        seconds = self._seconds(node)
        return "" if seconds is None else duration(seconds)

    def _code(self, node: NodeStatus) -> str | None:
        reason = self._reasons.of(node)
        return reason.code if reason else None

    def _idle(self, node: NodeStatus) -> Cell:
        """Why it is idle, in a word or a sentence; else how much it offers, else what takes long there."""
        reason = self._reasons.of(node)
        if reason is None:
            offer = offer_words(node)
            if offer:
                return f"in use: {offer if self._sentences else offer.partition(' slots')[0]}", "muted"
            return self._longest(node), "muted"
        tone: Tone = "muted" if reason.code in state_words.IN_ORDER else "warn"
        return reason.why if self._sentences else reason.code, tone

    def _longest(self, node: NodeStatus) -> str:
        jobs = [job for job in self._jobs(node) if job and job.begun]
        job = min(jobs, key=lambda each: each.begun, default=None)
        if job is None or self._now - job.begun < LONG_SECONDS:
            return ""
        return f"{duration(self._now - job.begun)} {job.file.rpartition('/')[2]}"

    def _slots(self, node: NodeStatus) -> Cell:
        return slot_cells(node, self._jobs(node), self.live, self._slots_width)

    def _jobs(self, node: NodeStatus) -> Sequence[Job | None]:
        """What runs in each of its slots; several columns want to know it."""
        if node.key not in self._jobs_of:
            self._jobs_of[node.key] = slot_jobs(node, self._busy)
        return self._jobs_of[node.key]

    def _minute(self, node: NodeStatus) -> Cell:
        host = node.host
        if host is None or not host.online or not host.slots:
            return ""
        values = self._history.busy(node, self._jobs(node), self._now)
        return [(text, "accent" if some else "muted") for text, some in spark(values, host.slots)]

    def _keeps(self, node: NodeStatus) -> bool:
        return self._filter.keeps(node, self._code(node) or "" if self._filter.text else "")

    # -- drawing

    def show(self, now: float) -> None:
        """All rows; the table finds out which lines differ."""
        self._now = now
        self._reasons = state_words.Reasons(self.live, now)
        self._busy = busy_slots(self.live)
        self._jobs_of.clear()
        self._history.follow(now)
        self._fit()
        self._table.set_rows(self.live.nodes.values())
        self._tell()

    def _tell(self) -> None:
        """How many, of what; and by which sign each submitter is shown."""
        shown, known = len(self._table.shown), len(self.live.nodes)
        busy = sum(state_words.state(node) == state_words.BUSY for _, node in self._table.shown)
        said = f"{count(shown, 'node')}, {busy} busy"
        if self._filter.shown:
            said = f"{shown} of {known} are {self._filter.shown} · escape shows all"
        elif known > shown:
            said += f" · {count(known - shown, 'daemon only submits', 'daemons only submit')} (F)"
        parts: list[tuple[str, Paint]] = [(said, "muted")]
        jobs = Counter(job.submitter for slots in self._busy.values() for job in slots.values())
        for key, number in jobs.most_common():
            mark = sign(self.live, key)
            parts += [(f"   {mark.letter}", mark.tone), (f" {key[0]} {number}", "muted")]
        self.query_one(ToneLine).tell(parts)

    def _fit(self) -> None:
        """As many columns as can be read, until the user chooses them; while there is no place, they are as before."""
        available = self._table.size.width
        if not available:
            return
        width = columns.slots_width(self.live.nodes.values(), self.size.width)
        if width != self._slots_width:
            self._slots_width = width
            self._columns = [replace(each, width=width) if each.name == "slots" else each for each in self._columns]
            self._table.replace_column(next(each for each in self._columns if each.name == "slots"))
        if not self._own_columns:
            ours = self.live.overview is None or bool(self.live.overview.farm)
            known = columns.fillable(self._columns, [*self.live.nodes.values()], ours=ours)
            told = [each for each in self._columns if each.name in known] if self.live.nodes else self._columns
            self._table.show_columns(columns.fitting(told, available))
        widths = zip(self._table.columns, layout(self._table.columns, available), strict=True)
        self._sentences = any(each.name == "idle" and cells >= columns.SENTENCE_CELLS for each, cells in widths)

    def on_resize(self) -> None:
        """Textual gives tables their size later."""
        self.call_after_refresh(self._fit)

    @property
    def chosen(self) -> NodeStatus | None:
        """The node under the cursor."""
        return self._table.cursor_row

    def enter(self) -> None:
        """The table takes the focus."""
        self._table.focus(scroll_visible=False)

    @on(LiveTable.Opened)
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        if (node := self._table.cursor_row) is not None:
            open_page(self.app, NodeDetail(self.attachment, self.live, node.key))

    # -- search, filter, columns

    def set_filter(self, new: NodeFilter) -> None:
        """Show only the nodes that pass a filter."""
        self._filter = new
        self._table.highlight = new.searched_words
        self._table.filter = self._keeps
        self._tell()

    def action_search(self) -> None:
        """Type what to look for."""
        line = self.query_one("#nodes-search", Input)
        line.add_class("-open")
        line.focus()

    def action_clear(self) -> None:
        """Clear the search and the filter, so that all nodes show."""
        line = self.query_one("#nodes-search", Input)
        line.value = ""
        line.remove_class("-open")
        self.set_filter(NodeFilter())
        self._table.focus()

    @on(Input.Changed, "#nodes-search")
    def _typed(self, message: Input.Changed) -> None:
        self.set_filter(replace(self._filter, text=message.value.strip()))

    @on(Input.Submitted, "#nodes-search")
    def _submitted(self, message: Input.Submitted) -> None:
        message.input.set_class(bool(message.value), "-open")
        self._table.focus()

    @work
    async def action_filter(self) -> None:
        """Choose by what nodes have."""
        marks = self._filter.marks
        choices = [
            Choice(f"{kind}\n{value}", f"{kind}: {value}", f"{number}", chosen=(kind, value) in marks)
            for kind, value, number in values(self.live.nodes.values())
        ]
        chosen = await self.app.push_screen_wait(ChooseMany("Show nodes that are", choices))
        if chosen is not None:
            pairs = (key.partition("\n") for key in chosen)
            self.set_filter(replace(self._filter, marks=frozenset((kind, value) for kind, _, value in pairs)))

    @work
    async def action_columns(self) -> None:
        """Ask which columns to show, and keep the answer."""
        visible = {column.name for column in self._table.columns}
        choices = [Choice(each.name, each.title, chosen=each.name in visible) for each in self._columns]
        chosen = await self.app.push_screen_wait(ChooseMany("Columns", choices))
        if chosen:
            self.show_own_columns({"nodes-table": chosen})

    @property
    def own_columns(self) -> Mapping[str, Sequence[str]]:
        """Those that were chosen, or none."""
        return {"nodes-table": [column.name for column in self._table.columns]} if self._own_columns else {}

    def show_own_columns(self, columns: Mapping[str, Sequence[str]]) -> None:
        """Show these, however wide the screen is."""
        if known := set(columns.get("nodes-table", ())) & {column.name for column in self._columns}:
            self._own_columns = True
            self._table.show_columns(each for each in columns["nodes-table"] if each in known)


def _figure(ask: Callable[[NodeStatus], Any], form: str) -> Callable[[NodeStatus], Cell]:
    return lambda node: columns.shown(ask(node), form)
