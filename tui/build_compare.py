"""Two builds side by side: what is better, what is worse, and how many jobs ran over time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from textual.app import ComposeResult

from farm.attach import Attachment
from farm.history.build_records import Build, BuildDetail
from farm.history.compare import Row, compare
from farm.view.live import Live
from farm.view.wording import duration
from tui.base_view import Detail
from tui.build_shape import curve_points
from tui.widgets.columns import Column
from tui.widgets.graph import Series
from tui.widgets.lines import Cell, Tone
from tui.widgets.run_graph import RunGraph
from tui.widgets.table import LiveTable
from tui.widgets.tone_line import ToneLine, TonePart

VERDICTS: dict[int, tuple[str, Tone]] = {1: ("▲ better", "good"), -1: ("▼ worse", "bad"), 0: ("", "muted")}
TONES: tuple[Tone, Tone] = ("hue1", "hue4")
"""Of a and of b."""


def title(letter: str, build: Build, tone: Tone) -> list[TonePart]:
    """A build in a line."""
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(build.started))
    tag = f" {build.name or build.tag}" if build.name or build.tag else ""
    said = f" {build.submitter}{tag}, {began}, {duration(build.seconds)}{', still running' if build.open else ''}"
    return [(f"{letter}:", tone), (said, None)]


def verdict(rows: Sequence[Row]) -> list[TonePart]:
    """Whether b was sooner ready, and how many figures are better and worse."""
    took = next((row for row in rows if row.label == "took"), None)
    better, worse = (sum(row.verdict == which for row in rows) for which in (1, -1))
    words = {1: "b was faster", -1: "b was slower", 0: "both took about as long"}[took.verdict if took else 0]
    ratio = f" ({took.ratio})" if took and took.verdict and took.ratio else ""
    return [
        (words + ratio, VERDICTS[took.verdict if took else 0][1]),
        (" · ", "muted"),
        (f"▲ {better} better", "good" if better else "muted"),
        ("  ", None),
        (f"▼ {worse} worse", "bad" if worse else "muted"),
    ]


class BuildCompare(Detail):
    """Each figure of both builds, and how much b is of a, the greatest change first."""

    TITLE = "Two builds"
    ABOUT = (
        "The figures of both builds, those first that differ most; b/a is b divided by a (= if they are equal). Better "
        "and worse are said of b, where more than 3 % lie between the two, and only of figures that should be small or "
        "large. The graph shows how many jobs of each ran at a time, both from their begin."
    )
    DEFAULT_CSS = """
    BuildCompare {
        & > ToneLine { background: $surface; }
        & > RunGraph { height: 7; }
        &.-tall > RunGraph { height: 12; }
        & > RunGraph.-none { display: none; }
        & > LiveTable { height: 1fr; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live, a: BuildDetail, b: BuildDetail) -> None:
        super().__init__(attachment, live)
        self._a, self._b = a, b
        self._titles = ToneLine(), ToneLine(), ToneLine()
        self._graph = RunGraph()
        column = Column[Row]
        self._table: LiveTable[Row] = LiveTable(
            [
                column(name="label", title="", width=28, min_width=10, cell=lambda row: row.label),
                column(name="a", title="a", width=12, min_width=7, align="right", cell=lambda row: row.a),
                column(name="b", title="b", width=12, min_width=7, align="right", cell=lambda row: row.b),
                column(
                    name="change",
                    title="b/a",
                    width=7,
                    min_width=5,
                    align="right",
                    descending=True,
                    cell=lambda row: (row.ratio, VERDICTS[row.verdict][1]),
                    value=lambda row: row.change,
                ),
                column(
                    name="verdict",
                    title="b is",
                    width=9,
                    min_width=8,
                    elastic=True,
                    cell=_verdict,
                    value=lambda row: row.verdict,
                ),
            ],
            key=lambda row: row.label,
            sort="change",
            empty="nothing to compare",
        )

    @property
    def crumb(self) -> str:
        """Names of the two builds."""
        names = (each.build.name or each.build.tag or each.build.submitter for each in (self._a, self._b))
        return " : ".join(names)

    def body(self) -> ComposeResult:
        """Which two, what came of it, both curves, and the figures."""
        yield from self._titles
        yield self._graph
        yield self._table

    def on_mount(self) -> None:
        """Neither changes while they are looked at."""
        rows = compare(self._a, self._b)
        said = title("a", self._a.build, TONES[0]), title("b", self._b.build, TONES[1]), verdict(rows)
        for line, parts in zip(self._titles, said, strict=True):
            line.tell(parts)
        curves = [curve_points(each.curve) for each in (self._a, self._b)]
        self._graph.set_class(not any(curves), "-none")
        self._graph.span = max((points[-1][0] for points in curves if points), default=1.0)
        self._graph.series = {
            f"{letter}: jobs at a time": Series(points, tone, fill=letter == "a")
            for letter, points, tone in zip("ab", curves, TONES, strict=True)
        }
        self._table.set_rows(rows)
        self._table.focus(scroll_visible=False)

    def on_resize(self) -> None:
        """A tall screen has room for a taller graph."""
        self.set_class(self.size.height >= 44, "-tall")

    def show(self, now: float) -> None:
        """Do nothing: two builds that have ended do not change."""


def _verdict(row: Row) -> Cell:
    return VERDICTS[row.verdict]
