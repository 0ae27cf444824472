"""Lanes in groups that can be folded: which rows there are, and how full the lanes of a folded group are."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

from tui.widgets.lanes import Bar

LaneName = tuple[Hashable, str]
"""A lane's key and its label."""
OPENED, FOLDED = "▾ ", "▸ "
LEVELS = " ▁▂▃▄▅▆▇█"


class Group(NamedTuple):
    """Lanes that belong together. One lane alone needs no header: it is called as its group."""

    key: Hashable
    label: str
    lanes: Sequence[LaneName]


class LaneRow(NamedTuple):
    """A row: a lane, or the header of a group with the keys of its lanes."""

    key: Hashable
    label: str
    lanes: tuple[Hashable, ...] = ()
    group: Hashable = None
    """To which it belongs; None where it stands alone."""


def rows_of(groups: Iterable[Group], folded: Collection[Hashable]) -> list[LaneRow]:
    """The rows from top to bottom: of a folded group the header alone."""
    rows: list[LaneRow] = []
    for key, label, lanes in groups:
        if len(lanes) == 1:
            rows.append(LaneRow(lanes[0][0], f"  {label}"))
            continue
        sign = FOLDED if key in folded else OPENED
        rows.append(LaneRow(key, sign + label, tuple(lane for lane, _ in lanes), key))
        if key not in folded:
            rows += [LaneRow(lane, f"  {name}", (), key) for lane, name in lanes]
    return rows


def load(lanes: Iterable[Sequence[Bar]], begin: float, per_cell: float, width: int, now: float) -> list[float]:
    """How many bars each of ``width`` cells has on average, lanes added up."""
    part, steps = [0.0] * (width + 1), [0] * (width + 2)
    for bars in lanes:
        for bar in bars:
            end = max(now, bar.start) if bar.end is None else bar.end
            first = max(0.0, (bar.start - begin) / per_cell)
            last = min(float(width), (end - begin) / per_cell)
            if last <= first:
                continue
            left, right = int(first), int(last)
            if left == right:
                part[left] += last - first
            else:
                part[left] += left + 1 - first
                part[right] += last - right
                steps[left + 1] += 1
                steps[right] -= 1
    return [some + full for some, full in zip(part, accumulate(steps), strict=False)][:width]


def levels(load: Iterable[float], most: int) -> str:
    """The load as a line of bars, full where ``most`` ran; anything at all shows."""
    top = len(LEVELS) - 1
    return "".join(LEVELS[min(top, max(1, round(top * each / most)))] if each > 0.01 else " " for each in load)
