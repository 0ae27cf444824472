"""All nodes in a table: sorted, searched, filtered, with columns to choose; enter opens one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, ClassVar

from msgspec.structs import replace
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from farm.attach import Attachment
from farm.view.desks import offer_words
from farm.view.live import Live
from farm.view.status import HostStatus, NodeStatus
from farm.view.wording import count, duration
from farm.watch.state import NO_JOBS
from tui import state_words
from tui.base_view import NARROW_SCREEN, View
from tui.dialogs import Choice, ChooseMany
from tui.node_detail import NodeDetail
from tui.node_filter import HINT, NodeFilter, values
from tui.widgets.columns import Column, number_column
from tui.widgets.lines import Cell
from tui.widgets.table import LiveTable

NARROW = ("name", "stage", "slots", "since")
MEDIUM = ("name", "stage", "slots", "load", "cpu", "done", "failed", "idle")
WIDE = (
    *("name", "stage", "since", "address", "slots", "load", "cpu", "memory", "speed", "done", "failed", "image"),
    *("platform", "protocol", "idle"),
)


class NodesView(View):
    """The farm's machines and every other daemon that offers slots."""

    TITLE = "Nodes"
    ABOUT = (
        "Machines of the farm and every other daemon that offers slots; daemons that only submit are shown only "
        "if a filter or search matches them. Load is reported by the daemon, from 0 to 1000; at 1000 it gets no "
        "jobs. Speed is measured by the scheduler. CPU and memory come from the node's agent, or memory from its "
        "daemon. Since: how long it has been in its stage. Idle says in a word why a node compiles nothing; press "
        "enter for the full text. Click on a title to sort by it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Filter", key_display="/", tooltip=f"Words and terms: {HINT}", id="nodes.search"),
        Binding("F", "filter", "Show only", tooltip="Choose states, stages, platforms and images", id="nodes.filter"),
        Binding("C", "columns", "Columns", tooltip="Choose columns", id="nodes.columns"),
        Binding("escape", "clear", "Show all", show=False, tooltip="Clear search and filter", id="nodes.clear"),
    ]
    DEFAULT_CSS = """
    NodesView {
        & > #nodes-line { height: 1; color: $text-muted; padding: 0 1; }
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
        self._said = ""
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
        yield Static("", id="nodes-line", markup=False)
        yield Input(placeholder=HINT, id="nodes-search", compact=True, max_length=100)
        yield self._table

    def _make_columns(self) -> list[Column[NodeStatus]]:
        column = Column[NodeStatus]
        return [
            column(
                name="name",
                title="Node",
                width=16,
                min_width=8,
                cell=_name,
                value=lambda n: state_words.natural(n.name),
            ),
            column(name="stage", title="Stage", width=12, cell=state_words.stage_words, value=lambda n: n.stage.rank),
            number_column("since", "Since", 6, self._since, self._seconds),
            column(name="address", title="Address", width=15, min_width=7, cell=_address, value=_address_order),
            number_column("slots", "Busy", 7, _slots, _of_host(lambda h: h.jobs_running)),
            number_column("load", "Load", 6, _load, _of_host(lambda h: h.load)),
            number_column("cpu", "CPU%", 5, lambda n: _shown(cpu(n), "{:.0f}"), cpu),
            number_column("memory", "Free MiB", 9, lambda n: _shown(memory(n), "{:,.0f}"), memory),
            number_column("speed", "Speed", 6, lambda n: _shown(_speed(n), "{:.0f}"), _speed),
            number_column("done", "Done", 7, lambda n: _shown(_done(n), "{}"), _done),
            number_column("failed", "Failed", 7, _failed_cell, _failed),
            column(name="image", title="Image", width=15, min_width=8, cell=_image, value=lambda n: n.image or None),
            column(name="platform", title="Platform", width=9, min_width=6, cell=_platform, value=_platform),
            number_column("protocol", "Proto", 6, lambda n: _shown(_protocol(n), "{}"), _protocol),
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
        code = self._code(node)
        if code is None:
            offer = offer_words(node)
            return (f"in use: {offer.partition(' slots')[0]}", "muted") if offer else ""
        return code, "muted" if code in ("nothing-queued", "next", "off", "booting") else "warn"

    def _keeps(self, node: NodeStatus) -> bool:
        return self._filter.keeps(node, self._code(node) or "" if self._filter.text else "")

    # -- drawing

    def show(self, now: float) -> None:
        """All rows; the table finds out which lines differ."""
        self._now = now
        self._reasons = state_words.Reasons(self.live, now)
        self._table.set_rows(self.live.nodes.values())
        self._tell()

    def _tell(self) -> None:
        shown, known = len(self._table.shown), len(self.live.nodes)
        busy = sum(state_words.state(node) == state_words.BUSY for _, node in self._table.shown)
        said = f"{count(shown, 'node')}, {busy} busy"
        if self._filter.shown:
            said = f"{shown} of {known} are {self._filter.shown} · escape shows all"
        elif known > shown:
            said += f" · {count(known - shown, 'daemon only submits', 'daemons only submit')} (F)"
        if said != self._said:
            self._said = said
            self.query_one("#nodes-line", Static).update(said, layout=False)

    def on_resize(self) -> None:
        """As many columns as can be read, until the user chooses them."""
        if not self._own_columns:
            width = self.size.width
            self._table.show_columns(NARROW if width < NARROW_SCREEN else MEDIUM if width < 130 else WIDE)

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
            self.app.push_screen(NodeDetail(self.attachment, self.live, node.key))

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


def cpu(node: NodeStatus) -> float | None:
    """Percent of all processors, as its agent says."""
    return fmean(node.telemetry.cpu.percent) if node.telemetry and node.telemetry.cpu.percent else None


def memory(node: NodeStatus) -> float | None:
    """MiB free, as its agent or else its daemon says."""
    if node.telemetry and node.telemetry.memory.total:
        return node.telemetry.memory.available / (1 << 20)
    return node.host.free_memory if node.host else None


def _of_host(ask: Callable[[HostStatus], Any]) -> Callable[[NodeStatus], Any]:
    return lambda node: ask(node.host) if node.host and node.host.online else None


def _shown(value: Any, form: str) -> str:
    return "" if value is None else form.format(value)


def _name(node: NodeStatus) -> str:
    return node.name


def _address(node: NodeStatus) -> str:
    return node.address


def _address_order(node: NodeStatus) -> tuple[int, ...] | None:
    """IPv4 addresses in the order of their numbers."""
    parts = node.address.split(".")
    return tuple(map(int, parts)) if len(parts) == 4 and all(map(str.isdecimal, parts)) else None


def _slots(node: NodeStatus) -> Cell:
    host = node.host
    if host is None or not host.online:
        return ""
    full = host.slots and host.jobs_running >= host.slots
    return f"{host.jobs_running}/{host.slots}", "good" if full else "accent" if host.jobs_running else None


def _load(node: NodeStatus) -> Cell:
    host = node.host
    if host is None or not host.online:
        return ""
    return (f"▲{host.load}", "bad") if host.load >= NO_JOBS else f"{host.load}"


_speed = _of_host(lambda host: host.speed or None)
_protocol = _of_host(lambda host: host.protocol)


def _done(node: NodeStatus) -> int | None:
    return node.host.jobs_done if node.host else None


def _failed(node: NodeStatus) -> int | None:
    return node.host.jobs_failed if node.host else None


def _failed_cell(node: NodeStatus) -> Cell:
    failed = _failed(node)
    return (f"{failed}", "warn" if failed else None) if failed is not None else ""


def _image(node: NodeStatus) -> Cell:
    return (f"{node.image} ≠", "warn") if node.outdated else node.image


def _platform(node: NodeStatus) -> str:
    return node.host.platform if node.host else ""
