"""A Gantt chart of what happens now: lanes, bars, a time axis that can be scrolled and zoomed."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size

from tui.widgets.axis import clock
from tui.widgets.cells import Part, joined
from tui.widgets.lane_groups import Group, LaneName, LaneRow, levels, load, rows_of
from tui.widgets.lanes import BAR_KINDS, Bar, BarKind, Lane, Lanes, Look, bar_text, by_kind, cells, runs
from tui.widgets.lines import Paint
from tui.widgets.rows import News
from tui.widgets.safe_text import fit
from tui.widgets.time_rows import TimeRows

MAX_BARS = 20_000
"""Ended bars that are kept unless said otherwise."""


class Gantt(TimeRows):
    """Lanes with bars, the present at the right edge until the reader scrolls back.

    ::

        gantt = Gantt(empty="no jobs yet")
        gantt.set_groups([Group("pc7", "pc7", [(("pc7", 0), "1"), (("pc7", 1), "2")])])
        gantt.set_lanes([(("pc7", 0), "pc7 1"), (("pc7", 1), "pc7 2")])  # or neither: lanes in the order they come
        gantt.put([Bar(17, ("pc7", 0), start, "remote", label="foo.c")], now=time.time())
        gantt.put([Bar(17, ("pc7", 0), start, "failed", end, "foo.c")])  # the id is known: it takes its place
        gantt.now = time.time()                                          # 2-4 times a second
        gantt.bar                                                        # under the cursor, or None

        def on_gantt_picked(self, message: Gantt.Picked) -> None:    # enter, click
            message.key, message.bar
        def on_gantt_pointed(self, message: Gantt.Pointed) -> None:  # the cursor or the mouse is on another
            message.bar

    Args:
        look: how each bar looks; by its kind unless given.
        per_cell: seconds a cell stands for at first.
        limit: ended bars kept; those that ended first leave first.
        tick: writes a time on the axis, given the seconds between two labels.
        empty: shown when there are no lanes.
    """

    class Picked(News):
        """A bar was chosen, by enter or a click."""

        def __init__(self, gantt: Gantt, bar: Bar) -> None:
            super().__init__(gantt)
            self.bar = bar
            self.key = bar.id

    class Pointed(News):
        """The cursor or the mouse is on another bar, or on none."""

        def __init__(self, gantt: Gantt, bar: Bar | None) -> None:
            super().__init__(gantt)
            self.bar = bar

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Lane up", show=False, id="gantt.up"),
        Binding("down,j", "move(1)", "Lane down", show=False, id="gantt.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="gantt.pageup"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="gantt.pagedown"),
        Binding("left", "time(-1)", "Earlier", show=False, id="gantt.earlier"),
        Binding("right", "time(1)", "Later", show=False, id="gantt.later"),
        Binding("home", "first", "First bar", show=False, id="gantt.first"),
        Binding("end,f", "follow", "Follow", tooltip="Follow the present", id="gantt.follow"),
        Binding("plus,equals_sign", "zoom(-1)", "Zoom in", key_display="+", id="gantt.in"),
        Binding("minus", "zoom(1)", "Zoom out", key_display="-", id="gantt.out"),
        Binding("left_square_bracket", "bar(-1)", "Previous bar", key_display="[", show=False, id="gantt.before"),
        Binding("right_square_bracket", "bar(1)", "Next bar", key_display="]", show=False, id="gantt.next"),
        Binding("enter", "pick", "Open", tooltip="Open the job, or fold or unfold the node", id="gantt.open"),
        Binding("z", "fold", "Fold", tooltip="Fold or unfold the node under the cursor", id="gantt.fold"),
        Binding("Z", "fold_all", "Fold all", show=False, tooltip="Fold all nodes, or unfold them", id="gantt.foldall"),
    ]
    DEFAULT_CSS = """
    Gantt {
        overflow-x: hidden;
        & > .rows--header { text-style: none; }
    }
    """

    def __init__(
        self,
        *,
        look: Look | None = None,
        per_cell: float = 1.0,
        limit: int = MAX_BARS,
        tick: Callable[[float, float], str] = clock,
        empty: str = "nothing yet",
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(per_cell, tick, name=name, id=id, classes=classes, disabled=disabled)
        self._look = look or by_kind(BAR_KINDS)
        self._bars = Lanes(limit)
        self._rows: list[LaneRow] = []
        self._groups: list[Group] = []
        self._folded: set[Hashable] = set()
        self._chosen_rows = False
        self._empty = empty
        self._bar: Hashable | None = None
        self._at: float | None = None
        """When the last bar under the cursor began: the cursor stays near, past lanes without a bar."""
        self._pointed: Hashable | None = None
        self._lines: dict[Hashable, tuple[object, list[Segment]]] = {}
        self._styles: dict[Paint, Style] = {}

    # -- contents

    def set_lanes(self, lanes: Iterable[LaneName]) -> None:
        """Which lanes are shown, from top to bottom, with their labels. The cursor stays with its lane."""
        self._chosen_rows = True
        self._groups = []
        self._set_rows([LaneRow(key, label) for key, label in lanes])

    def set_groups(self, groups: Iterable[Group]) -> None:
        """The same, in groups; each has a header, and what was folded stays so."""
        self._chosen_rows = True
        self._groups = list(groups)
        self._set_rows(rows_of(self._groups, self._folded))

    def _set_rows(self, rows: list[LaneRow]) -> None:
        at = self._row
        self._rows = rows
        places = {row.key: i for i, row in enumerate(rows)}
        index = places.get(at.key, places.get(at.group)) if at else None
        self._index = self._within(self._index if index is None else index)
        self._measure()
        self.repaint()

    @property
    def look(self) -> Look:
        """How each bar looks. Set it to have them look otherwise."""
        return self._look

    @look.setter
    def look(self, look: Look) -> None:
        self._look = look
        self._lines.clear()
        self.repaint()

    def put(self, bars: Iterable[Bar], now: float | None = None) -> None:
        """Add bars, and draw them; one whose id is known takes the other's place."""
        self.add(bars)
        self.now = self.now if now is None else now

    def add(self, bars: Iterable[Bar]) -> None:
        """The same, to be drawn when ``now`` is set."""
        self._bars.put(bars)
        if not self._chosen_rows:
            known = {row.key for row in self._rows}
            if new := [LaneRow(key, str(key)) for key in self._bars.lanes if key not in known]:
                self._rows += new
                self._measure()

    @property
    def _row(self) -> LaneRow | None:
        return self._rows[self._index] if self._index < len(self._rows) else None

    @property
    def lane(self) -> Hashable | None:
        """The key of the lane or group under the cursor."""
        return self._row.key if self._row else None

    @property
    def bar(self) -> Bar | None:
        """The bar under the cursor."""
        return self._bars.get(self._bar)

    # -- folding

    def action_fold(self) -> None:
        """Fold the group under the cursor, or unfold it."""
        if self._row is not None and self._row.group is not None:
            self._fold({self._row.group})

    def action_fold_all(self) -> None:
        """Fold all groups, or unfold them if all are folded."""
        every = {group.key for group in self._groups if len(group.lanes) != 1}
        self._fold(every - self._folded or every)

    def _fold(self, groups: set[Hashable]) -> None:
        self._folded ^= groups
        self._set_rows(rows_of(self._groups, self._folded))
        self._point(None)

    # -- cursor

    def _go(self, index: int) -> None:
        """To the lane, and there to the bar nearest in time."""
        if not self._rows:
            return
        self._index = self._within(index)
        self._reveal()
        begin, end = self.span
        when = end if self._at is None else self._at
        near = self._lane(self.lane).between(begin, end)
        self._point(min(near, key=lambda bar: abs(bar.start - when), default=None))

    def action_bar(self, step: int) -> None:
        """Go to the next bar of the lane or the one before, and show it."""
        at = self.bar
        lane = self._lane(self.lane)
        found = lane.beside(at.start, step) if at and at.lane == self.lane else lane.beside(self.span[1], -1)
        if found is not None:
            self._show(found)

    def action_first(self) -> None:
        """Go to the lane's first bar."""
        first = self._lane(self.lane).beside(-math.inf, 1)
        if first is not None:
            self._show(first)

    def action_pick(self) -> None:
        """Open the bar under the cursor, or a folded group."""
        if self._row is not None and self._row.lanes:
            self.action_fold()
        elif (bar := self.bar) is not None:
            self.post_message(self.Picked(self, bar))

    def _show(self, bar: Bar) -> None:
        self.show_time(bar.start)
        self._point(bar)

    def _point(self, bar: Bar | None) -> None:
        self._bar = bar.id if bar else None
        self._at = bar.start if bar else self._at
        self._tell(bar)
        self.repaint()

    def _tell(self, bar: Bar | None) -> None:
        key = bar.id if bar else None
        if key != self._pointed:
            self._pointed = key
            self.post_message(self.Pointed(self, bar))

    # -- mouse

    def _bar_at(self, x: int, index: int) -> Bar | None:
        """The bar that is drawn in this column of this row."""
        column = x - self._label_width
        if index < 0 or not 0 <= column < self._width:
            return None
        bars, owners, _ = self._cells(self._lane(self._rows[index].key))
        return bars[owners[column]] if owners[column] >= 0 else None

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor on a lane, and opens the bar it hits."""
        hit = self._hit(event)
        if hit is None or hit[1] < 0:
            return
        self._index = hit[1]
        self._point(self._bar_at(*hit))
        self.action_pick()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Tell which bar the mouse is on."""
        hit = self._hit(event)
        self._tell((hit and self._bar_at(*hit)) or self.bar)

    # -- drawing

    @property
    def _count(self) -> int:
        return len(self._rows)

    def _lane(self, key: Hashable) -> Lane:
        return self._bars.lanes.get(key) or Lane()

    def fill(self) -> None:
        """Another width has room for other times."""
        self._measure()
        self.repaint()

    def _measure(self) -> None:
        longest = max((len(row.label) for row in self._rows), default=0)
        self._label_width = min(longest + 1, self.size.width // 3)
        self._lines.clear()
        self.virtual_size = Size(self.size.width, len(self._rows) + 1)

    def notify_style_update(self) -> None:
        """Lines that are kept hold styles."""
        self._lines.clear()
        self._styles.clear()
        super().notify_style_update()

    def why_empty(self) -> str:
        """As it was told."""
        return self._empty

    def _cells(self, lane: Lane) -> tuple[list[Bar], list[int], float]:
        """The bars in sight, which of them each cell shows, and the time at the left edge."""
        begin, end = self.span
        bars = lane.between(begin, end)
        width = round((end - begin) / self.per_cell)
        return bars, cells(bars, begin, self.per_cell, width, self.now, self._look), begin

    def draw_row(self, index: int) -> list[Segment]:
        """A lane or a group: as it was kept, if nothing in it has changed."""
        row = self._rows[index]
        lanes = [self._lane(key) for key in row.lanes or (row.key,)]
        chosen = index == self._index
        mark = self._bar if chosen else None
        moment = math.ceil(self.now / self.per_cell) if any(lane.open for lane in lanes) else None
        signature = ([lane.version for lane in lanes], self.span, self.size.width, row.label, chosen, mark, moment)
        kept = self._lines.get(row.key)
        if kept is not None and kept[0] == signature:
            return kept[1]
        style = self.get_component_rich_style("rows--cursor") if chosen else self.plain
        label = [(fit(row.label, self._label_width - 1), style), (" " * bool(self._label_width), self.plain)]
        pieces = self._draw_load(lanes) if row.lanes else self._draw_bars(lanes[0], mark)
        line = joined((text, style) for text, style in (*label, *pieces) if text)
        self._lines[row.key] = (signature, line)
        return line

    def _draw_load(self, lanes: list[Lane]) -> list[Part]:
        """How many lanes of a group were busy."""
        begin, end = self.span
        bars = [lane.between(begin, end) for lane in lanes]
        return [(levels(load(bars, begin, self.per_cell, self._width, self.now), len(lanes)), self._tone("muted"))]

    def _draw_bars(self, lane: Lane, mark: Hashable | None) -> list[Part]:
        bars, owners, begin = self._cells(lane)
        pieces: list[Part] = []
        last: BarKind | None = None
        x = 0
        for owner, length in runs(owners):
            x += length
            if owner < 0:
                pieces.append((" " * length, self.plain))
                last = None
            else:
                bar = bars[owner]
                kind = self._look(bar)
                reaches_now = begin + x * self.per_cell >= self.now
                pieces += self._draw_bar(bar, kind, length, kind == last, reaches_now, bar.id == mark)
                last = kind
        return pieces

    def _draw_bar(
        self, bar: Bar, kind: BarKind, length: int, joint: bool, reaches_now: bool, marked: bool
    ) -> list[Part]:
        head, label, tail = bar_text(bar, kind, length, joint=joint, reaches_now=reaches_now)
        if marked:
            text = head + label + tail
            text = f"[{text[1:-1]}]" if length > 1 else "◆"
            return [(text, self.get_component_rich_style("rows--cursor"))]
        outside = self._tone(kind.tone)
        inside = Style(color=self.plain.bgcolor, bgcolor=outside.color)
        return [(head, outside), (label, inside), (tail, outside)] if label else [(head, outside)]

    def _tone(self, tone: Paint) -> Style:
        style = self._styles.get(tone)
        if style is None:
            style = self._styles[tone] = self.plain + self.paint(tone)
        return style
