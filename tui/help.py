"""The help screen: what this view shows, and the keys that work here with what they do."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.dom import DOMNode
from textual.keys import format_key
from textual.screen import Screen
from textual.widgets import Static

from tui.keybar import KeyBar
from tui.page import Page

KEY_WIDTH = 10
TITLE_WIDTH = 14
PAGE_EDGES = 3
"""Cells at the sides of the page, the scroll bar's included."""
NARROWEST = 20
"""Cells that a text has at least."""
TWO_COLUMNS = 100
"""Cells of a screen from which on the keys of this view stand beside those that hold everywhere."""
KEYS_FILE = """\
You can change keys: farm top --list-keys > ~/.config/farm/keys.toml writes a file with all of them to begin with."""
SIGNS_TEXT = """\
● up, ready   ◔ ◑ ◕ booting   ○ off   ✖ lost, down   ⊘ blocked   ▲ needs attention   ▸ running   ⌂ running locally"""


def own_bindings(kind: type[DOMNode]) -> list[Binding]:
    """What a class adds to the keys of those it is made of."""
    return [binding for binding in kind.__dict__.get("BINDINGS", ()) if isinstance(binding, Binding)]


def keys_shown(binding: Binding, keymap: Mapping[str, str]) -> str:
    """The keys of a binding as people write them, remapped ones included."""
    keys = keymap.get(binding.id or "", "")
    if not keys and binding.key_display:
        return binding.key_display
    return " ".join(map(format_key, (keys or binding.key).split(",")))


def section(title: str, bindings: Sequence[Binding], keymap: Mapping[str, str], width: int) -> Content:
    """A group of keys in lines of so many cells; what is longer goes on below itself."""
    lines = [Content.styled(f"Keys: {title}", "bold underline")]
    indent = KEY_WIDTH + TITLE_WIDTH + 2
    room = max(NARROWEST, width - indent)
    for binding in bindings:
        tip = binding.tooltip if binding.tooltip and binding.tooltip != binding.description else ""
        said = f"\n{' ' * indent}".join(textwrap.wrap(tip, room))
        keys = (f"{keys_shown(binding, keymap):<{KEY_WIDTH}} ", "bold $text-accent")
        lines.append(Content.assemble(keys, f"{binding.description:<{TITLE_WIDTH}} ", said))
    return Content("\n").join(lines)


class HelpScreen(Screen[None]):
    """For reading; escape leads back.

    Args:
        title: of the view it was asked for from.
        about: what that view shows.
        here: the keys of that view and of its parts, by where they hold.
        everywhere: the keys that hold in all views.
        keymap: what was remapped.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss", "Back", tooltip="Close the help", id="help.back")
    ]
    DEFAULT_CSS = """
    HelpScreen Page { padding: 0 1; height: 1fr; }
    HelpScreen Static { height: auto; margin-bottom: 1; }
    HelpScreen #keys { height: auto; layout: vertical; }
    HelpScreen #keys.wide { layout: horizontal; }
    HelpScreen #keys.wide Static { width: 1fr; }
    """

    def __init__(
        self,
        title: str,
        about: str,
        here: Mapping[str, Sequence[Binding]],
        everywhere: Sequence[Binding],
        keymap: Mapping[str, str],
    ) -> None:
        super().__init__()
        self._heading, self._about = title, about
        self._here, self._everywhere, self._remapped = here, everywhere, keymap

    def compose(self) -> ComposeResult:
        """What is seen, then the keys, those of this view first."""
        with Page():
            if self._about:
                yield Static(Content.assemble((self._heading, "bold underline"), "\n", self._about))
            with Container(id="keys"):
                yield Static(id="here")
                yield Static(id="everywhere")
            yield Static(Content.assemble(("Signs", "bold underline"), "\n", SIGNS_TEXT))
            yield Static(Content.assemble(("Other keys", "bold underline"), "\n", KEYS_FILE))
        yield KeyBar()

    def on_mount(self) -> None:
        """The page takes the keys that scroll."""
        self.query_one(Page).focus()

    def on_resize(self) -> None:
        """Wrap the keys for this width."""
        width = self.size.width - PAGE_EDGES
        wide = self.size.width >= TWO_COLUMNS
        self.query_one("#keys").set_class(wide, "wide")
        room = width // 2 - 1 if wide else width
        here = [section(title, bindings, self._remapped, room) for title, bindings in self._here.items() if bindings]
        self.query_one("#here", Static).update(Content("\n\n").join(here))
        self.query_one("#everywhere", Static).update(section("everywhere", self._everywhere, self._remapped, room))
