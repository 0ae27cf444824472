"""Curves as braille dots: two across and four down in each cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

ACROSS, DOWN = 2, 4
BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot, by its line and column in the cell."""

Point = tuple[float, float]
"""Time in seconds and a value; NaN as the value is a gap."""


def resample(points: Sequence[Point], start: float, end: float, columns: int) -> list[float | None]:
    """The curve at each of so many columns between two times.

    The mean where several points meet, a straight line between points that are columns apart, None before the
    first, after the last, and in gaps.
    """
    out: list[float | None] = [None] * columns
    if end <= start or columns <= 0:
        return out
    scale = columns / (end - start)
    last: tuple[int, float] | None = None
    sums: dict[int, tuple[float, int]] = {}
    for when, value in points:
        if not math.isfinite(when) or not math.isfinite(value):
            last = None
            continue
        column = columns - 1 if when == end else math.floor((when - start) * scale)
        if last is not None:
            _join(out, last, (column, value))
        last = (column, value)
        if 0 <= column < columns:
            total, count = sums.get(column, (0.0, 0))
            sums[column] = (total + value, count + 1)
    for column, (total, count) in sums.items():
        out[column] = total / count
    return out


def _join(out: list[float | None], one: tuple[int, float], two: tuple[int, float]) -> None:
    (x1, y1), (x2, y2) = one, two
    for x in range(max(0, x1 + 1), min(len(out), x2)):
        out[x] = y1 + (y2 - y1) * (x - x1) / (x2 - x1)


class Raster:
    """A grid of cells with dots in them, and who set the last dot of each."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._dots = [[0] * width for _ in range(height)]
        self._owner = [[-1] * width for _ in range(height)]
        self._filled: set[tuple[int, int]] = set()

    def plot(self, values: Sequence[float | None], top: float, owner: int, fill: bool = False) -> None:
        """Draw a curve, one value per column of dots, between 0 at the bottom and ``top``; filled down to 0 if so."""
        rows = self.height * DOWN
        before: int | None = None
        for x, value in enumerate(values[: self.width * ACROSS]):
            if value is None:
                before = None
                continue
            y = self.line(value, top)
            if fill:
                first, last = y, rows - 1
            elif before is None or abs(before - y) <= 1:
                first = last = y
            else:
                first, last = (before + 1, y) if before < y else (y, before - 1)
            for dot in range(first, last + 1):
                self._dot(x, dot, owner, fill)
            before = y

    def _dot(self, x: int, y: int, owner: int, fill: bool) -> None:
        row, column = y // DOWN, x // ACROSS
        if (row, column) in self._filled and self._owner[row][column] != owner:
            # A line over a filled area would be lost in its dots.
            self._dots[row][column] = 0
            self._filled.discard((row, column))
        self._dots[row][column] |= DOTS[y % DOWN][x % ACROSS]
        self._owner[row][column] = owner
        if fill:
            self._filled.add((row, column))

    def line(self, value: float, top: float) -> int:
        """The line of dots, from the top, where this value is."""
        rows = self.height * DOWN
        return max(0, min(rows - 1, round((1 - value / top) * (rows - 1))))

    def row(self, y: int) -> list[tuple[str, int]]:
        """A line of cells as runs of characters with their owner; -1 for those without dots."""
        runs: list[tuple[str, int]] = []
        for dots, owner in zip(self._dots[y], self._owner[y], strict=True):
            glyph = chr(BLANK + dots) if dots else " "
            if runs and runs[-1][1] == owner:
                runs[-1] = (runs[-1][0] + glyph, owner)
            else:
                runs.append((glyph, owner))
        return runs
