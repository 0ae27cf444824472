"""A graph of values over time, and a bar that fits a cell of a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from tui.widgets.axis import TIME_LABEL_CELLS, ceiling, duration, short, time_step
from tui.widgets.cells import joined
from tui.widgets.lines import LineView, Paint
from tui.widgets.raster import ACROSS, DOWN, Point, Raster, resample
from tui.widgets.safe_text import clean, fit

EIGHTHS = " ▏▎▍▌▋▊▉█"
SCALE = 6
"""Cells of the value scale."""
FIRST_SPANS = (10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
"""Seconds; an axis that grew with each second would move all that is drawn."""
NARROW_GRAPH = 24
"""A graph narrower than this does without the value scale."""


def bar(part: float, whole: float, width: int, style: str | Style = "") -> Text:
    """How much of the whole the part is, to an eighth of a cell; anything at all shows, and the rest is dotted."""
    width = max(0, width)
    share = part / whole if whole > 0 and math.isfinite(part) else 0.0
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if share > 0 and width:
        eighths = max(1, eighths)  # little is not nothing
    full, rest = divmod(eighths, 8)
    text = Text("█" * full + (EIGHTHS[rest] if rest else ""), style="", no_wrap=True, end="")
    text.stylize(style or "default")
    return text.append("·" * (width - len(text)), "dim")


class Series(Struct, frozen=True):
    """One curve: points in the order of time, how it is drawn."""

    points: Sequence[Point]
    tone: Paint = None
    fill: bool = False
    """Filled down to zero. Best for one series, the first: the others are drawn over it."""


class Graph(LineView, can_focus=False):
    """Curves over the last ``span`` seconds, as large as the place it has.

    Each curve has a number, in the legend and where it ends, so that no colour is needed to tell them apart::

        graph = Graph(span=300, form=lambda v: f"{v:.0f}")
        graph.series = {"slots": Series(points, "muted", fill=True), "busy": Series(busy, "good")}

    Args:
        span: seconds from the left edge to the right, at most; the axis begins with the time there is.
        top: the value at the upper edge; a round number above the greatest value if None.
        form: writes a value in five cells or so.
        unit: the next greater unit is so many of the one before; 1024 for bytes that are written so.
        empty: shown when there is no point in the span.
        figures: whether the legend has the last value of each curve.
    """

    DEFAULT_CSS = """
    Graph {
        overflow: hidden hidden;
        min-height: 3;
    }
    """

    def __init__(
        self,
        *,
        span: float = 300.0,
        top: float | None = None,
        form: Callable[[float], str] = short,
        unit: int = 1000,
        empty: str = "nothing measured yet",
        figures: bool = True,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self.span = span
        self._top = top
        self._form = form
        self._unit = unit
        self._empty = empty
        self._figures = figures
        self._series: dict[str, Series] = {}
        self._picture: list[list[Segment]] = []

    @property
    def series(self) -> Mapping[str, Series]:
        """The curves by name, in the order of the legend. Set it to replace them."""
        return self._series

    @series.setter
    def series(self, series: Mapping[str, Series]) -> None:
        if series != self._series:
            self._series = dict(series)
            self.refresh_picture()

    @property
    def now(self) -> float:
        """The time at the right edge: that of the newest point."""
        return max((series.points[-1][0] for series in self._series.values() if series.points), default=0.0)

    @property
    def seconds(self) -> float:
        """What the axis covers: the span, or the next round time after that for which there are points."""
        first = min((series.points[0][0] for series in self._series.values() if series.points), default=self.now)
        there = self.now - first
        return min(self.span, next((step for step in FIRST_SPANS if step >= there), self.span))

    def refresh_picture(self) -> None:
        """Draw anew, after ``span`` was changed; data and size do so by themselves."""
        self._picture = self._compose_picture()
        self.repaint()

    def fill(self) -> None:
        """Draw it as large as it can be."""
        self.refresh_picture()

    def notify_style_update(self) -> None:
        """The picture holds styles: a new theme needs a new one."""
        super().notify_style_update()
        self._picture = []

    def draw(self, y: int) -> list[Segment]:
        """A line of the picture."""
        if len(self._picture) != self.size.height:
            self._picture = self._compose_picture()
        return self._picture[y]

    # -- the picture

    def _compose_picture(self) -> list[list[Segment]]:
        width, height = self.size
        if width <= 0 or height <= 0:
            return []
        scale = SCALE if width >= NARROW_GRAPH else 0
        ends = len(self._series) if len(self._series) > 1 else 0
        legend, axis = height >= 4, height >= 3
        rows = height - legend - axis
        raster = Raster(max(1, width - scale - ends), rows)
        end = self.now
        begin = end - self.seconds
        curves = [resample(s.points, begin, end, raster.width * ACROSS) for s in self._series.values()]
        known = [value for curve in curves for value in curve if value is not None]
        if not known:
            picture = [[Segment(" " * width, self.plain)] for _ in range(height)]
            picture[height // 2] = self.centred(self._empty, self.plain + self.paint("muted"))
            return picture
        top = self._top or ceiling(max(known), self._unit)
        for number, (series, curve) in enumerate(zip(self._series.values(), curves, strict=True)):
            raster.plot(curve, top, number, series.fill)
        lines = [self._legend(curves)] if legend else []
        lines += [self._line(raster, y, top, scale, self._ends(raster, curves, top, ends)) for y in range(rows)]
        if axis:
            lines.append([(" " * scale + self._times(raster.width) + " " * ends, self.paint("muted"))])
        return [joined((text, self.plain + style) for text, style in self._exactly(line, width)) for line in lines]

    def _exactly(self, line: list[tuple[str, Style]], width: int) -> list[tuple[str, Style]]:
        """A graph narrower than its numbers is cut."""
        out: list[tuple[str, Style]] = []
        for text, style in line:
            out.append((fit(text, width) if len(text) > width else text, style))
            width -= min(len(text), width)
        return [*out, (" " * width, Style.null())]

    def _legend(self, curves: Sequence[Sequence[float | None]]) -> list[tuple[str, Style]]:
        line: list[tuple[str, Style]] = []
        many = len(self._series) > 1
        for number, ((name, series), curve) in enumerate(zip(self._series.items(), curves, strict=True), 1):
            last = next((value for value in reversed(curve) if value is not None), None)
            text = f"{number} " if many else ""
            text += clean(name)
            if self._figures:
                text += f" {self._form(last)}" if last is not None else " –"
            line += [(text, self.paint(series.tone)), ("   ", Style.null())]
        return line

    def _line(
        self, raster: Raster, y: int, top: float, scale: int, ends: Mapping[int, list[tuple[str, Style]]]
    ) -> list[tuple[str, Style]]:
        tones = [self.paint(series.tone) for series in self._series.values()]
        line: list[tuple[str, Style]] = []
        if scale:
            # Labelled where the value is exact: at the top, at the bottom, and between them if there is a middle line.
            middle = raster.height >= 5 and raster.height % 2 and y == raster.height // 2
            marks = {0: top, raster.height - 1: 0.0} if raster.height > 1 else {0: top}
            label = self._form(top / 2) if middle else self._form(marks[y]) if y in marks else ""
            line.append((fit(label, scale - 1, "right") + "┤", self.paint("muted")))
        line += [(text, tones[owner] if owner >= 0 else Style.null()) for text, owner in raster.row(y)]
        return line + list(ends.get(y, ()))

    def _ends(
        self, raster: Raster, curves: Sequence[Sequence[float | None]], top: float, width: int
    ) -> dict[int, list[tuple[str, Style]]]:
        """The numbers of the curves at the height where each ends, by line."""
        if not width:
            return {}
        ends: dict[int, list[tuple[str, Style]]] = {}
        for number, (series, curve) in enumerate(zip(self._series.values(), curves, strict=True), 1):
            last = next((value for value in reversed(curve) if value is not None), None)
            if last is not None:
                y = raster.line(last, top) // DOWN
                ends.setdefault(y, []).append((str(number % 10), self.paint(series.tone)))
        return ends

    def _times(self, width: int) -> str:
        """Times before the right edge, each ending below the cell it names."""
        cell = self.seconds / width
        step = time_step(cell, TIME_LABEL_CELLS)
        line = [" "] * width
        for count in range(int(self.seconds / step), -1, -1):
            label = f"-{duration(count * step)}" if count else "now"
            right = width - round(count * step / cell)
            if len(label) <= right <= width:
                line[right - len(label) : right] = label
        return "".join(line)
