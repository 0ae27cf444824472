"""The help screen: what this view shows, every key with what it does, and the id by which it can be remapped."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.dom import DOMNode
from textual.keys import format_key
from textual.screen import Screen
from textual.widgets import Static

from tui.keybar import KeyBar
from tui.page import Page

KEY_WIDTH = 10
TITLE_WIDTH = 14
NARROWEST = 20
"""Cells that a text has at least."""
KEYS_FILE = """\
You can change keys in ~/.config/farm/keys.toml, or another file with --keys; use the command names in brackets:
top.pause = "space". Separate several keys with commas."""
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
    lines = [Content.styled(title, "bold underline")]
    indent = KEY_WIDTH + TITLE_WIDTH + 2
    room = max(NARROWEST, width - indent)
    for binding in bindings:
        tip = binding.tooltip if binding.tooltip and binding.tooltip != binding.description else ""
        name = f"[{binding.id}]" if binding.id else ""
        *above, last = textwrap.wrap(tip, room) or [""]
        if last and len(last) + 2 + len(name) > room:
            above, last = [*above, last], ""
        said = Content(f"\n{' ' * indent}").join(
            [*map(Content, above), Content.assemble(f"{last}  " if last else "", (name, "$foreground-muted"))]
        )
        keys = (f"{keys_shown(binding, keymap):<{KEY_WIDTH}} ", "bold $text-accent")
        lines.append(Content.assemble(keys, f"{binding.description:<{TITLE_WIDTH}} ", said))
    return Content("\n").join(lines)


class HelpScreen(Screen[None]):
    """For reading; escape leads back.

    Args:
        title: of the view it was asked for from.
        about: what that view shows.
        sections: all keys by where they hold.
        keymap: what was remapped.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss", "Back", tooltip="Close the help", id="help.back")
    ]
    DEFAULT_CSS = """
    HelpScreen Page { padding: 0 1; height: 1fr; }
    HelpScreen Static { height: auto; }
    """

    def __init__(
        self, title: str, about: str, sections: Mapping[str, Sequence[Binding]], keymap: Mapping[str, str]
    ) -> None:
        super().__init__()
        self._heading, self._about = title, about
        self._sections, self._remapped = sections, keymap
        self._width = 0

    def compose(self) -> ComposeResult:
        """What is seen, then the keys, those of this view first."""
        with Page():
            yield Static(self._text(self.app.size.width))
        yield KeyBar()

    def on_mount(self) -> None:
        """The page takes the keys that scroll."""
        self.query_one(Page).focus()

    def on_resize(self) -> None:
        """Wrap it for this width."""
        if self.size.width != self._width:
            self.query_one(Static).update(self._text(self.size.width))

    def _text(self, width: int) -> Content:
        """All of it, for a screen of this width."""
        self._width = width
        return Content("\n\n").join(self._parts(width - 3))

    def _parts(self, width: int) -> Iterator[Content]:
        if self._about:
            yield Content.assemble((self._heading, "bold underline"), "\n", self._about)
        own = (self._heading, f"in {self._heading[:1].lower()}{self._heading[1:]}")
        here = [title for title in self._sections if title in own]
        for title in [*here, *(title for title in self._sections if title not in here)]:
            if self._sections[title]:
                yield section(f"Keys: {title}", self._sections[title], self._remapped, width)
        yield Content.assemble(("Signs", "bold underline"), "\n", SIGNS_TEXT)
        yield Content.assemble(("Other keys", "bold underline"), "\n", KEYS_FILE)
