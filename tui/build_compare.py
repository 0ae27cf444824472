"""Two builds side by side."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.widgets import Static

from farm.attach import Attachment
from farm.history.build_records import Build, BuildDetail
from farm.history.compare import Row, compare
from farm.view.live import Live
from tui.base_view import Detail
from tui.widgets.columns import Column
from tui.widgets.safe_text import clean
from tui.widgets.table import LiveTable


def title(letter: str, build: Build) -> str:
    """A build in a line."""
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(build.started))
    tag = f" {build.tag}" if build.tag else ""
    return f"{letter}: {build.submitter}{tag}, {began}{', still running' if build.open else ''}"


class BuildCompare(Detail):
    """Each figure of both builds, and how much b is of a."""

    TITLE = "Two builds"
    ABOUT = "The figures of both builds; the last column is b divided by a (= if they are equal)."
    DEFAULT_CSS = """
    BuildCompare {
        & > .heading { height: auto; padding: 0 1; background: $surface; }
        & > LiveTable { height: 1fr; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live, a: BuildDetail, b: BuildDetail) -> None:
        super().__init__(attachment, live)
        self._a, self._b = a, b
        column = Column[Row]
        self._table: LiveTable[Row] = LiveTable(
            [
                column(name="label", title="", width=28, min_width=10, cell=lambda row: row.label),
                column(name="a", title="a", width=12, min_width=7, align="right", cell=lambda row: row.a),
                column(name="b", title="b", width=12, min_width=7, align="right", cell=lambda row: row.b),
                column(name="ratio", title="b/a", width=7, min_width=5, align="right", cell=lambda row: row.ratio),
                column(name="rest", title="", width=0, elastic=True, cell=lambda row: ""),
            ],
            key=lambda row: row.label,
            empty="nothing to compare",
        )

    def body(self) -> ComposeResult:
        """Which two, and the figures."""
        for letter, each in (("a", self._a), ("b", self._b)):
            yield Static(clean(title(letter, each.build)), classes="heading", markup=False)
        yield self._table

    def on_mount(self) -> None:
        """Neither changes while they are looked at."""
        self._table.set_rows(compare(self._a, self._b))

    def show(self, now: float) -> None:
        """Do nothing: two builds that have ended do not change."""
