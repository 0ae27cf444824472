"""`farm top`: the application. Updates are folded into a `Live` as they come; what is visible is drawn by a timer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, ClassVar, cast

from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.driver import Driver
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher

from farm.attach import ACTIONS, Action, Attachment, Lost
from farm.errors import FarmError
from farm.view.live import Live
from farm.view.status import NodeStatus
from tui.actions import NODE_ACTIONS, SHELL, objection, warning
from tui.anonymize import Anonymous
from tui.base_view import Detail, View
from tui.command_palette import Commands
from tui.dialogs import Answer, AskingScreen, Choice, ChooseOne, Confirm
from tui.driver import DRIVERS
from tui.garbage import KEY_ANSWER_SECONDS, Collector
from tui.heading import Heading, HeadlineFigures, Link, summary
from tui.help import HelpScreen
from tui.keybar import KeyBar
from tui.links import Follow, TabTarget
from tui.open_pages import open_target
from tui.remembered import PreferenceMemory
from tui.tabs import TabBar
from tui.themes import OWN
from tui.views import VIEWS, keys_in
from tui.widgets.safe_text import clean

NOT_IN_HELP = ("help", "node", "node_menu", "pause", "image")
"""Actions that have no meaning while the help is read."""
NO_NODE = "Move the cursor to a node first, for example in the tab Nodes."


class FarmTop(App[None]):
    """The dashboard over an attachment.

    Args:
        attachment: what is watched.
        refresh: seconds between two drawings.
        anonymize: pseudonyms for names, addresses and files.
        theme: its name; empty for the one that was chosen last.
        keymap: binding id → keys, checked already (`tui.keys`).
        view: title of the tab that is shown at first.
        memory: a file in which theme, columns and orders are kept from one time to the next.
        clock: monotonic seconds.
    """

    TITLE = "farm top"
    CSS_PATH = "farm.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [*SHELL]
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}

    def __init__(
        self,
        attachment: Attachment,
        *,
        refresh: float = 0.5,
        anonymize: bool = False,
        theme: str = "",
        keymap: Mapping[str, str] | None = None,
        view: str = "",
        memory: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.attachment = attachment = Anonymous(attachment) if anonymize else attachment
        self.live = Live()
        self.collector = Collector()
        """Idle until it is told to begin."""
        self.refresh_seconds = refresh
        self.paused = False
        self.failure: FarmError | None = None
        """Why it ended, if not because the user wanted to."""
        self._clock = clock
        self._lost: Lost | None = None
        self._heard = clock()
        """When the last update came."""
        self._summary = HeadlineFigures()  # it stands still while the picture is held
        self._views = [kind(attachment, self.live) for kind in VIEWS]
        self._left_out = frozenset(n for n, kind in enumerate(VIEWS) if kind.NEEDS_FARM and not attachment.is_farm)
        titles = [kind.TITLE.lower() for kind in VIEWS]
        self._first = titles.index(view.lower()) if view.lower() in titles else 0
        if self._first in self._left_out:
            self._first = 0
        self.remapped = dict(keymap or {})
        """Binding id → keys."""
        self.set_keymap(self.remapped)
        for each in OWN:
            self.register_theme(each)
        self.memory = PreferenceMemory(memory)
        self.theme = self.memory.begun_with(theme, self.available_themes)

    def get_driver_class(self) -> type[Driver]:
        """Ours instead of Textual's choice, if there is one."""
        kind = super().get_driver_class()
        return DRIVERS.get(kind, kind)

    def compose(self) -> ComposeResult:
        """Heading, tabs, the views one behind the other, and what the keys do."""
        yield Heading()
        yield TabBar([view.TITLE for view in self._views], self._left_out)
        with ContentSwitcher(initial=None):
            yield from self._views
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to watch and to draw."""
        self.memory.restore(self._views)
        self.action_view(self._first)
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
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
        retry = max(0.0, self._lost.retry - (self._clock() - self._heard)) if self._lost else 0.0
        return Link(self.attachment.title, self._lost, retry, self.paused, self._summary)

    # -- drawing

    def _tick(self) -> None:
        """Draw, and only then set the timer anew: drawings never overlap, however slow the terminal is."""
        self.flush()
        self.collector.collect(self._clock())
        self.set_timer(self.refresh_seconds, self._tick)

    async def on_event(self, event: events.Event) -> None:
        """All that happens comes by here first."""
        if isinstance(event, events.InputEvent):
            if self.screen_stack and isinstance(self.screen, AskingScreen) and not self.screen.is_answer(event):
                return
            self.collector.pressed(now := self._clock())
            if self.collector.wanted(now):
                self.set_timer(KEY_ANSWER_SECONDS, self._collect)
        await super().on_event(event)

    def _collect(self) -> None:
        """A key has been answered."""
        self.collector.collect(self._clock(), 0.9 * KEY_ANSWER_SECONDS)

    def flush(self) -> None:
        """Draw the heading, and what can be seen below it."""
        if not self.screen_stack:  # it is ending
            return
        screen = self.screen
        if not self.paused:
            self._summary = summary(self.live, self.now)
        for each in self.screen_stack:
            for heading in each.query(Heading):
                heading.show(self.live, self.link)
        if self.paused:
            return
        if isinstance(screen, Detail):
            screen.show(self.now)
        elif all(isinstance(above, ModalScreen) for above in self.screen_stack[1:]):
            self.view.show(self.now)

    def on_detail_opened(self, event: Detail.Opened) -> None:
        """Draw it, also while the picture is held."""
        event.detail.show(self.now)

    @work
    async def on_follow(self, event: Follow) -> None:
        """Go where a link leads."""
        if isinstance(event.target, TabTarget):
            self.action_view([view.TITLE for view in self._views].index(event.target.title))
            return
        try:
            await open_target(self, self.attachment, self.live, event.target)
        except FarmError as error:
            self._tell(error)

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
        if index in self._left_out:
            self.notify(f"{self._views[index].TITLE}: only a farm's server knows this.")
            return
        while len(self.screen_stack) > 1:
            self.pop_screen()
        screen = self.screen_stack[0]
        screen.query_one(TabBar).current = index
        view = self._views[index]
        screen.query_one(ContentSwitcher).current = view.id
        view.enter()  # The first thing that is drawn has the focus already.
        view.show(self.now)

    def action_turn(self, steps: int) -> None:
        """Go so many tabs on."""
        shown = [index for index in range(len(self._views)) if index not in self._left_out]
        current = shown.index(self.screen_stack[0].query_one(TabBar).current)
        self.action_view(shown[(current + steps) % len(shown)])

    def action_pause(self) -> None:
        """Hold the picture, or go on; what happens meanwhile is not lost."""
        self.paused = not self.paused
        self.flush()

    def action_help(self) -> None:
        """What is seen here, and the keys that work here."""
        shown = self.screen if isinstance(self.screen, Detail) else self.view
        self.push_screen(HelpScreen(shown.TITLE, shown.ABOUT, keys_in(shown), SHELL, self.remapped))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Above the help there is nothing that could be acted on or held."""
        return not (isinstance(self.screen, HelpScreen) and action in NOT_IN_HELP) if self.screen_stack else True

    def exit(self, *args: Any, **options: Any) -> None:
        """End it; what was chosen until now is known while the tables are still there."""
        self.memory.note(self._views, self.theme)
        super().exit(*args, **options)

    # -- what can be done

    @property
    def chosen(self) -> NodeStatus | None:
        """The node that actions are for."""
        return self.screen.chosen if isinstance(self.screen, Detail) else self.view.chosen

    def action_copy(self) -> None:
        """Copy a name, by way of the terminal."""
        name = clean((self.screen if isinstance(self.screen, Detail) else self.view).name_here)
        if name:
            self.copy_to_clipboard(name)
            self.notify(f"Copied: {name}", markup=False)
        else:
            self.notify("There is no name under the cursor.", severity="warning")

    def action_node(self, action: Action) -> None:
        """Do something to the node under the cursor, after a question."""
        node = self.chosen
        if node is None:
            self.notify(NO_NODE, severity="warning")
        else:
            self.ask_node(action, node)

    @work
    async def action_node_menu(self) -> None:
        """Show what can be done to the node under the cursor, and why the rest cannot."""
        node = self.chosen
        if node is None:
            self.notify(NO_NODE, severity="warning")
            return
        choices = []
        for each in NODE_ACTIONS.values():
            possible = each.action in self.attachment.actions
            why = objection(node, each.action) if possible else "not available: this scheduler is not part of a farm"
            hint = why or each.effect.format(name="it")
            choices.append(Choice(each.action, f"{each.title} ({each.key})", hint, disabled=bool(why)))
        chosen = await self._ask(ChooseOne(node.name, choices))
        if chosen is not None:
            self.ask_node(NODE_ACTIONS[cast(Action, chosen)].action, node)

    @work
    async def ask_node(self, action: Action, node: NodeStatus) -> None:
        """Ask whether it is meant, do it, and say what came of it."""
        each = NODE_ACTIONS[action]
        if action not in self.attachment.actions:
            possible = ", ".join(
                NODE_ACTIONS[other].title.lower() for other in ACTIONS if other in self.attachment.actions
            )
            self.notify(
                f"This scheduler is not part of a farm; possible orders: {possible or 'none'}.",
                title=f"{each.title} is not possible here.",
                severity="warning",
                markup=False,
            )
            return
        name = clean(node.name)
        if why := objection(node, action):
            self.notify(why, title=f"{each.title} {name}: not now.", severity="warning", markup=False)
            return
        text = "\n".join(part for part in (each.effect.format(name=name), warning(node, action)) if part)
        if await self._ask(Confirm(f"{each.title} {name}?", text, each.title)):
            await self._report(self.attachment.act(action, node))

    async def _ask(self, question: AskingScreen[Answer]) -> Answer | None:
        """What is answered; None besides when another question is on the screen: of two keys that came at once."""
        if isinstance(self.screen, AskingScreen):
            return None
        answer: Answer = await self.push_screen_wait(question)
        return answer

    @work
    async def action_image(self) -> None:
        """Choose the image that next boots get."""
        try:
            images = await self.attachment.images()
        except FarmError as error:
            self._tell(error)
            return
        if not images:
            self.notify("There are no images to choose from here.", severity="warning")
            return
        present = self.live.overview.images.values() if self.live.overview else ()
        choices = [Choice(each, each, "chosen for next boots" if each in present else "") for each in images]
        chosen = await self._ask(ChooseOne("Image for next boots", choices))
        if chosen is None:
            return
        text = f"Machines that boot from now on get {chosen}; running ones keep their image."
        if await self._ask(Confirm(f"Switch to {chosen}?", text, "Switch")):
            await self._report(self.attachment.switch_image(chosen))

    async def _report(self, doing: Awaitable[str]) -> None:
        try:
            self.notify(clean(await doing), markup=False)
        except FarmError as error:
            self._tell(error)

    def _tell(self, error: FarmError) -> None:
        """Show an error as the command line would."""
        mend = f"→ {error.fix}" if error.fix else ""
        message = "\n".join(clean(part) for part in (error.why, mend) if part) or " "
        self.notify(message, title=clean(error.what), severity="error", timeout=15, markup=False)
