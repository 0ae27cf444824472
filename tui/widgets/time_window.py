"""Which time a chart shows: up to the present until its reader scrolls back, at one of several scales."""

from __future__ import annotations

import math

ZOOMS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Seconds that one cell stands for."""


class TimeWindow:
    """A span of time over ``width`` cells.

    Args:
        per_cell: seconds a cell stands for at first; the nearest of ZOOMS is taken.
    """

    def __init__(self, per_cell: float) -> None:
        self.now = 0.0
        """The present: where bars that have not ended end."""
        self.width = 1
        self._zoom = min(range(len(ZOOMS)), key=lambda i: abs(ZOOMS[i] - per_cell))
        self._right: float | None = None

    @property
    def per_cell(self) -> float:
        """Seconds that a cell stands for."""
        return ZOOMS[self._zoom]

    @property
    def following(self) -> bool:
        """Whether the right edge is the present."""
        return self._right is None

    @property
    def span(self) -> tuple[float, float]:
        """The times at the left and the right edge."""
        edge = self.now if self._right is None else self._right
        # Whole cells, so that bars stand still between two steps of the clock.
        right = math.ceil(edge / self.per_cell) * self.per_cell
        return right - self.width * self.per_cell, right

    def follow(self) -> None:
        """Bring the present back into sight and stay with it."""
        self._right = None

    def move(self, steps: int) -> None:
        """Scroll by so many quarters of the width."""
        self.scroll_to(self.span[1] + steps * max(1, self.width // 4) * self.per_cell)

    def zoom(self, steps: int) -> None:
        """Zoom in or out, around the middle or, while following, the present."""
        begin, end = self.span
        self._zoom = max(0, min(len(ZOOMS) - 1, self._zoom + steps))
        if self._right is not None:
            # Of the future there is nothing to be seen.
            self._right = min((begin + end) / 2 + self.width * self.per_cell / 2, max(end, self.now))

    def show(self, when: float) -> None:
        """Scroll this time to the middle, unless it can be seen already."""
        begin, end = self.span
        if not begin <= when < end:
            self.scroll_to(when + self.width * self.per_cell / 2)

    def scroll_to(self, right: float) -> None:
        """Have this time at the right edge; the present is followed."""
        self._right = None if right >= self.now else right
