"""One build: which nodes, which files took longest, what failed, for whom it waited."""

from __future__ import annotations

import time

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Static

from farm.attach import Attachment
from farm.errors import FarmError
from farm.history.build_records import Build, BuildDetail, FileTime, NodeShare, Wait
from farm.view.live import Live
from farm.view.wording import count, duration, exit_words, milliseconds, rate, size
from tui.base_view import Detail
from tui.page import Page
from tui.widgets.columns import Column
from tui.widgets.graph import bar
from tui.widgets.lines import Cell
from tui.widgets.safe_text import clean
from tui.widgets.table import LiveTable

REFRESH_SECONDS = 5.0
"""Between two questions to the history, here and in the list of builds."""
SHARE_BAR = 12


def summary(build: Build) -> str:
    """A build in a few sentences."""
    began, ended = (time.strftime("%H:%M:%S", time.localtime(at)) for at in (build.started, build.ended))
    day = time.strftime("%Y-%m-%d", time.localtime(build.started))
    end = "running" if build.open else f"ended {ended}"
    tag = f" ({build.tag})" if build.tag else ""
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
        "Nodes: the number of the build's jobs on each node, and their mean time. Slowest: the files that took "
        "longest. Waited for: the submitters whose jobs held slots while jobs of this build were pending, in "
        "job-seconds."
    )
    DEFAULT_CSS = """
    BuildDetailScreen {
        & .summary { height: auto; padding: 0 1; background: $surface; }
        & Page > Container { height: auto; layout: vertical; }
        & Page LiveTable { height: auto; min-height: 3; max-height: 14; margin-top: 1; }
        & Page > Container.-wide { layout: grid; grid-size: 2 2; grid-rows: 1fr; grid-gutter: 0 1; height: 1fr; }
        & .-wide LiveTable { height: 1fr; max-height: 100%; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live, detail: BuildDetail) -> None:
        super().__init__(attachment, live)
        self._detail = detail
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

    def body(self) -> ComposeResult:
        """The summary, and the tables: beside one another where there is room."""
        yield Static("", classes="summary", markup=False)
        with Page(), Container(id="build-tables"):
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

    def on_resize(self) -> None:
        """Beside one another where there is room."""
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
        self._by_node.set_rows(detail.nodes)
        self._slowest.rows = dict(enumerate(detail.slowest))
        self._failures.rows = dict(enumerate(detail.failures))
        self._waits.set_rows(detail.waits)


def _failed(number: int) -> Cell:
    return (str(number), "bad") if number else "0"


def _file_table(title: str, name: str) -> LiveTable[FileTime]:
    column = Column[FileTime]
    return LiveTable(
        [
            column(name="file", title=title, width=20, min_width=8, elastic=True, cell=lambda each: each.file),
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
