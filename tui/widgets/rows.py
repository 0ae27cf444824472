"""What the table and the Gantt chart share: a header, rows below it that scroll, and one of them under the cursor."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.widget import Widget

from tui.widgets.lines import LineView


class News(Message):
    """What a widget tells; ``@on(LiveTable.Opened, "#id")`` finds it by the widget's id."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    @property
    def control(self) -> Widget:
        """The widget that sent this, which Textual's handlers select by."""
        return self.widget


class RowView(LineView):
    """A header and rows. A subclass says how many there are, draws them, and what follows a move of the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--header", "rows--cursor", "rows--empty"}
    DEFAULT_CSS = """
    RowView {
        & > .rows--header { background: $panel; color: $foreground; text-style: bold; }
        & > .rows--cursor {
            background: $block-cursor-blurred-background;
            color: $block-cursor-blurred-foreground;
            text-style: $block-cursor-blurred-text-style;
        }
        &:focus > .rows--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
        & > .rows--empty { color: $foreground-muted; }
    }
    """

    _index = 0
    """The row under the cursor, counted from 0."""

    @property
    def _count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def draw_header(self) -> list[Segment]:
        """The line above the rows."""
        raise NotImplementedError

    def draw_row(self, index: int) -> list[Segment]:
        """A row, counted from 0."""
        raise NotImplementedError

    def why_empty(self) -> str:
        """What is shown when there are no rows."""
        raise NotImplementedError

    # -- cursor

    @property
    def _height(self) -> int:
        """Rows that fit below the header."""
        return max(1, self.size.height - 1)

    def _within(self, index: int) -> int:
        """The row nearest to this one that there is; 0 without rows."""
        return max(0, min(index, self._count - 1))

    def _go(self, index: int) -> None:
        """Put the cursor on a row, or on the nearest there is."""
        raise NotImplementedError

    def _reveal(self) -> None:
        """Scroll the cursor's row into sight."""
        top = self.scroll_offset.y
        if self._index < top:
            self.scroll_to(y=self._index, animate=False, force=True)
        elif self._index >= top + self._height:
            self.scroll_to(y=self._index - self._height + 1, animate=False, force=True)

    def action_move(self, rows: int) -> None:
        """Move the cursor by so many rows."""
        self._go(self._index + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by so many screenfuls."""
        self._go(self._index + pages * max(1, self._height - 1))

    def _hit(self, event: events.MouseEvent) -> tuple[int, int] | None:
        """Column of the content and row that the mouse is on, -1 for the header; None beside them."""
        offset = event.get_content_offset(self)
        if offset is None:
            return None
        row = offset.y - 1 + self.scroll_offset.y if offset.y else -1
        return (offset.x, row) if row < self._count else None

    # -- drawing

    def draw(self, y: int) -> list[Segment]:
        """The header, a row, or nothing."""
        index = self.scroll_offset.y + y - 1
        if y == 0:
            return self.draw_header()
        if index < self._count:
            return self.draw_row(index)
        if y == 2 and not self._count:
            return self.centred(self.why_empty(), self.get_component_rich_style("rows--empty"))
        return [Segment(" " * self.size.width, self.plain)]
