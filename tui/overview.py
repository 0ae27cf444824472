"""The first tab: what is wrong, how much is going on, how it went, who is busiest."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from farm.attach import Attachment
from farm.view.live import Live
from farm.view.status import NodeStatus, ServiceStatus
from farm.view.wording import duration
from farm.watch.activity import Sample
from tui.base_view import View, open_page
from tui.figures import ended, queue_calls, rates, window
from tui.job_detail import JobDetail
from tui.node_detail import NodeDetail
from tui.overview_tables import FailureTable, NodeTable, SlowTable, SubmitterTable
from tui.page import Page
from tui.problem_detail import ProblemDetail
from tui.problem_list import ProblemList
from tui.problem_texts import wrong
from tui.tiles import EFFICIENCY_SECONDS, tiles
from tui.widgets.graph import Graph, Series
from tui.widgets.safe_text import clean
from tui.widgets.table import LiveTable
from tui.widgets.tile_row import TileRow

GRAPH_SPAN = 300.0
"""Seconds that the graphs cover at most."""
TALL, SHORT = 30, 15
"""Lines; from the first on tiles are large, below the second there are no graphs and no services."""
GRAPH_LINES = 12
"""A higher graph says no more, and tables do."""
TWO_COLUMNS, THREE_COLUMNS = 60, 140
"""Cells from which on there is a second and a third column of tables."""
TWO_GRAPHS = 100
BOTH_JOB_TABLES = 16
"""Lines that the third column needs for two tables."""


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
        return Content.styled(f"● {clean(service.name)}", "$foreground-muted")
    if service.machine:
        return Content.styled(f"○ {clean(service.name)} off", "$foreground-muted")
    return Content.styled(f"✖ {clean(service.name)} {clean(service.state.lower())}", "bold $text-error")


class OverviewView(View):
    """What a glance should tell."""

    TITLE = "Overview"
    ABOUT = (
        "Problems come first; enter opens one, and says what to do. The tiles: slots in use; queue, jobs that were "
        "asked for and that no node has begun, coloured when it exceeds the slots or was not empty for a minute; "
        "jobs a second that ended on nodes, with sources and objects before compression; local/s, those that "
        "submitters compiled or linked without asking; each over 5 seconds, with the last minute below. Efficiency is "
        f"slot time in use divided by available slot time in the last {duration(EFFICIENCY_SECONDS)}, or in "
        "the time for "
        "which there are figures: the slots in use, added up each second, divided by the slots of all nodes that were "
        "registered. Desks are machines at whose screen people log in. Each slot of a node shows the letter and colour "
        "of the submitter whose job runs there."
    )
    DEFAULT_CSS = """
    OverviewView {
        & #tiles { height: 3; margin-bottom: 1; }
        & #graphs { height: 8; }
        & #graphs > Graph { width: 1fr; }
        & #services { height: auto; max-height: 3; padding: 0 1; }
        & #top { height: 1fr; min-height: 4; }
        & #top > LiveTable, & #jobs-column { width: 1fr; }
        & #top-nodes, & #top-submitters { margin-right: 1; }
        & #jobs-column > LiveTable { height: 1fr; }
        & .-hidden { display: none; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(attachment, live)
        empty = "no measurements yet"
        self._problems = ProblemList("problems")
        self._tiles = TileRow(id="tiles")
        self._slots_graph = Graph(span=GRAPH_SPAN, id="slots-graph", empty=empty, figures=False)
        self._jobs_graph = Graph(span=GRAPH_SPAN, id="jobs-graph", empty=empty, figures=False)
        self._busiest = NodeTable(live, "top-nodes")
        self._submitters = SubmitterTable(live, "top-submitters")
        self._slow = SlowTable(live, "slow-jobs")
        self._failures = FailureTable(live, "failed-jobs")
        self._drawn: Sample | None = None
        """The newest sample that tiles and graphs show."""
        self._stale = True
        """They have to be drawn whatever they show."""
        self._services: Content | None = None
        self._entered = False
        """Something was known when it came to the front."""

    def compose(self) -> ComposeResult:
        """From what has to be looked at to the particular."""
        with Page():
            yield self._problems
            yield self._tiles
            with Horizontal(id="graphs"):
                yield self._slots_graph
                yield self._jobs_graph
            yield Static(id="services", markup=False)
            with Horizontal(id="top"):
                yield self._busiest
                yield self._submitters
                with Vertical(id="jobs-column"):
                    yield self._slow
                    yield self._failures

    def show(self, now: float) -> None:
        """Draw what can be seen and has changed."""
        live = self.live
        self._problems.show(wrong(live, now))
        if not self._entered and live.overview is not None:
            self.enter()
        last = live.samples[-1] if live.samples else None
        if self._stale or last is not self._drawn:
            self._stale, self._drawn = False, last
            self._tiles.tiles = tiles(live)
            self._draw_graphs()
        self._tell_services(live.overview.services if live.overview else [])
        for table in (self._busiest, self._submitters, self._slow, self._failures):
            if table.display and all(above.display for above in table.ancestors if isinstance(above, Widget)):
                table.show(now)

    def _draw_graphs(self) -> None:
        points = window(self.live.samples, GRAPH_SPAN)
        if self._slots_graph.display:
            self._slots_graph.series = {
                "slots": Series([(s.time, float(s.slots)) for s in points], "muted"),
                "busy": Series([(s.time, float(s.busy)) for s in points], "accent", fill=True),
                "queue": Series(
                    [(s.time, float(s.pending)) for s in points], "warn" if queue_calls(points) else "strong"
                ),
            }
        if self._jobs_graph.display:
            self._jobs_graph.series = {
                "jobs/s on nodes": Series(rates(points, ended), "accent", fill=True),
                "local/s": Series(rates(points, lambda totals: totals.local), "strong"),
            }

    def _tell_services(self, services: Sequence[ServiceStatus]) -> None:
        text = services_line(services, self.size.width - 2)
        if text != self._services:
            self._services = text
            part = self.query_one("#services", Static)
            part.set_class(not text.plain or self.size.height < SHORT, "-hidden")
            part.update(text)

    def on_resize(self) -> None:
        """A tall screen has large tiles, a wide one more columns; what graphs do not need is for the tables."""
        width, height = self.size
        tall = height >= TALL
        self._problems.most = height // 4 if tall else 3 if height >= SHORT else 1
        self._tiles.styles.height = 5 if tall else 3 if height >= SHORT else 2
        self._tiles.styles.margin = (1, 0) if tall else (0, 0)
        graphs = self.query_one("#graphs")
        graphs.display = height >= SHORT
        graphs.styles.height = lines = min(GRAPH_LINES, 6 + max(0, height - 20) // 3)
        self._submitters.display = width >= TWO_COLUMNS
        self._jobs_graph.display = width >= TWO_GRAPHS
        self.query_one("#jobs-column").display = width >= THREE_COLUMNS
        self._failures.display = height - lines - 12 >= BOTH_JOB_TABLES
        self._stale, self._services = True, None

    def enter(self) -> None:
        """What is wrong takes the focus, else the nodes: enter opens one."""
        self._entered = self.live.overview is not None
        first = self._problems if self._problems.display else self._busiest
        first.focus(scroll_visible=False)

    @property
    def chosen(self) -> NodeStatus | None:
        """The node under the cursor, or the only one that the problem under it is about."""
        if self._busiest.has_focus:
            return self._busiest.cursor_row
        problem = self._problems.cursor_row if self._problems.has_focus else None
        return self.live.nodes.get(problem.nodes[0]) if problem and len(problem.nodes) == 1 else None

    @on(LiveTable.Opened, "#problems")
    def _opened_problem(self, message: LiveTable.Opened) -> None:
        message.stop()
        if (problem := self._problems.cursor_row) is not None:
            open_page(self.app, ProblemDetail(self.attachment, self.live, problem))

    @on(LiveTable.Opened, "#top-nodes")
    def _opened_node(self, message: LiveTable.Opened) -> None:
        message.stop()
        if (node := self._busiest.cursor_row) is not None:
            open_page(self.app, NodeDetail(self.attachment, self.live, node.key))

    @on(LiveTable.Opened, "#slow-jobs")
    @on(LiveTable.Opened, "#failed-jobs")
    def _opened_job(self, message: LiveTable.Opened) -> None:
        message.stop()
        table = message.widget
        if isinstance(table, SlowTable | FailureTable) and (job := table.cursor_row) is not None:
            open_page(self.app, JobDetail(self.attachment, self.live, job))
