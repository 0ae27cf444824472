"""What the table, the graph and the Gantt chart share: lines are drawn one by one, and only those that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias, get_args

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Offset, Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.widgets.safe_text import fit

Hue = Literal["hue1", "hue2", "hue3", "hue4", "hue5", "hue6", "hue7", "hue8"]
"""Tells things of one kind apart, such as submitters, and means nothing else."""
Tone = Literal["good", "warn", "bad", "accent", "strong", "muted"] | Hue
"""What a text means; the theme says how that looks. A reader without colour must not need it."""
Paint: TypeAlias = Tone | Style | None
Cell: TypeAlias = Text | str | tuple[str, Paint] | list[tuple[str, Paint]]
"""What a cell callable may give: a text, one with its tone, or several. Never parsed as markup; what is not printable
is replaced."""

HUES: tuple[Hue, ...] = get_args(Hue)
TONES: tuple[Tone, ...] = ("good", "warn", "bad", "accent", "strong", "muted")
"""Those of the theme; each costs time whenever a widget is shown or gets the focus, so hues are none of them."""
ON_DARK: dict[str, str] = {
    "hue1": "#5AB0F0",
    "hue2": "#C792EA",
    "hue3": "#4EC9A5",
    "hue4": "#F29BC1",
    "hue5": "#A8C76A",
    "hue6": "#8A9CF5",
    "hue7": "#C9B48A",
    "hue8": "#8FB8C4",
}
ON_LIGHT: dict[str, str] = {
    "hue1": "#0B6AA8",
    "hue2": "#7A3DB8",
    "hue3": "#0A7560",
    "hue4": "#A8326E",
    "hue5": "#4F6B12",
    "hue6": "#3A50C2",
    "hue7": "#6E5A2A",
    "hue8": "#3F6470",
}


class LineView(ScrollView, can_focus=True):
    """Draws by lines: a subclass gives ``draw(y)``, calls ``repaint()`` after its data changed.

    ``repaint()`` draws each visible line and has only those painted that differ from what is on the screen.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone--{tone}" for tone in TONES}
    DEFAULT_CSS = """
    LineView {
        background: $surface;
        color: $foreground;
        scrollbar-size: 1 1;
        scrollbar-gutter: stable;
        & > .tone--good { color: $text-success; }
        & > .tone--warn { color: $text-warning; }
        & > .tone--bad { color: $text-error; text-style: bold; }
        & > .tone--accent { color: $text-accent; }
        & > .tone--strong { text-style: bold; }
        & > .tone--muted { color: $foreground-muted; }
    }
    """

    def __init__(
        self, *, name: str | None = None, id: str | None = None, classes: str | None = None, disabled: bool = False
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._shown: dict[int, list[Segment]] = {}
        self._drawn: dict[int, list[Segment]] = {}
        self._drawn_for: tuple[Offset, Size] | None = None
        self._fitted = Size()
        self._paints: dict[Paint, Style] = {}
        self._plain: Style | None = None

    @property
    def size(self) -> Size:
        """The cells that can be drawn on: scrollbars take theirs from the content."""
        return self.scrollable_content_region.size

    def on_resize(self) -> None:
        """Textual tells the size whenever the widget is shown, too."""
        if self._fitted != self.size:
            self._fitted = self.size
            self.fill()

    def fill(self) -> None:
        """Take the whole place, which has another size than before."""
        raise NotImplementedError

    def draw(self, y: int) -> list[Segment]:
        """The line ``y`` of what is visible, counted from 0, as wide as ``self.size.width``."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Have those visible lines painted that differ from what the screen shows."""
        self._drawn_for = (self.scroll_offset, self.size)
        self._drawn.clear()
        width, height = self.size
        first: int | None = None
        for y in range(height):
            line = self.draw(y)
            if line != self._shown.get(y):
                self._drawn[y] = line
                first = y if first is None else first
            elif first is not None:
                self.refresh(Region(0, first, width, y - first))
                first = None
        if first is not None:
            self.refresh(Region(0, first, width, height - first))

    def render_line(self, y: int) -> Strip:
        """Textual asks for a line that has to be painted."""
        line = self._drawn.pop(y, None)
        if line is None or self._drawn_for != (self.scroll_offset, self.size):
            line = self.draw(y)
        self._shown[y] = line
        return Strip(line, self.size.width)

    def notify_style_update(self) -> None:
        """The theme or the focus changed: nothing that was drawn holds."""
        self._shown.clear()
        self._drawn.clear()
        self._paints.clear()
        self._plain = None
        super().notify_style_update()

    def paint(self, paint: Paint) -> Style:
        """The style of a tone, without a background, so that it can be laid on any."""
        style = self._paints.get(paint)
        if style is None:
            style = self._style_of(paint) if isinstance(paint, str) else paint or Style.null()
            if len(self._paints) > 256:
                self._paints.clear()
            self._paints[paint] = style
        return style

    def _style_of(self, tone: Tone) -> Style:
        if tone in ON_DARK:
            return Style(color=(ON_DARK if self.app.current_theme.dark else ON_LIGHT)[tone])
        return self.foreground(f"tone--{tone}")

    @property
    def plain(self) -> Style:
        """The widget's own style. Textual works it out anew each time it is asked."""
        if self._plain is None:
            self._plain = self.rich_style
        return self._plain

    def foreground(self, component: str) -> Style:
        """A component class's colour and weight, without its background."""
        style = self.get_component_rich_style(component)
        return style.without_color + Style(color=style.color)

    def centred(self, text: str, style: Style) -> list[Segment]:
        """One line with this text in the middle."""
        width = self.size.width
        text = fit(text, min(len(text), width))
        return [Segment(fit(" " * max(0, (width - len(text)) // 2) + text, width), style)]

    def parts(self, cell: Cell) -> Sequence[tuple[str, Style]]:
        """A cell as pieces of text, each with its style."""
        if isinstance(cell, str):
            return ((cell, Style.null()),)
        if isinstance(cell, tuple):
            return ((cell[0], self.paint(cell[1])),)
        if isinstance(cell, list):
            return [(text, self.paint(tone)) for text, tone in cell]
        return [(segment.text, segment.style or Style.null()) for segment in cell.render(self.app.console, end="")]
