"""The first tab: how much is going on, how it went, what is wrong, who is busiest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from farm.attach import Attachment
from farm.view.desks import desk_totals, desks_words
from farm.view.live import Live
from farm.view.status import NodeStatus, ServiceStatus
from farm.view.wording import duration, rate, size
from farm.watch.activity import NOBODY, HostKey, JobPlace, JobState
from tui.base_view import View
from tui.figures import covered, efficiency, ended, figures, is_worker, rates, window
from tui.node_detail import NodeDetail
from tui.page import Page
from tui.problem_texts import recent, wrong
from tui.state_words import natural
from tui.widgets.columns import Column
from tui.widgets.graph import Graph, Series, bar
from tui.widgets.lines import Cell
from tui.widgets.safe_text import clean
from tui.widgets.table import LiveTable

GRAPH_SPAN = 300.0
"""Seconds that the graph and the efficiency cover."""
TOP_SECONDS = 10.0
"""Jobs a second of nodes and submitters are means of so long."""
JOBS_BAR = 8


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


def totals(live: Live) -> Content:
    """Slots, desks, queue, rates and efficiency, in three lines."""
    now = figures(live.samples)
    points = window(live.samples, GRAPH_SPAN)
    used = efficiency(points)
    desks = desks_words(desk_totals(live.nodes.values()))
    shown = "–" if used is None else f"{used:.0%} of slot time, {duration(covered(points))}"
    gauge = bar(now.busy, now.slots, 24).plain
    return Content.assemble(
        ("slots ", "bold"),
        (gauge, "$text-success" if now.busy < now.slots else "$text-warning"),
        f" {now.busy} of {now.slots} busy",
        *(("   ", ("desks ", "bold"), desks) if desks else ()),
        "\n",
        *_pairs(
            ("queue", f"{now.pending}"),
            ("jobs/s", rate(now.jobs)),
            ("local/s", rate(now.locals)),
            ("network", f"{size(now.bytes)}/s"),
        ),
        "\n",
        *_pairs(("efficiency", shown), ("local now", f"{now.local}")),
    )


def _pairs(*pairs: tuple[str, str]) -> Iterable[tuple[str, str] | str]:
    for name, value in pairs:
        yield (f"{name} ", "bold")
        yield f"{value:<9} "


def troubles(sentences: Sequence[str], known: bool) -> Content:
    """What is wrong now."""
    if not known:
        return Content.styled("… waiting for data", "$text-warning")
    if not sentences:
        return Content.styled("● no problems", "$text-success")
    lines = [Content.styled(f"▲ {clean(sentence)}", "$text-warning") for sentence in sentences]
    return Content("\n").join(lines)


def services_line(services: Sequence[ServiceStatus], width: int) -> Content:
    """Each service with a sign, from which its name is never parted; what is down says so."""
    lines: list[list[Content]] = [[]]
    taken = 0
    for service in services:
        said = _service(service)
        if taken and taken + said.cell_length > width:
            lines.append([])
            taken = 0
        lines[-1].append(said)
        taken += said.cell_length + 2
    return Content("\n").join(Content("  ").join(line) for line in lines)


def _service(service: ServiceStatus) -> Content:
    if service.silent:
        return Content.styled(f"✖ {clean(service.name)} silent", "bold $text-error")
    if service.up:
        return Content.styled(f"● {clean(service.name)}", "$text-success")
    if service.machine:
        return Content.styled(f"○ {clean(service.name)} off", "$foreground-muted")
    return Content.styled(f"✖ {clean(service.name)} {clean(service.state.lower())}", "bold $text-error")


class OverviewView(View):
    """What a glance should tell."""

    TITLE = "Overview"
    ABOUT = (
        f"Efficiency is slot time in use divided by available slot time in the last {duration(GRAPH_SPAN)}, or in "
        "the time for "
        "which there are figures: the slots in use, added up each second, divided by the slots of all nodes that were "
        "registered. Jobs a second are those that ended on nodes, local/s those that submitters compiled or linked "
        "without asking, each over 5 seconds. Network counts sources and objects before compression. Queue: jobs that "
        "were asked for and that no node has begun. Desks are machines at whose screen people log in."
    )
    DEFAULT_CSS = """
    OverviewView {
        & #totals { height: 3; padding: 0 1; }
        & #graphs { height: 1fr; min-height: 4; }
        & #graphs > Graph { width: 1fr; }
        & #wrong { height: auto; max-height: 8; padding: 0 1; }
        & #services { height: auto; max-height: 3; padding: 0 1; }
        & #top { height: 7; }
        & #top.-tall { height: 14; }
        & #top > LiveTable { width: 1fr; }
        & #top-nodes { margin-right: 1; }
        & .-hidden { display: none; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        self._texts: dict[str, Content] = {}
        self._rates: Counter[HostKey] = Counter()
        empty = "no measurements yet"
        self._slots_graph = Graph(span=GRAPH_SPAN, id="slots-graph", empty=empty)
        self._jobs_graph = Graph(span=GRAPH_SPAN, id="jobs-graph", empty=empty)
        self._busiest = self._node_table()
        self._submitters = self._submitter_table()

    def compose(self) -> ComposeResult:
        """From the general to the particular."""
        with Page():
            yield Static(id="totals", markup=False)
            with Horizontal(id="graphs"):
                yield self._slots_graph
                yield self._jobs_graph
            yield Static(id="wrong", markup=False)
            yield Static(id="services", markup=False)
            with Horizontal(id="top"):
                yield self._busiest
                yield self._submitters

    def _node_table(self) -> LiveTable[NodeStatus]:
        return LiveTable(
            [
                Column[NodeStatus](
                    name="name", title="Busiest nodes", width=16, min_width=8, cell=_name, value=_natural, elastic=True
                ),
                Column[NodeStatus](
                    name="busy", title="Busy", width=JOBS_BAR + 8, min_width=7, cell=_busy, value=_running
                ),
                Column[NodeStatus](
                    name="rate", title="Jobs/s", width=7, align="right", cell=self._rate, value=self._order
                ),
            ],
            key=lambda node: node.key,
            sort="rate",
            reverse=True,
            empty="no node has a job",
            stays=True,
            id="top-nodes",
        )

    def _submitter_table(self) -> LiveTable[Submitter]:
        return LiveTable(
            [
                Column[Submitter](
                    name="name", title="Submitters", width=14, min_width=8, cell=lambda s: s.name, elastic=True
                ),
                Column[Submitter](
                    name="running", title="Runs", width=5, align="right", cell=lambda s: f"{s.running}", value=_weight
                ),
                Column[Submitter](
                    name="waiting",
                    title="Waits",
                    width=5,
                    align="right",
                    cell=lambda s: (f"{s.waiting}", "warn" if s.waiting else None),
                    value=lambda s: s.waiting,
                ),
                Column[Submitter](
                    name="local",
                    title="Local",
                    width=5,
                    align="right",
                    cell=lambda s: f"{s.local}",
                    value=lambda s: s.local,
                ),
                Column[Submitter](
                    name="rate",
                    title="Jobs/s",
                    width=6,
                    align="right",
                    cell=lambda s: rate(s.rate),
                    value=lambda s: s.rate,
                ),
            ],
            key=lambda submitter: submitter.key,
            sort="running",
            reverse=True,
            empty="no submitter compiles",
            stays=True,
            id="top-submitters",
        )

    def _rate(self, node: NodeStatus) -> Cell:
        return rate(self._rates[node.host.key] / TOP_SECONDS) if node.host else ""

    def _order(self, node: NodeStatus) -> tuple[int, int]:
        return (self._rates[node.host.key], _running(node)) if node.host else (0, 0)

    def show(self, now: float) -> None:
        """Draw the totals, what is wrong, the services and the tables again."""
        live = self.live
        self._write("totals", totals(live))
        self._write("wrong", troubles(wrong(live, now), live.overview is not None))
        services = live.overview.services if live.overview else []
        self._write("services", services_line(services, self.size.width - 2))
        self._draw_graphs()
        self._rates = Counter(job.node for job in recent(live, now, TOP_SECONDS))
        online = (node for node in live.nodes.values() if node.host is not None and node.host.online)
        self._busiest.set_rows(node for node in online if is_worker(node))
        self._submitters.set_rows(submitters(live, now))

    def _draw_graphs(self) -> None:
        points = window(self.live.samples, GRAPH_SPAN)
        self._slots_graph.series = {
            "slots": Series([(s.time, float(s.slots)) for s in points], "muted"),
            "busy": Series([(s.time, float(s.busy)) for s in points], "good", fill=True),
            "queue": Series([(s.time, float(s.pending)) for s in points], "warn"),
        }
        if self._jobs_graph.display:
            self._jobs_graph.series = {
                "jobs/s on nodes": Series(rates(points, ended), "good", fill=True),
                "local/s": Series(rates(points, lambda totals: totals.local), "warn"),
            }

    def _write(self, name: str, text: Content) -> None:
        if self._texts.get(name) == text:
            return
        self._texts[name] = text
        part = self.query_one(f"#{name}", Static)
        part.display = bool(text.plain)
        part.update(text)

    def on_resize(self) -> None:
        """A tall screen has room for more nodes."""
        self.query_one("#top").set_class(self.size.height >= 36, "-tall")
        self._submitters.display = self.size.width >= 60
        self._jobs_graph.display = self.size.width >= 100

    def enter(self) -> None:
        """The nodes take the focus: enter opens one."""
        self._busiest.focus(scroll_visible=False)

    @property
    def chosen(self) -> NodeStatus | None:
        """The node under the cursor."""
        return self._busiest.cursor_row if self._busiest.has_focus else None

    @on(LiveTable.Opened, "#top-nodes")
    def _opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        if (node := self._busiest.cursor_row) is not None:
            self.app.push_screen(NodeDetail(self.attachment, self.live, node.key))


def _name(node: NodeStatus) -> str:
    return node.name


def _natural(node: NodeStatus) -> tuple[str | int, ...]:
    return natural(node.name)


def _running(node: NodeStatus) -> int:
    return node.host.jobs_running if node.host else 0


def _weight(submitter: Submitter) -> tuple[int, float]:
    return submitter.running, submitter.rate


def _busy(node: NodeStatus) -> Cell:
    if node.host is None:
        return ""
    busy, slots = node.host.jobs_running, node.host.slots
    return bar(busy, slots, JOBS_BAR).append(f" {busy}/{slots}") if slots else Text("no slots", style="dim")
