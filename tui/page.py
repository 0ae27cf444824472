"""A scrolling page of text, and facts to be read on one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from tui.widgets.safe_text import clean

LABEL_CELLS = 11


class Page(VerticalScroll, inherit_bindings=False):
    """Scrolls up and down; left and right are not its own."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False, id="page.up"),
        Binding("down,j", "scroll_down", "Down", show=False, id="page.down"),
        Binding("pageup", "page_up", "Page up", show=False, id="page.pageup"),
        Binding("pagedown", "page_down", "Page down", show=False, id="page.pagedown"),
        Binding("home", "scroll_home", "Top", show=False, id="page.home"),
        Binding("end", "scroll_end", "Bottom", show=False, id="page.end"),
    ]
    DEFAULT_CSS = """
    Page { scrollbar-size: 1 1; }
    """


def sheet(facts: Iterable[tuple[str, str, str]]) -> Table:
    """Label, text and style of each, below one another; a long text is wrapped beside its label."""
    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=LABEL_CELLS, no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, text, style in facts:
        table.add_row(Text(clean(label)), Text(clean(text), style=style))
    return table
