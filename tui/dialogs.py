"""Small screens above the dashboard: a question, a choice of one, a choice of many."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import ClassVar, TypeVar

from msgspec import Struct
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option

from tui.widgets.safe_text import clean

BOX = """
    {name} {{
        align: center middle;
        & > Vertical {{
            width: 64; max-width: 96%; height: auto; max-height: 90%;
            border: round $primary; background: $surface; padding: 0 1;
        }}
        & .title {{ text-style: bold; height: auto; }}
        & .hint {{ color: $text-muted; height: auto; }}
        & OptionList {{
            height: auto; max-height: 20; border: none; padding: 0; background: $surface;
        }}
        & Horizontal {{ height: auto; align-horizontal: right; }}
        & Button {{ margin-left: 2; }}
    }}
"""


Answer = TypeVar("Answer")


class AskingScreen(ModalScreen[Answer]):
    """A screen that asks. What was typed before it was on the screen is no answer: nobody had read the question."""

    _drawn = math.inf
    """Monotonic time at which the screen was first drawn."""

    def on_mount(self) -> None:
        """The first drawing is told by this signal, at once; `call_after_refresh` waits until all is at rest."""
        self.screen_layout_refresh_signal.subscribe(self, self._laid_out, immediate=True)

    def on_screen_suspend(self) -> None:
        """Another screen covers it."""
        self._drawn = math.inf

    def on_screen_resume(self) -> None:
        """It comes to the front."""
        self.call_after_refresh(self._note)

    def _laid_out(self, _: object) -> None:
        if any(box.size for box in self.query(Vertical)):
            self._note()

    def _note(self) -> None:
        if self.app.screen is self:
            self._drawn = min(self._drawn, time.monotonic())

    def is_answer(self, event: events.InputEvent) -> bool:
        """Whether a key or the mouse was used when the question could be read."""
        return event.time >= self._drawn


class Confirm(AskingScreen[bool]):
    """A question before something is done; escape and the first focus are on the safe side."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", tooltip="Confirm", id="confirm.yes"),
        Binding("n,escape", "answer(False)", "No", tooltip="Cancel", id="confirm.no"),
        Binding("left,right", "app.focus_next", "Other button", show=False, id="confirm.other"),
    ]
    DEFAULT_CSS = BOX.format(name="Confirm")

    def __init__(self, title: str, text: str, yes: str) -> None:
        super().__init__()
        self._title, self._text, self._yes = title, text, yes

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical():
            yield Static(clean(self._title), classes="title", markup=False)
            yield Static(Content("\n").join(Content(clean(line)) for line in self._text.splitlines()), markup=False)
            with Horizontal():
                yield Button("Cancel (n)", id="no", compact=True)
                yield Button(Content(f"{self._yes} (y)"), id="yes", variant="warning", compact=True)

    def action_answer(self, yes: bool) -> None:
        """Say it to whoever asked."""
        self.dismiss(yes)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


class Choice(Struct, frozen=True):
    """One line of a list to choose from."""

    key: str
    label: str
    hint: str = ""
    disabled: bool = False
    chosen: bool = False


class ChooseOne(AskingScreen[str | None]):
    """A list to choose one of by enter; None when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Leave", id="choose.leave")]
    DEFAULT_CSS = BOX.format(name="ChooseOne")

    def __init__(self, title: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._title, self._choices = title, choices

    def compose(self) -> ComposeResult:
        """The question and the list of choices."""
        with Vertical():
            yield Static(clean(self._title), classes="title", markup=False)
            yield OptionList(*(Option(_label(each), each.key, each.disabled) for each in self._choices), compact=True)
            yield Static("enter chooses, escape cancels", classes="hint")

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)


class ChooseMany(AskingScreen[list[str] | None]):
    """A list to mark some of; their keys in the order of the list, or None when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority, or the list would take both keys for itself.
        Binding("space", "mark", "Mark", tooltip="Mark or unmark the item", priority=True, id="mark.mark"),
        Binding("enter", "take", "Take", tooltip="Apply the marked items", priority=True, id="mark.take"),
        Binding("x", "clear", "None", tooltip="Unmark all", id="mark.none"),
        Binding("escape", "dismiss", "Leave", tooltip="Cancel, and change nothing", id="mark.leave"),
    ]
    DEFAULT_CSS = BOX.format(name="ChooseMany")

    def __init__(self, title: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._title, self._choices = title, choices
        self._chosen = {each.key for each in choices if each.chosen}

    def compose(self) -> ComposeResult:
        """The question and the list of choices, each with its mark."""
        with Vertical():
            yield Static(clean(self._title), classes="title", markup=False)
            yield OptionList(*(Option(self._marked(each), each.key) for each in self._choices), compact=True)
            yield Static("space marks, x unmarks all, enter applies, escape cancels", classes="hint")

    def _marked(self, choice: Choice) -> Content:
        return Content("[x] " if choice.key in self._chosen else "[ ] ") + _label(choice)

    def _draw(self) -> None:
        options = self.query_one(OptionList)
        for index, choice in enumerate(self._choices):
            options.replace_option_prompt_at_index(index, self._marked(choice))

    def action_mark(self) -> None:
        """Mark the line under the cursor, or take its mark away."""
        index = self.query_one(OptionList).highlighted
        if index is not None:
            self._chosen ^= {self._choices[index].key}
            self._draw()

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_mark()

    def action_take(self) -> None:
        """What is marked, to whoever asked."""
        self.dismiss([each.key for each in self._choices if each.key in self._chosen])

    def action_clear(self) -> None:
        """Take all marks away."""
        self._chosen.clear()
        self._draw()


def _label(choice: Choice) -> Content:
    hint = Content.styled(f"  {clean(choice.hint)}", "$foreground-muted") if choice.hint else Content("")
    return Content(clean(choice.label)) + hint
