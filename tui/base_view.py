"""What every view of the dashboard is: a part of the screen that is handed the present state when it is visible."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen

from farm.attach import Attachment
from farm.view.live import Live
from farm.view.status import NodeStatus
from tui.breadcrumb import Breadcrumb
from tui.heading import Heading
from tui.keybar import KeyBar

NARROW_SCREEN = 64
"""Cells; on a narrower screen tables keep the columns that a glance needs."""


class View(Vertical):
    """One tab. It gets `show` with what is known, at the refresh rate and only while it can be seen.

    A view's keys are its BINDINGS and those of the widgets in it. Each has an id (``jobs.pause``), by which it can be
    remapped, and a tooltip, which the help screen and the command palette show.
    """

    TITLE = ""
    """What its tab is called."""
    ABOUT = ""
    """What it shows and how its figures are defined; for the help screen, in plain text."""
    NEEDS_FARM: ClassVar[bool] = False
    """Without a farm there is nothing to show, and no tab: only a farm's machines boot, and have somebody at them."""

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(id=self.TITLE.lower())
        self.attachment = attachment
        self.live = live

    def show(self, now: float) -> None:
        """Draw what has changed; ``now``: Unix time by the clock of whoever sent the state.

        It may be called before anything is known: ``live.overview`` is None then.
        """
        raise NotImplementedError

    @property
    def chosen(self) -> NodeStatus | None:
        """The node that actions are for; None when there is none under the cursor."""
        return None

    @property
    def name_here(self) -> str:
        """The name of what is under the cursor, which can be copied; empty when there is none."""
        return self.chosen.name if self.chosen else ""

    @property
    def own_columns(self) -> Mapping[str, Sequence[str]]:
        """Table's id → the columns that the user has chosen for it."""
        return {}

    def show_own_columns(self, columns: Mapping[str, Sequence[str]]) -> None:
        """Show the columns that were chosen another time."""

    def enter(self) -> None:
        """Take the focus when the view comes to the front: its first widget that can have it."""
        for child in self.query("*"):
            if child.focusable and child.display:
                child.focus(scroll_visible=False)
                return


class Detail(Screen[None]):
    """A full screen above the tabs, for one thing out of a view; like a view it gets `show`. Escape leads back."""

    TITLE = ""
    """What it is of; the help calls it so, and the sections of its own keys."""
    ABOUT = ""
    """What it shows and how its figures are defined; for the help screen, in plain text."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "Back", tooltip="Back to the view", id="detail.back")
    ]

    subject: Hashable = None
    """What the page is about; there is one page of a subject at a time. None: it may be there several times."""

    class Opened(Message):
        """It can be drawn; what has not been drawn once must not wait for the next drawing, nor be held."""

        def __init__(self, detail: Detail) -> None:
            super().__init__()
            self.detail = detail

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__()
        self.attachment = attachment
        self.live = live

    def on_mount(self) -> None:
        """Called besides its children's (Textual calls those of all classes)."""
        self.query_one(Breadcrumb).tell(_trail(self.app))
        self.post_message(self.Opened(self))

    def compose(self) -> ComposeResult:
        """The heading, how one came here, what `body` gives, and the footer."""
        yield Heading()
        yield Breadcrumb()
        yield from self.body()
        yield KeyBar()

    def body(self) -> ComposeResult:
        """The widgets between heading and footer."""
        raise NotImplementedError

    def show(self, now: float) -> None:
        """Draw again what has changed; ``now`` is Unix time."""
        raise NotImplementedError

    @property
    def crumb(self) -> str:
        """What it is called in the line that says how one came there."""
        return self.TITLE

    def on_breadcrumb_chosen(self, event: Breadcrumb.Chosen) -> None:
        """Leave so many pages."""
        event.stop()
        for _ in range(event.pages):
            self.app.pop_screen()

    @property
    def chosen(self) -> NodeStatus | None:
        """The node that orders go to; None: there is none."""
        return None

    @property
    def name_here(self) -> str:
        """The name of what it is about, which can be copied; empty when there is none."""
        return self.chosen.name if self.chosen else ""


def _trail(app: App[Any]) -> list[str]:
    """The tab at the front, and the pages above it."""
    first, *above = app.screen_stack
    tabs = [view.TITLE for view in first.query(View) if view.display]
    return [*tabs[:1], *(page.crumb for page in above if isinstance(page, Detail))]


def open_page(app: App[Any], page: Detail) -> None:
    """Bring a page to the front: the one of its subject that is there already, or this one."""
    for depth, other in enumerate(reversed(app.screen_stack)):
        if isinstance(other, Detail) and page.subject is not None and other.subject == page.subject:
            for _ in range(depth):
                app.pop_screen()
            return
    app.push_screen(page)
