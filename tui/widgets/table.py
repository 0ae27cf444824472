"""A table for rows that change several times a second."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic

from rich.segment import Segment
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from tui.widgets.cells import Part, fitted, joined, marked
from tui.widgets.columns import GAP, Column, Row, layout, ordered
from tui.widgets.lines import Paint
from tui.widgets.rows import News, RowView
from tui.widgets.safe_text import fit

SIDEWAYS = 8
"""Cells that left and right scroll."""


class LiveTable(RowView, Generic[Row]):
    """Rows of any kind, shown by columns; the owner replaces the rows as often as it likes.

    Only visible rows are drawn, and only lines that changed are painted. The cursor stays with its row's key,
    wherever sorting puts it::

        table: LiveTable[Node] = LiveTable(
            [
                Column(name="name", title="Node", width=20, min_width=8, cell=lambda n: n.name, value=lambda n: n.name),
                Column(name="load", title="Load", width=5, align="right", descending=True,
                       cell=lambda n: (f"{n.load}", "bad" if n.load >= 1000 else None), value=lambda n: n.load),
            ],
            key=lambda n: n.id, sort="load", empty="no nodes: none has registered", id="nodes",
        )
        table.set_rows(nodes)                        # 2-4 times a second; or table.rows = {key: row}
        table.filter = lambda n: "x86" in n.platform  # or None; a new function is applied at once
        table.highlight = "x86"                      # marks where cells contain it
        table.show_columns(["name", "load"])         # and in this order
        table.cursor, table.cursor_row               # key and row, or None

        def on_live_table_opened(self, message: LiveTable.Opened) -> None:  # enter, double click
            message.key
        def on_live_table_moved(self, message: LiveTable.Moved) -> None:    # the cursor is on another row
            message.key

    Args:
        columns: all that can be shown; those with ``visible`` are at first.
        key: what a row is known by for as long as it exists.
        sort: name of the column to sort by, or None for the owner's order.
        reverse: the direction; as the column has it if not given.
        tone: the tone of a whole row, such as "muted"; cells with a tone of their own keep it.
        empty: shown when there are no rows: say why.
        stays: the cursor stays on the first row, whichever that is, until the reader moves it, and again from `home`.
    """

    class Opened(News):
        """A row was chosen, by enter or a double click."""

        def __init__(self, table: LiveTable[Any], key: Hashable) -> None:
            super().__init__(table)
            self.key = key

    class Moved(News):
        """The cursor stands on another row; None when there are no rows."""

        def __init__(self, table: LiveTable[Any], key: Hashable | None) -> None:
            super().__init__(table)
            self.key = key

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.pageup"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.pagedown"),
        Binding("home", "first", "First row", show=False, id="table.first"),
        Binding("end", "last", "Last row", show=False, id="table.last"),
        Binding("left", "sideways(-1)", "Scroll left", show=False, id="table.left"),
        Binding("right", "sideways(1)", "Scroll right", show=False, id="table.right"),
        Binding("enter", "open", "Open", id="table.open"),
        Binding("s", "sort_next", "Sort", tooltip="Sort by the next column", id="table.sort"),
        Binding("S", "reverse", "Reverse", tooltip="Reverse the sort order", id="table.reverse"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"livetable--sorted", "livetable--match"}
    DEFAULT_CSS = """
    LiveTable {
        & > .livetable--sorted { background: $panel; color: $text-primary; text-style: bold; }
        & > .livetable--match { text-style: reverse; }
    }
    """

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        *,
        key: Callable[[Row], Hashable],
        sort: str | None = None,
        reverse: bool | None = None,
        tone: Callable[[Row], Paint] | None = None,
        empty: str = "no rows",
        stays: bool = False,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._columns = {column.name: column for column in columns}
        self._visible = [column for column in columns if column.visible]
        self._widths = layout(self._visible, 0)
        self._key = key
        self._tone = tone
        self._empty = empty
        self._rows: Mapping[Hashable, Row] = {}
        self._order: list[tuple[Hashable, Row]] = []
        self._filter: Callable[[Row], bool] | None = None
        self._highlight = ""
        self._sort = sort
        self._reverse = self._columns[sort].descending if sort and reverse is None else bool(reverse)
        self._reversed = not sort and bool(reverse)
        """Whether the owner's order is shown turned round unless the reader turns it again."""
        self._stays = self._at_top = stays
        self._cursor: Hashable | None = None

    # -- contents

    @property
    def rows(self) -> Mapping[Hashable, Row]:
        """All rows by key, in the owner's order, whether or not the filter shows them. Set it to replace them."""
        return self._rows

    @rows.setter
    def rows(self, rows: Mapping[Hashable, Row]) -> None:
        self._rows = rows
        self._arrange()

    def set_rows(self, rows: Iterable[Row]) -> None:
        """Replace all rows; the last of those with the same key counts."""
        key = self._key
        self.rows = {key(row): row for row in rows}

    @property
    def shown(self) -> Sequence[tuple[Hashable, Row]]:
        """The keys and rows that pass the filter, as they stand on the screen."""
        return self._order

    @property
    def filter(self) -> Callable[[Row], bool] | None:
        """Which rows are shown; None for all."""
        return self._filter

    @filter.setter
    def filter(self, predicate: Callable[[Row], bool] | None) -> None:
        self._filter = predicate
        self._arrange()

    @property
    def highlight(self) -> str:
        """Where a cell contains this text, whatever its case, it is marked."""
        return self._highlight

    @highlight.setter
    def highlight(self, text: str) -> None:
        self._highlight = text
        self.repaint()

    @property
    def empty(self) -> str:
        """Shown when there are no rows."""
        return self._empty

    @empty.setter
    def empty(self, text: str) -> None:
        self._empty = text
        self.repaint()

    @property
    def _count(self) -> int:
        return len(self._order)

    # -- columns and order

    @property
    def columns(self) -> Sequence[Column[Row]]:
        """The columns that are shown."""
        return self._visible

    def show_columns(self, names: Iterable[str]) -> None:
        """Show these columns, in this order; unknown names are passed over, no name leaves all as it is."""
        visible = [self._columns[name] for name in dict.fromkeys(names) if name in self._columns]
        if visible and visible != self._visible:
            self._visible = visible
            self._lay_out()

    def replace_column(self, column: Column[Row]) -> None:
        """Have another column of this name from now on."""
        self._columns[column.name] = column
        self._visible = [self._columns[each.name] for each in self._visible]
        self._lay_out()

    @property
    def sorting(self) -> tuple[str | None, bool]:
        """The column that is sorted by, None for the owner's order; and whether the greatest comes first."""
        return self._sort, self._reverse

    def can_sort_by(self, name: str) -> bool:
        """Whether there is such a column, with an order."""
        return name in self._columns and self._columns[name].value is not None

    def sort_by(self, name: str | None, reverse: bool | None = None) -> None:
        """Sort by this column, in its own direction unless one is given; None is the owner's order.

        Who sorts wants to see what comes first: the cursor goes there.
        """
        own = self._columns[name].descending if name else self._reversed
        self._sort, self._reverse = name, own if reverse is None else reverse
        self._cursor, self._index = None, 0
        self.scroll_to(y=0, animate=False, force=True)
        self._arrange()

    def order_words(self, own: str, other: str) -> str:
        """The order in words; ``own`` and ``other`` are the owner's order as it is at first, and turned round."""
        if self._sort is None:
            return own if self._reverse == self._reversed else other
        return f"by {self._columns[self._sort].title}, {'descending' if self._reverse else 'ascending'}"

    def action_sort_next(self) -> None:
        """Sort by the next column that can be sorted by; after the last comes the owner's order."""
        names = [None, *(column.name for column in self._visible if column.value)]
        position = names.index(self._sort) if self._sort in names else 0
        self.sort_by(names[(position + 1) % len(names)])

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.sort_by(self._sort, not self._reverse)

    def _arrange(self) -> None:
        items: Iterable[tuple[Hashable, Row]] = self._rows.items()
        if (wanted := self._filter) is not None:
            items = (item for item in items if wanted(item[1]))
        column = self._columns[self._sort] if self._sort else None
        if column and column.value:
            self._order = ordered(items, column.value, self._reverse)
        else:
            self._order = list(items)
            if self._reverse:
                self._order.reverse()
        self._resize()
        self._follow()
        self.repaint()

    # -- cursor

    @property
    def cursor(self) -> Hashable | None:
        """The key of the row under the cursor."""
        return self._cursor

    @property
    def cursor_row(self) -> Row | None:
        """The row under the cursor."""
        return self._order[self._index][1] if self._order else None

    def move_to(self, key: Hashable) -> bool:
        """Put the cursor on the row with this key, and show it; False if it is not among those shown."""
        for index, (other, _) in enumerate(self._order):
            if other == key:
                self._go(index)
                return True
        return False

    def action_first(self) -> None:
        """Move the cursor to the first row."""
        self._go(0)
        self._at_top = self._stays

    def action_last(self) -> None:
        """Move the cursor to the last row."""
        self._go(len(self._order) - 1)

    def action_sideways(self, steps: int) -> None:
        """Scroll sideways; the key is left to others when the table is no wider than its place."""
        if not self.max_scroll_x:
            raise SkipAction
        self.scroll_to(x=self.scroll_offset.x + steps * SIDEWAYS, animate=False, force=True)

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self._order:
            self.post_message(self.Opened(self, self._cursor))

    def _go(self, index: int) -> None:
        self._at_top = False
        self._place(self._within(index))
        self._reveal()
        self.repaint()

    def _place(self, index: int) -> None:
        self._index = index
        key = self._order[index][0] if self._order else None
        if key != self._cursor:
            self._cursor = key
            self.post_message(self.Moved(self, key))

    def _follow(self) -> None:
        """Find the cursor's row again; a row that is gone leaves the cursor to the one now in its place."""
        if self._at_top:
            self._place(0)
            return
        seen = 0 <= self._index - self.scroll_offset.y < self._height
        index = self._index
        if not (index < len(self._order) and self._order[index][0] == self._cursor):
            index = next((i for i, (key, _) in enumerate(self._order) if key == self._cursor), index)
        moved = index != self._index
        self._place(self._within(index))
        if moved and seen:
            self._reveal()

    # -- drawing

    def fill(self) -> None:
        """Lay the columns out for the new width, and keep the cursor in sight."""
        self._lay_out()
        self._reveal()

    def _lay_out(self) -> None:
        self._widths = layout(self._visible, self.size.width)
        self._resize()
        self.repaint()

    def _resize(self) -> None:
        width = sum(self._widths) + GAP * (len(self._widths) - 1)
        self.virtual_size = Size(max(0, width), len(self._order) + 1)

    def on_click(self, event: events.Click) -> None:
        """A click chooses a row or a column to sort by, a double click opens."""
        if (hit := self._hit(event)) is None:
            return
        x, index = hit
        if index < 0:
            self._sort_at(x + self.scroll_offset.x)
        else:
            self._go(index)
            if event.chain == 2:
                self.action_open()

    def _sort_at(self, x: int) -> None:
        for column, width in zip(self._visible, self._widths, strict=True):
            if x <= width:
                if column.value:
                    self.sort_by(column.name, not self._reverse if column.name == self._sort else None)
                return
            x -= width + GAP

    def draw(self, y: int) -> list[Segment]:
        """What of the line is in sight when the table is wider than its place."""
        line = super().draw(y)
        x, width = self.scroll_offset.x, self.size.width
        if x == 0 and self.virtual_size.width == width:
            return line
        return list(Strip(line).crop_extend(x, x + width, line[-1].style if line else self.plain))

    def why_empty(self) -> str:
        """That the filter hides all, or why there are none."""
        return f"none of {len(self._rows)} matches" if self._rows else self._empty

    def draw_header(self) -> list[Segment]:
        """Titles, with the direction where it is sorted by."""
        plain = self.get_component_rich_style("rows--header")
        line: list[Segment] = []
        for column, width in zip(self._visible, self._widths, strict=True):
            style, title = plain, column.title
            if column.name == self._sort:
                style = self.get_component_rich_style("livetable--sorted")
                title = fit(title, min(len(title), max(0, width - 1))) + ("▼" if self._reverse else "▲")
            if line:
                line.append(Segment(" " * GAP, plain))
            line.append(Segment(fit(title, width, column.align), style))
        return line

    def draw_row(self, index: int) -> list[Segment]:
        """The cells of a row."""
        key, row = self._order[index]
        chosen = key == self._cursor
        base = self.get_component_rich_style("rows--cursor") if chosen else self.plain
        if self._tone and not chosen:
            base += self.paint(self._tone(row))
        pieces: list[Part] = []
        for column, width in zip(self._visible, self._widths, strict=True):
            if pieces:
                pieces.append((" " * GAP, base))
            for text, style in fitted(self.parts(column.cell(row)), width, column.align, path=column.path):
                # On the cursor's colour no other can be trusted to be legible.
                pieces.append((text, base if chosen else base + style))
        line = joined(pieces)
        if self._highlight:
            line = marked(line, self._highlight, self.get_component_rich_style("livetable--match", partial=True))
        return line
