"""A scrolling page of text."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll


class Page(VerticalScroll, inherit_bindings=False):
    """Scrolls up and down; left and right are not its own, they change the tab."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False, id="page.up"),
        Binding("down,j", "scroll_down", "Down", show=False, id="page.down"),
        Binding("pageup", "page_up", "Page up", show=False, id="page.pageup"),
        Binding("pagedown,space", "page_down", "Page down", show=False, id="page.pagedown"),
        Binding("home", "scroll_home", "Top", show=False, id="page.home"),
        Binding("end", "scroll_end", "Bottom", show=False, id="page.end"),
    ]
    DEFAULT_CSS = """
    Page { scrollbar-size: 1 1; }
    """
