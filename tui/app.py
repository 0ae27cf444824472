"""`farm top`: the application. Updates are folded into a `Live` as they come; what is visible is drawn by a timer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher, Footer

from farm.attach import Attachment, Lost
from farm.errors import FarmError
from farm.view.live import Live
from tui.actions import SHELL
from tui.heading import Heading, Link
from tui.overview import OverviewView
from tui.tabs import TabBar
from tui.view import Detail, View

VIEWS: tuple[type[View], ...] = (OverviewView,)
"""The tabs, in their order."""


class FarmTop(App[None]):
    """The dashboard over an attachment.

    Args:
        attachment: what is watched.
        refresh: seconds between two drawings.
        keymap: binding id → keys, checked already (`tui.keys`).
        view: title of the tab that is shown at first.
        clock: monotonic seconds.
    """

    TITLE = "farm top"
    CSS_PATH = "farm.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [*SHELL]

    def __init__(
        self,
        attachment: Attachment,
        *,
        refresh: float = 0.5,
        keymap: Mapping[str, str] | None = None,
        view: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.attachment = attachment
        self.live = Live()
        self.refresh_seconds = refresh
        self.paused = False
        self.failure: FarmError | None = None
        """Why it ended, if not because the user wanted to."""
        self._clock = clock
        self._lost: Lost | None = None
        self._heard = clock()
        """When the last update came."""
        self._views = [kind(attachment, self.live) for kind in VIEWS]
        titles = [kind.TITLE.lower() for kind in VIEWS]
        self._first = titles.index(view.lower()) if view.lower() in titles else 0
        self.set_keymap(dict(keymap or {}))

    def compose(self) -> ComposeResult:
        """Heading, tabs, the views one behind the other, and what the keys do."""
        yield Heading()
        yield TabBar([view.TITLE for view in self._views])
        with ContentSwitcher(initial=None):
            yield from self._views
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to watch and to draw."""
        self.action_view(self._first)
        self.run_worker(self._watch(), name="watch")
        self._tick()

    # -- what is known

    async def _watch(self) -> None:
        try:
            async with aclosing(self.attachment.updates()) as updates:
                async for update in updates:
                    self._heard = self._clock()
                    if isinstance(update, Lost):
                        self._lost = update
                    else:
                        self._lost = None
                        self.live.apply(update)
        except FarmError as error:
            self.failure = error
            self.exit(return_code=1)

    @property
    def now(self) -> float:
        """Unix time by the clock of whoever sends the state; it stands still while nobody does."""
        return self.live.time + (0.0 if self._lost else self._clock() - self._heard)

    @property
    def link(self) -> Link:
        """How the connection stands."""
        if self._lost is None:
            return Link(self.attachment.title, paused=self.paused)
        retry = max(0.0, self._lost.retry - (self._clock() - self._heard))
        return Link(self.attachment.title, self._lost, retry, self.paused)

    # -- drawing

    def _tick(self) -> None:
        """Draw, and only then set the timer anew: drawings never overlap, however slow the terminal is."""
        self.flush()
        self.set_timer(self.refresh_seconds, self._tick)

    def flush(self) -> None:
        """Draw the heading, and what can be seen below it."""
        screen = self.screen
        for each in self.screen_stack:
            for heading in each.query(Heading):
                heading.show(self.live, self.link)
        if self.paused:
            return
        if isinstance(screen, Detail):
            screen.show(self.now)
        elif all(isinstance(above, ModalScreen) for above in self.screen_stack[1:]):
            self.view.show(self.now)

    # -- tabs

    @property
    def view(self) -> View:
        """The tab at the front."""
        return self._views[self.screen_stack[0].query_one(TabBar).current]

    def on_tab_bar_chosen(self, event: TabBar.Chosen) -> None:
        """A click on a tab."""
        self.action_view(event.index)

    def action_view(self, index: int) -> None:
        """Bring a tab to the front, counted from 0."""
        if not 0 <= index < len(self._views):
            return
        while len(self.screen_stack) > 1:
            self.pop_screen()
        screen = self.screen_stack[0]
        screen.query_one(TabBar).current = index
        view = self._views[index]
        screen.query_one(ContentSwitcher).current = view.id
        view.show(self.now)
        self.call_after_refresh(view.enter)

    def action_turn(self, steps: int) -> None:
        """Go so many tabs on."""
        current = self.screen_stack[0].query_one(TabBar).current
        self.action_view((current + steps) % len(self._views))

    def action_pause(self) -> None:
        """Hold the picture, or go on; what happens meanwhile is not lost."""
        self.paused = not self.paused
        self.flush()
