"""A row of tiles: each has one figure, what it counts, and how it was in the last minute."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tui.widgets.axis import ceiling
from tui.widgets.cells import Part, joined
from tui.widgets.lines import LineView, Tone
from tui.widgets.raster import Point, resample
from tui.widgets.safe_text import fit
from tui.widgets.sparkline import BIG_LINES, big, spark

TILE_CELLS = 15
"""The least that a tile needs; those for which there is no room are left out, the last first."""
SPARK_CELLS = 30
"""A longer curve has no more to say."""
GAP = " "
"""What stands before each tile."""
PLAIN = Style.null()


class Tile(Struct, frozen=True):
    """One figure, short enough to be read at a glance."""

    figure: str
    unit: str
    """What the figure counts; stands behind it."""
    note: str = ""
    """What else is to be known, in a few words."""
    points: Sequence[Point] = ()
    """The same figure over time."""
    top: float | None = None
    """The value that fills the curve's line; a round number above the greatest if None."""
    tone: Tone | None = None
    """Of the figure: none, unless somebody should look."""


class TileRow(LineView, can_focus=False):
    """Tiles beside one another: with five lines the figures are large, with three or two they are not.

    Args:
        span: seconds that the curves cover.
    """

    DEFAULT_CSS = """
    TileRow { overflow: hidden hidden; scrollbar-gutter: auto; }
    """

    def __init__(self, *, span: float = 60.0, id: str | None = None) -> None:
        super().__init__(id=id)
        self._span = span
        self._tiles: Sequence[Tile] = ()

    @property
    def tiles(self) -> Sequence[Tile]:
        """What is shown; set it to replace all."""
        return self._tiles

    @tiles.setter
    def tiles(self, tiles: Sequence[Tile]) -> None:
        if tiles != self._tiles:
            self._tiles = tiles
            self.repaint()

    def fill(self) -> None:
        """Take the place for as many tiles as it holds."""
        self.repaint()

    def draw(self, y: int) -> list[Segment]:
        """A line through all tiles."""
        width = self.size.width
        shown = self._tiles[: max(1, width // TILE_CELLS)]
        pieces: list[Part] = []
        for number, tile in enumerate(shown):
            cells = width * (number + 1) // len(shown) - width * number // len(shown)
            pieces += _between_gaps(self._line(tile, y, cells - len(GAP)), cells)
        if not shown:
            pieces = [(" " * width, self.plain)]
        return joined((text, self.plain + style) for text, style in pieces)

    def _line(self, tile: Tile, y: int, cells: int) -> Sequence[Part]:
        height = self.size.height
        large = height > BIG_LINES
        if large and y < BIG_LINES:
            return self._large(tile, y)
        if not large and y == 0:
            return [(tile.figure, self.paint(tile.tone) + self.paint("strong")), (f" {tile.unit}", self.paint(None))]
        if y == (BIG_LINES if large else 1):
            return self._curve(tile, min(cells - 1, SPARK_CELLS))
        return [(tile.note, self.paint("muted"))]

    def _large(self, tile: Tile, y: int) -> Sequence[Part]:
        figure = (big(tile.figure)[y], self.paint(tile.tone))
        return [figure, (f" {tile.unit}", self.paint(None))] if y == BIG_LINES - 1 else [figure]

    def _curve(self, tile: Tile, cells: int) -> Sequence[Part]:
        if not tile.points:
            return []
        end = tile.points[-1][0]
        values = resample(tile.points, end - self._span, end, max(1, cells))
        top = tile.top or ceiling(max((value for value in values if value is not None), default=0.0))
        return [(text, self.paint("accent" if some else "muted")) for text, some in spark(values, top)]


def _between_gaps(parts: Sequence[Part], cells: int) -> list[Part]:
    """The parts cut or filled up to so many cells, with a distance to the one before."""
    out: list[Part] = [(GAP, PLAIN)]
    left = cells - len(GAP)
    for text, style in parts:
        text = fit(text, min(left, cell_len(text)))
        left -= cell_len(text)
        out.append((text, style))
    return [*out, (" " * left, PLAIN)]
