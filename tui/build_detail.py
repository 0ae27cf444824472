"""One build: which nodes, which files took longest, what failed, for whom it waited."""

from __future__ import annotations

import time

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Static

from farm.attach import Attachment
from farm.errors import FarmError
from farm.history.build_records import Build, BuildDetail, FileTime, NodeShare, Wait
from farm.view.live import Live
from farm.view.wording import count, duration, exit_words, milliseconds, rate, size
from farm.watch.activity import Job
from tui.base_view import Detail
from tui.build_shape import curve_points, gap_words, tail_words
from tui.links import Follow, JobTarget, NodeTarget, Target
from tui.page import Page
from tui.widgets.columns import Column
from tui.widgets.graph import Series, bar
from tui.widgets.lines import Cell
from tui.widgets.run_graph import RunGraph
from tui.widgets.safe_text import clean
from tui.widgets.table import LiveTable
from tui.widgets.tone_line import ToneLine

REFRESH_SECONDS = 5.0
"""Between two questions to the history, here and in the list of builds."""
SHARE_BAR = 12


def summary(build: Build) -> str:
    """A build in a few sentences."""
    began, ended = (time.strftime("%H:%M:%S", time.localtime(at)) for at in (build.started, build.ended))
    day = time.strftime("%Y-%m-%d", time.localtime(build.started))
    end = "running" if build.open else f"ended {ended}"
    tag = f" ({name})" if (name := ": ".join(filter(None, dict.fromkeys((build.name, build.tag))))) else ""
    lost = f", {build.lost} lost" if build.lost else ""
    return (
        f"{build.submitter}{tag} at {build.address}: began {day} {began}, {end}, {duration(build.seconds)} in all.\n"
        f"{count(build.jobs, 'job')}: {build.remote:,} on nodes, {build.own:,} given back by the scheduler, "
        f"{build.local:,} local ({build.fallback:,} of them after a node failed); {build.failed:,} failed{lost}.\n"
        f"{rate(build.parallelism)} at a time on average, {build.most} at most; {milliseconds(build.waited_ms)} of "
        f"waiting; {size(build.in_bytes)} in, {size(build.out_bytes)} out."
    )


