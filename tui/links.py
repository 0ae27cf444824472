"""Links from page to page: what they lead to, and the line in which they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from farm.watch.activity import HostKey, Job
from tui.widgets.safe_text import clean


class NodeTarget(NamedTuple):
    """The page of a node or submitter."""

    host: HostKey


class JobTarget(NamedTuple):
    """The page of a job."""

    job: Job


class BuildTarget(NamedTuple):
    """The page of the build to which a job belongs."""

    job: Job


class TabTarget(NamedTuple):
    """The tab with this title."""

    title: str


Target = NodeTarget | JobTarget | BuildTarget | TabTarget


class Follow(Message):
    """Somebody wants to go there."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target


class PageLink(NamedTuple):
    """Where it leads, in words and as a target."""

    label: str
    text: str
    target: Target


class LinkLine(Widget, can_focus=True):
    """The links of a page; left and right choose one, enter or a click follows it."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "choose(-1)", "Previous link", show=False, id="links.before"),
        Binding("right", "choose(1)", "Next link", show=False, id="links.next"),
        Binding("enter", "follow", "Open", tooltip="Go to where the link leads", id="links.open"),
    ]
    DEFAULT_CSS = """
    LinkLine { height: 1; color: $foreground; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._links: Sequence[PageLink] = ()
        self._index = 0

    def tell(self, links: Sequence[PageLink]) -> None:
        """Show these links, if they are others."""
        if links != self._links:
            self._links = list(links)
            self._index = min(self._index, max(0, len(links) - 1))
            self.refresh()

    def render(self) -> Content:
        """The line; the chosen one is reversed while keys come here."""
        parts: list[Content] = []
        for index, (label, text, _) in enumerate(self._links):
            style = "reverse" if index == self._index and self.has_focus else "underline"
            parts.append(Content.assemble((f"{label} ", "$foreground-muted"), (clean(text), style)))
        return Content("   ").join(parts).truncate(max(1, self.size.width), ellipsis=True)

    def on_focus(self) -> None:
        """Show which one is chosen."""
        self.refresh()

    def on_blur(self) -> None:
        """Show that keys go elsewhere now."""
        self.refresh()

    def action_choose(self, steps: int) -> None:
        """Go to another link."""
        if self._links:
            self._index = (self._index + steps) % len(self._links)
            self.refresh()

    def action_follow(self) -> None:
        """Go where the chosen one leads."""
        if self._links:
            self.post_message(Follow(self._links[self._index].target))

    def on_click(self, event: events.Click) -> None:
        """Go where the one under the pointer leads."""
        x = event.x
        for index, (label, text, _) in enumerate(self._links):
            width = Content(f"{label} {clean(text)}").cell_length
            if x < width:
                self._index = index
                self.action_follow()
                return
            x -= width + 3
