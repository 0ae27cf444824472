"""One line of text in several tones."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style

from tui.widgets.cells import fitted, joined
from tui.widgets.lines import LineView, Paint

TonePart = tuple[str, Paint]
"""A text and its tone."""


class ToneLine(LineView, can_focus=False):
    """Shows the parts that it was last told; what does not fit is cut."""

    DEFAULT_CSS = """
    ToneLine { height: 1; padding: 0 1; overflow: hidden hidden; scrollbar-gutter: auto; }
    """
    _parts: Sequence[TonePart] = ()

    def tell(self, parts: Sequence[TonePart]) -> None:
        """Show these parts, if they are others."""
        if parts != self._parts:
            self._parts = list(parts)
            self.repaint()

    def fill(self) -> None:
        """Cut it for another width."""
        self.repaint()

    def draw(self, y: int) -> list[Segment]:
        """The parts, one after the other."""
        pieces: Sequence[tuple[str, Style]] = [(text, self.paint(tone)) for text, tone in self._parts]
        cells = fitted(pieces, self.size.width, "left") if pieces else [(" " * self.size.width, Style.null())]
        return joined((text, self.plain + style) for text, style in cells)
