"""Bars over time in lanes: kept sorted, found by time, drawn as text."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import count
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace
from rich.cells import cell_len

from tui.widgets.lines import Paint
from tui.widgets.safe_text import fit_path

LABELLED = 6
"""Cells a bar needs to carry its label."""
TEXTURED = 3
"""Cells a bar needs for its texture; a shorter one is solid, since texture would be noise."""
SOLID = "█"
JOINT = "▐"
"""First cell of a bar that follows another of its kind at once."""
OPEN = "▸"
"""Last cell of a bar that has not ended."""
FOREVER = 1e12
"""Seconds; times beyond are nobody's, and their arithmetic ends in infinities."""

_start = attrgetter("start")
_versions = count(1)


class Bar(Struct, frozen=True, gc=False):
    """Something that took time in a lane; without an end it goes on."""

    id: Hashable
    lane: Hashable
    start: float
    """Seconds, by the same clock as the chart's ``now``."""
    kind: str
    end: float | None = None
    label: str = ""
    """Of a file: it is cut on the left."""
    owner: Hashable = None
    """Whose it is, for charts that show that."""


class BarKind(Struct, frozen=True):
    """How bars of one kind look; where there is room, the glyph alone must tell them apart."""

    glyph: str
    tone: Paint
    head: str = ""
    """First cell, if it differs."""
    sign: str = ""
    """First cell of a bar that is too short for its texture; solid unless given."""
    loud: bool = False
    """Never hidden by other bars in the same cell."""


Look = Callable[[Bar], BarKind]
"""How a bar looks."""
BAR_KINDS: Mapping[str, BarKind] = {
    "remote": BarKind(SOLID, "good"),
    "local": BarKind("▒", "hue8"),
    "own": BarKind("▓", "hue1"),
    "failed": BarKind("░", "bad", head="✗", sign="✗", loud=True),
}
UNKNOWN_KIND = BarKind("▚", "muted")


def by_kind(kinds: Mapping[str, BarKind]) -> Look:
    """Bars look by their kind."""
    return lambda bar: kinds.get(bar.kind, UNKNOWN_KIND)


def legend(kinds: Mapping[str, BarKind]) -> list[tuple[str, Paint]]:
    """What the kinds look like and what they are called, for one line."""
    parts: list[tuple[str, Paint]] = []
    for name, kind in kinds.items():
        parts += [(f"{kind.head or kind.glyph}{kind.glyph}", kind.tone), (f" {name}  ", None)]
    return parts


class Lane:
    """The bars of one lane: those that ended by their start, and the few that go on."""

    def __init__(self) -> None:
        self.ended: list[Bar] = []
        self.open: dict[Hashable, Bar] = {}
        self.longest = 0.0
        self.version = 0
        """Another one after each change, and in no two lanes the same but for 0, which is empty."""

    def add(self, bar: Bar) -> None:
        """Put the bar in its place."""
        self.version = next(_versions)
        if bar.end is None:
            self.open[bar.id] = bar
            return
        self.longest = max(self.longest, bar.end - bar.start)
        if not self.ended or self.ended[-1].start <= bar.start:
            self.ended.append(bar)
        else:
            self.ended.insert(bisect_right(self.ended, bar.start, key=_start), bar)

    def remove(self, bar: Bar) -> None:
        """Take out a bar that is in."""
        self.version = next(_versions)
        if bar.end is None:
            del self.open[bar.id]
            return
        index = bisect_left(self.ended, bar.start, key=_start)
        while self.ended[index].id != bar.id:
            index += 1
        del self.ended[index]

    def between(self, begin: float, end: float) -> list[Bar]:
        """The bars that reach into this time, by their start."""
        # A millisecond, since a length is rounded.
        first = bisect_left(self.ended, begin - self.longest - 0.001, key=_start)
        last = bisect_right(self.ended, end, first, key=_start)
        found = [bar for bar in self.ended[first:last] if bar.end is not None and bar.end >= begin]
        if self.open:
            found += [bar for bar in self.open.values() if bar.start <= end]
            found.sort(key=_start)
        return found

    def beside(self, when: float, step: int) -> Bar | None:
        """The next bar that starts after this time, or the last before it."""
        index = (
            bisect_right(self.ended, when, key=_start) if step > 0 else bisect_left(self.ended, when, key=_start) - 1
        )
        near = [self.ended[index]] if 0 <= index < len(self.ended) else []
        near += [bar for bar in self.open.values() if (bar.start > when if step > 0 else bar.start < when)]
        return (min if step > 0 else max)(near, key=_start, default=None)