class BuildDetailScreen(Detail):
    """A build and its four tables; one that still runs is asked for again."""

    TITLE = "A build"
    ABOUT = (
        "The graph shows how many jobs of the build ran at a time, from those that have ended. Below it: gaps, in "
        "which none ran, and the tail, in which one job was left and all else waited. Nodes: the number of the "
        "build's jobs on each node, and their mean time. Slowest: the files that took longest. Waited for: the "
        "submitters whose jobs held slots while jobs of this build were pending, in job-seconds. Enter opens the node, "
        "or the job as long as it is known."
    )
    DEFAULT_CSS = """
    BuildDetailScreen {
        & Page { background: $surface; }
        & .summary { height: auto; padding: 0 1; background: $surface; }
        & ToneLine { background: $surface; }
        & RunGraph { height: 7; margin: 1 0 0 0; }
        &.-tall RunGraph { height: 12; }
        & .-none { display: none; }
        & Page > Container { height: auto; layout: vertical; }
        & Page LiveTable { height: auto; min-height: 3; max-height: 14; margin-top: 1; }
        & Page > Container.-wide { layout: grid; grid-size: 2 2; grid-rows: 1fr; grid-gutter: 0 1; height: 1fr; }
        & .-wide LiveTable { height: 1fr; max-height: 100%; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live, detail: BuildDetail) -> None:
        super().__init__(attachment, live)
        self.subject = "build", detail.build.id
        self._detail = detail
        self._graph = RunGraph()
        self._gaps, self._tail = ToneLine(), ToneLine()
        self._asked: float | None = None
        self._by_node = self._node_table()
        self._slowest = _file_table("Slowest", "slowest")
        self._failures = _file_table("Failed", "failures")
        self._waits: LiveTable[Wait] = LiveTable(
            [
                Column[Wait](name="holder", title="Waited for", width=20, elastic=True, cell=lambda wait: wait.holder),
                Column[Wait](
                    name="seconds", title="Time", width=8, align="right", cell=lambda wait: duration(wait.seconds)
                ),
            ],
            key=lambda wait: wait.holder,
            empty="no other build",
            id="waits",
        )

    @property
    def crumb(self) -> str:
        """What it is called, and when it was."""
        return f"{self.name_here} {time.strftime('%H:%M', time.localtime(self._detail.build.started))}"

    @property
    def name_here(self) -> str:
        """What it is called; else whose it is."""
        build = self._detail.build
        return build.name or build.tag or build.submitter

    def body(self) -> ComposeResult:
        """The summary, what ran when, and the tables: beside one another where there is room."""
        with Page():
            yield Static("", classes="summary", markup=False)
            yield self._graph
            yield self._gaps
            yield self._tail
            with Container(id="build-tables"):
                yield self._by_node
                yield self._slowest
                yield self._failures
                yield self._waits

    def _node_table(self) -> LiveTable[NodeShare]:
        column = Column[NodeShare]
        return LiveTable(
            [
                column(name="node", title="Nodes", width=16, min_width=8, elastic=True, cell=self._node),
                column(name="jobs", title="Jobs", width=6, align="right", cell=lambda each: str(each.jobs)),
                column(name="share", title="", width=SHARE_BAR, min_width=0, cell=self._share),
                column(name="failed", title="Failed", width=6, align="right", cell=lambda each: _failed(each.failed)),
                column(
                    name="mean",
                    title="A job",
                    width=7,
                    align="right",
                    cell=lambda each: milliseconds(each.real_ms / each.jobs) if each.jobs else "",
                ),
            ],
            key=lambda each: each.node,
            empty="no node compiled its jobs",
            id="nodes",
        )

    def _node(self, each: NodeShare) -> str:
        return f"{each.node} (itself)" if each.node == self._detail.build.submitter else each.node

    def _share(self, each: NodeShare) -> Text:
        return bar(each.jobs, max((other.jobs for other in self._detail.nodes), default=0), SHARE_BAR)

    def on_mount(self) -> None:
        """What is known already."""
        self._fill()
        self._by_node.focus(scroll_visible=False)

    def on_resize(self) -> None:
        """Beside one another where there is room."""
        self.set_class(self.size.height >= 44, "-tall")
        self.query_one("#build-tables").set_class(self.size.width >= 110 and self.size.height >= 30, "-wide")

    def show(self, now: float) -> None:
        """Ask again for a build that goes on."""
        if self._asked is None:
            self._asked = now
        if self._detail.build.open and abs(now - self._asked) >= REFRESH_SECONDS:
            self._asked = now
            self._fetch()

    @work(exclusive=True, group="build")
    async def _fetch(self) -> None:
        try:
            self._detail = await self.attachment.build(self._detail.build.id)
        except FarmError as error:
            self.query_one(".summary", Static).update(clean(f"✗ {error.what} {error.why}"))
            return
        self._fill()

    def _fill(self) -> None:
        detail = self._detail
        said = "\n".join(clean(line) for line in summary(detail.build).splitlines())
        self.query_one(".summary", Static).update(said)
        points = curve_points(detail.curve)
        self._graph.set_class(not points, "-none")
        self._graph.span = max(1.0, points[-1][0]) if points else 1.0
        self._graph.series = {"jobs at a time": Series(points, "accent", fill=True)}
        for line, parts in ((self._gaps, gap_words(detail)), (self._tail, tail_words(detail))):
            line.set_class(not parts, "-none")
            line.tell(parts)
        self._by_node.set_rows(detail.nodes)
        self._slowest.rows = dict(enumerate(detail.slowest))
        self._failures.rows = dict(enumerate(detail.failures))
        self._waits.set_rows(detail.waits)

    @on(LiveTable.Opened, "#nodes")
    def _node_opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        share = self._by_node.cursor_row
        host = next((host for host in self.live.by_host if share is not None and host[0] == share.node), None)
        self._go(NodeTarget(host) if host else None, "This node is no longer known.")

    @on(LiveTable.Opened, "#slowest")
    @on(LiveTable.Opened, "#failures")
    def _file_opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        table = self._slowest if message.control is self._slowest else self._failures
        file = table.cursor_row
        job = next((job for job in reversed(self.live.ended) if file and _is(job, file)), None)
        self._go(JobTarget(job) if job else None, "This job is so long ago that only its figures here are kept.")

    def _go(self, target: Target | None, missing: str) -> None:
        if target is None:
            self.app.notify(missing, markup=False)
        else:
            self.post_message(Follow(target))


def _is(job: Job, file: FileTime) -> bool:
    """Whether the history means this job."""
    return (job.file, job.ended, job.real) == (file.file, file.ended, file.real_ms)


def _failed(number: int) -> Cell:
    return (str(number), "bad") if number else "0"


def _file_table(title: str, name: str) -> LiveTable[FileTime]:
    column = Column[FileTime]
    return LiveTable(
        [
            column(
                name="file", title=title, width=20, min_width=8, elastic=True, path=True, cell=lambda each: each.file
            ),
            column(name="node", title="Node", width=12, min_width=6, cell=lambda each: each.node),
            column(name="took", title="Took", width=7, align="right", cell=lambda each: milliseconds(each.real_ms)),
            column(name="exit", title="Exit", width=19, min_width=6, cell=_exit),
        ],
        key=id,
        empty="none",
        id=name,
    )


def _exit(each: FileTime) -> Cell:
    return exit_words(each.exit), "bad" if each.exit else None
