"""A Gantt chart of what happens now: lanes, bars, a time axis that can be scrolled and zoomed."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size

from tui.widgets.axis import TIME_LABEL_CELLS, clock, duration, time_step
from tui.widgets.cells import Part, joined
from tui.widgets.lanes import BAR_KINDS, UNKNOWN_KIND, Bar, BarKind, Lane, Lanes, bar_text, cells, runs
from tui.widgets.rows import News, RowView
from tui.widgets.safe_text import fit

ZOOMS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Seconds that one cell stands for."""
MAX_BARS = 20_000
"""Ended bars that are kept unless said otherwise."""


class Gantt(RowView):
    """Lanes with bars, the present at the right edge until the reader scrolls back.

    ::

        gantt = Gantt(empty="no jobs yet")
        gantt.set_lanes([(("pc7", 0), "pc7 1"), (("pc7", 1), "pc7 2")])  # or none: lanes in the order they come
        gantt.put([Bar(17, ("pc7", 0), start, "remote", label="foo.c")], now=time.time())
        gantt.put([Bar(17, ("pc7", 0), start, "failed", end, "foo.c")])  # the id is known: it takes its place
        gantt.now = time.time()                                          # 2-4 times a second
        gantt.bar                                                        # under the cursor, or None

        def on_gantt_picked(self, message: Gantt.Picked) -> None:    # enter, click
            message.key, message.bar
        def on_gantt_pointed(self, message: Gantt.Pointed) -> None:  # the cursor or the mouse is on another
            message.bar

    Args:
        kinds: how bars look, by their kind; each glyph must tell its kind without colour.
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
        Binding("enter", "pick", "Open", id="gantt.open"),
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
        kinds: Mapping[str, BarKind] = BAR_KINDS,
        per_cell: float = 1.0,
        limit: int = MAX_BARS,
        tick: Callable[[float, float], str] = clock,
        empty: str = "nothing yet",
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._kinds = kinds
        self._bars = Lanes(limit)
        self._rows: list[tuple[Hashable, str]] = []
        self._chosen_rows = False
        self._label_width = 0
        self._tick = tick
        self._empty = empty
        self._now = 0.0
        self._zoom = min(range(len(ZOOMS)), key=lambda i: abs(ZOOMS[i] - per_cell))
        self._right: float | None = None
        self._bar: Hashable | None = None
        self._pointed: Hashable | None = None
        self._lines: dict[Hashable, tuple[object, list[Segment]]] = {}
        self._styles: dict[str, tuple[Style, Style]] = {}

    # -- contents

    def set_lanes(self, lanes: Iterable[tuple[Hashable, str]]) -> None:
        """Which lanes are shown, from top to bottom, with their labels. The cursor stays with its lane."""
        at = self.lane
        self._chosen_rows = True
        self._rows = list(lanes)
        self._index = next((i for i, (key, _) in enumerate(self._rows) if key == at), self._index)
        self._index = self._within(self._index)
        self._measure()
        self.repaint()

    def put(self, bars: Iterable[Bar], now: float | None = None) -> None:
        """Add bars, and draw them; one whose id is known takes the other's place."""
        self.add(bars)
        self.now = self._now if now is None else now

    def add(self, bars: Iterable[Bar]) -> None:
        """The same, to be drawn when ``now`` is set."""
        self._bars.put(bars)
        if not self._chosen_rows:
            known = {key for key, _ in self._rows}
            if new := [(key, str(key)) for key in self._bars.lanes if key not in known]:
                self._rows += new
                self._measure()

    @property
    def now(self) -> float:
        """The present: where bars that have not ended end."""
        return self._now

    @now.setter
    def now(self, when: float) -> None:
        self._now = when
        self.repaint()

    @property
    def lane(self) -> Hashable | None:
        """The key of the lane under the cursor."""
        return self._rows[self._index][0] if self._index < len(self._rows) else None

    @property
    def bar(self) -> Bar | None:
        """The bar under the cursor."""
        return self._bars.get(self._bar)

    def legend(self) -> str:
        """What the glyphs mean, on one line."""
        return "  ".join(f"{kind.head or kind.glyph}{kind.glyph} {name}" for name, kind in self._kinds.items())

    # -- time

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
        edge = self._now if self._right is None else self._right
        # Whole cells, so that bars stand still between two steps of the clock.
        right = math.ceil(edge / self.per_cell) * self.per_cell
        return right - self._width * self.per_cell, right

    def action_follow(self) -> None:
        """Bring the present back into sight and stay with it."""
        self._right = None
        self.repaint()

    def action_time(self, steps: int) -> None:
        """Scroll in time by a quarter of the width."""
        self._scroll_to_time(self.span[1] + steps * max(1, self._width // 4) * self.per_cell)

    def action_zoom(self, steps: int) -> None:
        """Zoom in or out, around the middle or, while following, the present."""
        begin, end = self.span
        self._zoom = max(0, min(len(ZOOMS) - 1, self._zoom + steps))
        if self._right is not None:
            # Of the future there is nothing to be seen.
            self._right = min((begin + end) / 2 + self._width * self.per_cell / 2, max(end, self._now))
        self.repaint()

    def _scroll_to_time(self, right: float) -> None:
        self._right = None if right >= self._now else right
        self.repaint()

    # -- cursor

    def _go(self, index: int) -> None:
        """To the lane, and there to the bar nearest in time."""
        if not self._rows:
            return
        at = self.bar
        self._index = self._within(index)
        self._reveal()
        begin, end = self.span
        when = at.start if at else end
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
        """Open the bar under the cursor."""
        if (bar := self.bar) is not None:
            self.post_message(self.Picked(self, bar))

    def _show(self, bar: Bar) -> None:
        begin, end = self.span
        if not begin <= bar.start < end:
            self._scroll_to_time(bar.start + self._width * self.per_cell / 2)
        self._point(bar)

    def _point(self, bar: Bar | None) -> None:
        self._bar = bar.id if bar else None
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
        bars, owners, _ = self._cells(self._lane(self._rows[index][0]))
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

    @property
    def _width(self) -> int:
        """Cells of a line that are left for time, beside the label."""
        return max(1, self.size.width - self._label_width)

    def _lane(self, key: Hashable) -> Lane:
        return self._bars.lanes.get(key) or Lane()

    def fill(self) -> None:
        """Another width has room for other times."""
        self._measure()
        self.repaint()

    def _measure(self) -> None:
        longest = max((len(label) for _, label in self._rows), default=0)
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

    def _cells(self, lane: Lane) -> tuple[list[Bar], list[int], float]:
        """The bars in sight, which of them each cell shows, and the time at the left edge."""
        begin, end = self.span
        bars = lane.between(begin, end)
        width = round((end - begin) / self.per_cell)
        return bars, cells(bars, begin, self.per_cell, width, self._now, self._kinds), begin

    def draw_row(self, index: int) -> list[Segment]:
        """A lane: as it was kept, if nothing in it has changed."""
        key, label = self._rows[index]
        lane = self._lane(key)
        chosen = index == self._index
        mark = self._bar if chosen else None
        moment = math.ceil(self._now / self.per_cell) if lane.open else None
        signature = (lane.version, self.span, self.size.width, label, chosen, mark, moment)
        kept = self._lines.get(key)
        if kept is not None and kept[0] == signature:
            return kept[1]
        style = self.get_component_rich_style("rows--cursor") if chosen else self.plain
        pieces: list[Part] = [(fit(label, self._label_width - 1), style), (" " * bool(self._label_width), self.plain)]
        bars, owners, begin = self._cells(lane)
        last: str | None = None
        x = 0
        for owner, length in runs(owners):
            x += length
            if owner < 0:
                pieces.append((" " * length, self.plain))
                last = None
            else:
                bar = bars[owner]
                reaches_now = begin + x * self.per_cell >= self._now
                pieces += self._draw_bar(bar, length, bar.kind == last, reaches_now, bar.id == mark)
                last = bar.kind
        line = joined((text, style) for text, style in pieces if text)
        self._lines[key] = (signature, line)
        return line

    def _draw_bar(self, bar: Bar, length: int, joint: bool, reaches_now: bool, marked: bool) -> list[Part]:
        kind = self._kinds.get(bar.kind, UNKNOWN_KIND)
        head, label, tail = bar_text(bar, kind, length, joint=joint, reaches_now=reaches_now)
        if marked:
            text = head + label + tail
            text = f"[{text[1:-1]}]" if length > 1 else "◆"
            return [(text, self.get_component_rich_style("rows--cursor"))]
        styles = self._styles.get(bar.kind)
        if styles is None:
            tone = self.plain + self.paint(kind.tone)
            styles = self._styles[bar.kind] = (tone, Style(color=self.plain.bgcolor, bgcolor=tone.color))
        outside, inside = styles
        return [(head, outside), (label, inside), (tail, outside)] if label else [(head, outside)]