class Lanes:
    """All bars by lane and by id; the bars that ended first are forgotten when there are more than ``limit``."""

    def __init__(self, limit: int) -> None:
        self.lanes: dict[Hashable, Lane] = {}
        self._limit = limit
        self._open: dict[Hashable, Bar] = {}
        self._ended: OrderedDict[Hashable, Bar] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open) + len(self._ended)

    def get(self, bar_id: Hashable) -> Bar | None:
        """The bar with this id."""
        return self._open.get(bar_id) or self._ended.get(bar_id)

    def put(self, bars: Iterable[Bar]) -> None:
        """Add bars; one whose id is known takes the other's place. A bar that ends before it starts has no length."""
        for bar in bars:
            if not (-FOREVER < bar.start < FOREVER and -FOREVER < (bar.end or 0.0) < FOREVER):
                continue
            self.drop(bar.id)
            if bar.end is not None and bar.end < bar.start:
                bar = replace(bar, end=bar.start)
            self.lanes.setdefault(bar.lane, Lane()).add(bar)
            (self._open if bar.end is None else self._ended)[bar.id] = bar
        while len(self._ended) > self._limit:
            self.drop(next(iter(self._ended)))

    def drop(self, bar_id: Hashable) -> None:
        """Forget a bar, if it is there."""
        bar = self._open.pop(bar_id, None) or self._ended.pop(bar_id, None)
        if bar is not None:
            lane = self.lanes[bar.lane]
            lane.remove(bar)
            if not lane.open and not lane.ended:
                del self.lanes[bar.lane]


def cells(bars: Sequence[Bar], begin: float, per_cell: float, width: int, now: float, look: Look) -> list[int]:
    """Which bar each of ``width`` cells shows, as its index; -1 for none. Later bars hide earlier ones, loud all."""
    out = [-1] * width
    loud: set[int] = set()
    for i, bar in enumerate(bars):
        first = math.floor((bar.start - begin) / per_cell)
        last = math.ceil(((max(now, bar.start) if bar.end is None else bar.end) - begin) / per_cell)
        first, last = max(0, first), min(width, max(last, first + 1))
        if first >= last:
            continue
        if look(bar).loud:
            loud.add(i)
        if loud and i not in loud:
            for x in range(first, last):
                if out[x] not in loud:
                    out[x] = i
        else:
            out[first:last] = [i] * (last - first)
    return out


def runs(owners: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring cells of one owner: the owner and how many."""
    out: list[tuple[int, int]] = []
    start = 0
    for x in range(1, len(owners) + 1):
        if x == len(owners) or owners[x] != owners[start]:
            out.append((owners[start], x - start))
            start = x
    return out


def bar_text(bar: Bar, kind: BarKind, length: int, *, joint: bool, reaches_now: bool) -> tuple[str, str, str]:
    """A bar of so many cells, as what stands before its label, the label, and what stands after it.

    Args:
        bar: the bar.
        kind: how it looks.
        length: cells that are visible of it.
        joint: whether another of its kind ends where it begins.
        reaches_now: whether its visible end is the present.
    """
    short = length < TEXTURED
    glyph = SOLID if short else kind.glyph
    head = (kind.sign if short else kind.head) or (JOINT if joint and length > 1 else glyph)
    tail = "" if length == 1 else OPEN if bar.end is None and reaches_now else glyph
    room = length - len(head) - len(tail)
    if length < LABELLED or not bar.label:
        return head + glyph * room + tail, "", ""
    label = fit_path(bar.label, room).rstrip()
    return head, label, glyph * (room - cell_len(label)) + tail
