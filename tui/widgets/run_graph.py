"""A graph of something that has a begin: its times are counted from there."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from tui.widgets.axis import TIME_LABEL_CELLS, duration, time_step
from tui.widgets.graph import Graph
from tui.widgets.safe_text import clean


class RunGraph(Graph):
    """Curves over ``span`` seconds from 0; their names stand in the legend, without a last value."""

    @property
    def now(self) -> float:
        """The time at the right edge."""
        return self.span

    def _legend(self, curves: Sequence[Sequence[float | None]]) -> list[tuple[str, Style]]:
        many = len(self._series) > 1
        line: list[tuple[str, Style]] = []
        for number, (name, series) in enumerate(self._series.items(), 1):
            line += [(f"{number} " * many + clean(name), self.paint(series.tone)), ("   ", Style.null())]
        return line

    def _times(self, width: int) -> str:
        """Times after the left edge, each beginning at the cell it names."""
        cell = self.span / width
        step = time_step(cell, TIME_LABEL_CELLS)
        line = [" "] * width
        for count in range(int(self.span / step) + 1):
            label, left = duration(count * step), round(count * step / cell)
            if left + len(label) <= width:
                line[left : left + len(label)] = label
        return "".join(line)
