"""Help, keys and the last line, as a user meets them."""

from __future__ import annotations

import gc
import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path

from textual.dom import DOMNode
from textual.widget import Widget
from textual.widgets import Static

import tui
from tests.unit.tui_driving import press, running, screen
from tui.dialogs import Confirm
from tui.help import HelpScreen, keys_shown
from tui.keybar import KeyBar
from tui.keys import keys_text, read_keys
from tui.views import key_sections


async def test_help_names_the_keys_that_work_here_and_no_others() -> None:
    async with running() as (app, pilot):
        await press(app, pilot, "2", "question_mark")
        text = "\n".join(str(part.content) for part in app.screen.query(Static))
        sections = key_sections()
        for binding in (*sections["Nodes"], *sections["in a table"], *sections["everywhere"]):
            assert f"{keys_shown(binding, {}):<10} {binding.description}" in text
        assert text.index("Keys: Nodes") < text.index("Keys: everywhere")
        assert "Keys: Jobs" not in text
        assert "in a stream" not in text
        assert "Load is reported by the daemon" in text
        await press(app, pilot, "escape")
        assert app.view.TITLE == "Nodes"


async def test_help_says_what_it_is_of_and_offers_no_more_than_the_way_back() -> None:
    async with running() as (app, pilot):
        await press(app, pilot, "3", "enter", "question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert screen(app).lstrip().startswith("A job")
        offered = {shown.binding.action for shown in app.screen.active_bindings.values() if shown.binding.show}
        assert "pause" not in offered
        assert "node_menu" not in offered
        assert "dismiss" in offered


def test_every_class_with_keys_is_in_the_registry() -> None:
    known = {binding.id for bindings in key_sections().values() for binding in bindings}
    missing = []
    for kind in _classes(DOMNode):
        if kind.__module__.startswith("tui."):
            missing += [(kind, b) for b in kind.__dict__.get("BINDINGS", ()) if getattr(b, "id", None) not in known]
    assert missing == []


def test_every_key_has_an_id_of_its_own() -> None:
    ids = [binding.id for bindings in key_sections().values() for binding in bindings]
    assert None not in ids
    assert len(ids) == len(set(ids))


def test_a_key_means_the_same_wherever_it_works() -> None:
    meanings: dict[str, set[str]] = {}
    for place, bindings in key_sections().items():
        if place not in ("in a question", "in a choice of one", "in a choice of many", "in this help"):
            for binding in bindings:
                for key in binding.key.split(","):
                    meanings.setdefault(key, set()).add(binding.description)
    # What moves, opens and leads back is called after what it moves to, opens and leaves.
    moves = {"up", "down", "k", "j", "pageup", "pagedown", "home", "end", "left", "right", "enter", "escape"}
    assert {} == {key: said for key, said in meanings.items() if len(said) > 1 and key not in moves}


def test_the_file_that_lists_all_keys_changes_none(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(keys_text(key_sections()))
    keys = {binding.id: binding.key for bindings in key_sections().values() for binding in bindings}
    assert keys == read_keys(file, key_sections())


def _classes(kind: type[DOMNode]) -> Iterable[type[DOMNode]]:
    for module in pkgutil.walk_packages(tui.__path__, "tui."):
        importlib.import_module(module.name)
    todo = [kind]
    while todo:
        each = todo.pop()
        yield each
        todo += each.__subclasses__()


async def test_remapped_keys() -> None:
    async with running(keymap={"top.pause": "f5", "node.block": "ctrl+b"}, size=(200, 100)) as (app, pilot):
        await press(app, pilot, "2", "p")
        assert not app.paused
        await press(app, pilot, "f5")
        assert app.paused
        await press(app, pilot, "f5", "ctrl+b")
        assert isinstance(app.screen, Confirm)
        await press(app, pilot, "n", "question_mark")
        assert "f5         Pause" in screen(app)


async def test_footer_says_what_keys_do() -> None:
    async with running(size=(120, 30)) as (app, pilot):
        await press(app, pilot, "2")
        last = screen(app).splitlines()[-1]
    for part in ("/ Filter", "F Show only", "C Columns", "? Help", "a Actions"):
        assert part in last


async def test_the_last_line_names_keys_whole_and_a_click_presses_one() -> None:
    async with running(size=(50, 20)) as (app, pilot):
        await press(app, pilot, "2")
        bar = app.screen.query_one(KeyBar)
        assert {"help", "quit"} <= {entry.action for entry in bar.entries}
        assert sum(entry.width for entry in bar.entries) <= 51
        before = sum(entry.width for entry in bar.entries[: [e.action for e in bar.entries].index("help")])
        await pilot.click(bar, offset=(before, 0))
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)


async def test_nothing_of_the_last_line_is_left_behind() -> None:
    async with running() as (app, pilot):
        await press(app, pilot, "2", "3")
        gc.collect()
        before = len([each for each in gc.get_objects() if isinstance(each, Widget)])
        await press(app, pilot, "2", "3", "2", "3", "question_mark", "escape")
        gc.collect()
        assert len([each for each in gc.get_objects() if isinstance(each, Widget)]) <= before + 5
