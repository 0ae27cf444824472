"""A whole as one bar of its parts, with the figures of each below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style

from tui.widgets.cells import fitted, joined
from tui.widgets.lines import LineView, Paint


class BarPart(NamedTuple):
    """A part of a whole."""

    name: str
    value: float
    words: str
    """The value for a reader."""
    glyph: str
    """Tells the part without colour."""
    tone: Paint = None


def lengths(values: Sequence[float], width: int) -> list[int]:
    """The cells of each part, which fill the width; what is more than nothing shows where there is room."""
    whole = sum(values)
    if whole <= 0 or width <= 0:
        return [0] * len(values)
    out = [max(int(value > 0), round(value / whole * width)) for value in values]
    while (over := sum(out) - width) > 0:
        longest = out.index(max(out))
        out[longest] -= min(over, max(1, out[longest] - max(sorted(out)[:-1], default=0)))
    out[out.index(max(out))] += max(0, width - sum(out))
    return out


class ShareBar(LineView, can_focus=False):
    """Two lines: the bar, and what its parts are."""

    DEFAULT_CSS = """
    ShareBar { height: 2; overflow: hidden hidden; scrollbar-gutter: auto; }
    """
    _shares: Sequence[BarPart] = ()

    def tell(self, shares: Sequence[BarPart]) -> None:
        """Show these parts, if they are others."""
        if shares != self._shares:
            self._shares = list(shares)
            self.repaint()

    def fill(self) -> None:
        """Draw it for another width."""
        self.repaint()

    def draw(self, y: int) -> list[Segment]:
        """The bar, or its legend."""
        width = self.size.width
        pieces: list[tuple[str, Style]] = []
        if y == 0:
            cells = lengths([share.value for share in self._shares], width)
            pieces = [
                (share.glyph * length, self.paint(share.tone))
                for share, length in zip(self._shares, cells, strict=True)
            ]
        elif y == 1:
            for share in self._shares:
                pieces += [(share.glyph * 2, self.paint(share.tone)), (f" {share.name} {share.words}   ", Style.null())]
        line = fitted([piece for piece in pieces if piece[0]] or [("", Style.null())], width, "left")
        return joined((text, self.plain + style) for text, style in line)
