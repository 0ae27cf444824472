"""Rows over a time axis, with their labels at the left: what a chart scrolls and zooms, whatever its rows show."""

from __future__ import annotations

import math
from collections.abc import Callable

from rich.segment import Segment

from tui.widgets.axis import TIME_LABEL_CELLS, duration, time_step
from tui.widgets.rows import RowView
from tui.widgets.safe_text import fit
from tui.widgets.time_window import TimeWindow


class TimeRows(RowView):
    """The axis as header; a subclass draws the rows, each beside a label of ``_label_width`` cells.

    Args:
        per_cell: seconds a cell stands for at first.
        tick: writes a time on the axis, given the seconds between two labels.
    """

    def __init__(
        self,
        per_cell: float,
        tick: Callable[[float, float], str],
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._time = TimeWindow(per_cell)
        self._tick = tick
        self._label_width = 0

    @property
    def now(self) -> float:
        """The present: where bars that have not ended end."""
        return self._time.now

    @now.setter
    def now(self, when: float) -> None:
        self._time.now = when
        self.repaint()

    @property
    def per_cell(self) -> float:
        """Seconds that a cell stands for."""
        return self._time.per_cell

    @property
    def following(self) -> bool:
        """Whether the right edge is the present."""
        return self._time.following

    @property
    def span(self) -> tuple[float, float]:
        """The times at the left and the right edge."""
        self._time.width = self._width
        return self._time.span

    @property
    def _width(self) -> int:
        """Cells of a line that are left for time, beside the label."""
        return max(1, self.size.width - self._label_width)

    def show_time(self, when: float) -> None:
        """Scroll this time into sight."""
        self._time.width = self._width
        self._time.show(when)

    def action_follow(self) -> None:
        """Bring the present back into sight and stay with it."""
        self._time.follow()
        self.repaint()

    def action_time(self, steps: int) -> None:
        """Scroll in time by a quarter of the width."""
        self._time.width = self._width
        self._time.move(steps)
        self.repaint()

    def action_zoom(self, steps: int) -> None:
        """Zoom in or out, around the middle or, while following, the present."""
        self._time.width = self._width
        self._time.zoom(steps)
        self.repaint()

    def draw_header(self) -> list[Segment]:
        """The first line: the axis with its times."""
        begin, end = self.span
        step = time_step(self.per_cell, TIME_LABEL_CELLS + 3)
        line = [" "] * self._width
        state = f"█={duration(self.per_cell)}" + ("" if self.following else " held")
        over = max(0, len(state) + 1 - self._label_width)  # cells of the axis that it takes besides
        for count in range(math.ceil(begin / step), math.floor(end / step) + 1):
            x = round((count * step - begin) / self.per_cell)
            label = "╷" + self._tick(count * step, step)
            if over <= x <= len(line) - len(label):
                line[x : x + len(label)] = label
        text = fit(state, self._label_width + over) + "".join(line[over:])
        return [Segment(fit(text, self.size.width), self.get_component_rich_style("rows--header"))]
