"""The line above a page that says how one came there; a click goes back."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tui.widgets.safe_text import clean

BETWEEN = " › "
ELSEWHERE = "…"


class Breadcrumb(Widget):
    """The names of the tab and of the pages above it, the present one last and reversed."""

    class Chosen(Message):
        """A page above was clicked: so many are to be left."""

        def __init__(self, pages: int) -> None:
            super().__init__()
            self.pages = pages

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Breadcrumb { height: 1; background: $surface; color: $foreground; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []

    def tell(self, names: Sequence[str]) -> None:
        """Show these names, if they are others."""
        if names != self._names:
            self._names = list(names)
            self.refresh()

    def labels(self) -> list[tuple[int, str]]:
        """What is shown, each with how many pages are above it; the first are left out where they do not fit."""
        names = [clean(name) for name in self._names]
        labels = [(len(names) - 1 - i, name) for i, name in enumerate(names)]
        cut = False
        while len(labels) > 1 and self._width(labels, cut) > self.size.width:
            labels, cut = labels[1:], True
        return [(0 if not labels else labels[0][0] + 1, ELSEWHERE), *labels] if cut else labels

    def _width(self, labels: list[tuple[int, str]], cut: bool) -> int:
        shown = [ELSEWHERE] * cut + [name for _, name in labels]
        return 3 + Content(BETWEEN.join(shown)).cell_length

    def render(self) -> Content:
        """The line; what can be clicked is underlined."""
        line = Content(" ")
        for pages, name in self.labels():
            line += (
                Content.styled(name, "underline") + BETWEEN if pages else Content.styled(f" {name} ", "bold reverse")
            )
        return line.truncate(max(1, self.size.width), ellipsis=True)

    def on_click(self, event: events.Click) -> None:
        """Go back to what is under the pointer."""
        x = event.x - 1
        for pages, name in self.labels():
            width = Content(name).cell_length + len(BETWEEN)
            if x < width:
                if pages:
                    self.post_message(self.Chosen(pages))
                return
            x -= width
