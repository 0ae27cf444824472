"""docs/dashboard.md against the program: keys, actions, reasons to be idle, filter terms, pictures."""

from __future__ import annotations

import re
from pathlib import Path

from textual.binding import Binding

from tui.actions import NODE_ACTIONS
from tui.filter import FILTER_KEYS
from tui.help import keys_shown
from tui.views import VIEWS, key_sections

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "dashboard.md").read_text()
VIEW = DOCS.parent / "farm" / "view"


def row(binding: Binding) -> str:
    keys = keys_shown(binding, {}).replace("|", "\\|")
    tip = (binding.tooltip or "").removesuffix(".")
    return f"| `{keys}` | {binding.description} | {tip} | `{binding.id}` |"


def keys() -> str:
    """The tables as they should be."""
    parts = []
    for place, bindings in key_sections().items():
        if bindings:
            title = place if place.startswith("in ") or place == "everywhere" else f"in the tab {place}"
            head = f"**{title[0].upper()}{title[1:]}**\n\n| key | command | | name |\n|---|---|---|---|\n"
            parts.append(head + "\n".join(map(row, bindings)) + "\n")
    return "\n".join(parts)


def test_keys_are_those_of_the_registry() -> None:
    """Replace what follows "## Keys" by what this expects."""
    assert keys() == PAGE[PAGE.index("**Everywhere**") :]


def test_every_tab_has_a_section_in_order() -> None:
    titles = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
    assert [view.TITLE for view in VIEWS] == titles


def test_every_reason_to_be_idle_is_explained() -> None:
    table = PAGE[PAGE.index("| idle |") : PAGE.index("![A node")]
    told = set(re.findall(r"^\| `([a-z0-9-]+)`", table, re.MULTILINE))
    sources = "".join(path.read_text() for path in VIEW.rglob("*.py"))
    assert set(re.findall(r'Idle\(\s*"([a-z0-9-]+)"', sources)) == told


def test_every_action_has_its_key() -> None:
    table = PAGE[PAGE.index("| action |") : PAGE.index("Draining takes")]
    for each in NODE_ACTIONS.values():
        assert f"| {each.title.lower()} | `{each.key}` |" in table


def test_every_filter_term_is_shown() -> None:
    table = PAGE[PAGE.index("| term |") : PAGE.index("A job's page")]
    assert set(FILTER_KEYS) == set(re.findall(r"`(\w+):", table))


def test_pictures_are_shown_somewhere() -> None:
    shown = "".join(page.read_text() for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"])
    pictures = [*(DOCS / "pictures").glob("*.svg")]
    assert pictures
    for picture in pictures:
        assert f"pictures/{picture.name})" in shown
        assert picture.stat().st_size < 300_000
