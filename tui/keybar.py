"""The last line: what the keys do here."""

from __future__ import annotations

from msgspec import Struct
from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

ALWAYS_NAMED = ("help", "quit", "dismiss", "app.pop_screen")
"""Actions that are named however narrow the screen is."""


class Entry(Struct, frozen=True):
    """A key and what it does."""

    key: str
    shown: str
    description: str
    tooltip: str
    action: str

    @property
    def width(self) -> int:
        """Cells, with the distance to the next one."""
        return Content(f"{self.shown} {self.description} ").cell_length


class KeyBar(Widget):
    """The keys that work now, on one line; a click presses one.

    It is drawn as one text: a widget for each key, made anew whenever the focus moves, is what a key would wait for.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; color: $footer-foreground; background: $footer-background; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[Entry] = []

    def on_mount(self) -> None:
        """Hear of it when other keys work."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is self.screen and screen.app.app_focus:
            entries = self._present()
            if entries != self._entries:
                self._entries = entries
                self.refresh()

    def _present(self) -> list[Entry]:
        """The keys that are to be named; several for one action are one."""
        entries: dict[str, Entry] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and binding.action not in entries:
                tip = active.tooltip or binding.description
                shown = self.app.get_key_display(binding)
                entries[binding.action] = Entry(binding.key, shown, binding.description, tip, binding.action)
        return list(entries.values())

    @property
    def entries(self) -> list[Entry]:
        """Those that fit; the last ones are left out first, but for help and the way out."""
        entries = list(self._entries)
        spare = [entry for entry in entries if entry.action not in ALWAYS_NAMED]
        while spare and sum(entry.width for entry in entries) - 1 > self.size.width:
            entries.remove(spare.pop())
        return entries

    def render(self) -> Content:
        """Each key, and what it does."""
        return Content.assemble(
            *(
                part
                for entry in self.entries
                for part in ((entry.shown, "bold $footer-key-foreground"), f" {entry.description} ")
            )
        )

    def _at(self, x: int) -> Entry | None:
        for entry in self.entries:
            if x < entry.width:
                return entry
            x -= entry.width
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Say more of the key under the pointer."""
        entry = self._at(event.x)
        self.tooltip = entry.tooltip if entry else None

    def on_click(self, event: events.Click) -> None:
        """Press the key under the pointer."""
        if (entry := self._at(event.x)) is not None:
            self.app.simulate_key(entry.key)
