"""The bar of tabs: one line, a number and a title each."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class TabBar(Widget):
    """Tells by `Chosen` which tab was clicked. Where titles do not fit, all but the current one are numbers alone."""

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    TabBar { height: 1; background: $surface; color: $foreground; }
    """
    current: reactive[int] = reactive(0)

    def __init__(self, titles: Sequence[str], hidden: Collection[int] = ()) -> None:
        super().__init__()
        self._titles, self._hidden = titles, hidden

    def labels(self) -> list[str]:
        """What stands on each tab at the present width; nothing on those that are hidden, which keep their numbers."""
        titles = ["" if i in self._hidden else title for i, title in enumerate(self._titles)]
        labels = [f" {number} {title} " if title else "" for number, title in enumerate(titles, 1)]
        if sum(map(len, labels)) > self.size.width:
            labels = [label.rstrip() for label in labels]
        if sum(map(len, labels)) > self.size.width:
            labels = [label if i == self.current else f" {i + 1} " * bool(label) for i, label in enumerate(labels)]
        return labels

    def render(self) -> Content:
        """The line; the current tab is reversed, which needs no colour."""
        return Content.assemble(
            *((label, "bold reverse" if i == self.current else "") for i, label in enumerate(self.labels()))
        )

    def on_click(self, event: events.Click) -> None:
        """Find the tab under the pointer."""
        x = event.x
        for index, label in enumerate(self.labels()):
            if x < len(label):
                self.post_message(self.Chosen(index))
                return
            x -= len(label)
