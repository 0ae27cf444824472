"""The dashboard's shell, driven as a user would."""

from __future__ import annotations

import asyncio
import gc
import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from textual.dom import DOMNode
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import OptionList, Static

import tui
from farm.attach import ACTIONS, Action, Lost
from farm.errors import FarmError
from farm.view.live import Delta
from tests.unit.tui_fixtures import HOSTILE, IMAGE, NOW, OLDER, FakeAttachment, nodes, scheduler_down, snapshot
from tui.actions import objection
from tui.app import VIEWS, FarmTop, key_sections
from tui.dialogs import ChooseOne, Confirm
from tui.help import HelpScreen
from tui.keybar import KeyBar
from tui.node_detail import NodeDetail
from tui.tabs import TabBar

SIZE = (80, 24)


class Clock:
    """Stands still unless it is told to move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def running(
    attachment: FakeAttachment | None = None, size: tuple[int, int] = SIZE, clock: Clock | None = None, **options: Any
) -> AsyncIterator[tuple[FarmTop, Pilot[None]]]:
    app = FarmTop(attachment or FakeAttachment(), clock=clock or Clock(), **options)
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        yield app, pilot


async def settle(app: FarmTop, pilot: Pilot[None]) -> None:
    """All updates are taken in, and drawn."""
    await pilot.pause()
    app.flush()
    await pilot.pause()


async def press(app: FarmTop, pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    app.flush()
    await pilot.pause()


def screen(app: FarmTop) -> str:
    """What can be read."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)


def notes(app: FarmTop) -> str:
    return "\n".join(f"{note.title} {note.message}" for note in app._notifications)


# -- what is shown


async def test_overview_says_how_much_is_going_on() -> None:
    async with running(size=(160, 50)) as (app, _):
        text = screen(app)
    for part in (
        "farm lab",
        "● scheduler",
        "14/28 slots",
        "queue 4",
        "14 of 28 busy",
        "efficiency 47%",
        "✖ iceccd fatal",
    ):
        assert part in text
    assert "▲ The service iceccd is down" in text
    assert "3 jobs wait while 1 node is idle (passed-over): node-a2." in text


@pytest.mark.parametrize("size", [(40, 10), (20, 4), (80, 24), (160, 50)])
async def test_every_view_at_every_size(size: tuple[int, int]) -> None:
    async with running(size=size) as (app, pilot):
        for number in range(1, len(VIEWS) + 1):
            await press(app, pilot, f"{number}")
            assert app.view.TITLE == VIEWS[number - 1].TITLE
            assert screen(app).strip()
        await press(app, pilot, "2", "enter")
        assert isinstance(app.screen, NodeDetail)
        await press(app, pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)


async def test_resized_to_almost_nothing_and_back() -> None:
    async with running(size=(160, 50)) as (app, pilot):
        before = screen(app)
        for view in range(1, len(VIEWS) + 1):
            await press(app, pilot, f"{view}")
            await pilot.resize_terminal(40, 10)
            await settle(app, pilot)
            await pilot.resize_terminal(160, 50)
            await settle(app, pilot)
        await press(app, pilot, "1")
        assert screen(app) == before


async def test_tabs_by_number_arrow_and_mouse() -> None:
    async with running(size=(120, 30)) as (app, pilot):
        await press(app, pilot, "2")
        assert app.view.TITLE == "Nodes"
        await press(app, pilot, "right_square_bracket")
        assert app.view.TITLE == "Jobs"
        await press(app, pilot, "left_square_bracket", "left_square_bracket")
        assert app.view.TITLE == "Overview"
        await press(app, pilot, "right", "right", "left", "left")
        assert app.view.TITLE == "Overview"
        await pilot.click(TabBar, offset=(14, 0))
        await settle(app, pilot)
        assert app.view.TITLE == "Nodes"


async def test_nothing_is_known_yet() -> None:
    async with running(FakeAttachment([])) as (app, pilot):
        assert "… waiting" in screen(app)
        for number in range(1, len(VIEWS) + 1):
            await press(app, pilot, f"{number}")
        assert "… waiting" in screen(app)


async def test_hostile_names_are_inert() -> None:
    """Markup and control characters from the network neither act nor end the program."""
    whole = snapshot()
    evil = [
        replace(node, name=HOSTILE, host=replace(node.host, name=HOSTILE) if node.host else None) for node in nodes()
    ]
    jobs = [replace(job, file=HOSTILE, submitter=(HOSTILE, "10.0.0.9")) for job in whole.jobs]
    ended = [replace(job, file=HOSTILE, node=(HOSTILE, "10.0.0.9")) for job in whole.ended]
    hostile = replace(whole, nodes=evil, jobs=jobs, ended=ended)
    async with running(FakeAttachment([hostile], title=HOSTILE), size=(160, 50)) as (app, pilot):
        for number in range(1, len(VIEWS) + 1):
            await press(app, pilot, f"{number}")
            assert "\x1b" not in screen(app)
            assert "\u202e" not in screen(app)
        await press(app, pilot, "2")
        assert "[bold red]evil[/]" in screen(app)
        for keys in (("enter", "escape"), ("a", "escape"), ("b", "y"), ("f", "escape"), ("question_mark", "escape")):
            await press(app, pilot, *keys)
            assert "\x1b" not in screen(app)
        await press(app, pilot, "ctrl+p", *"evil")
        await press(app, pilot, "escape")
        assert app.is_running


# -- lost and found


async def test_farmd_is_lost_and_comes_back() -> None:
    clock, attachment = Clock(), FakeAttachment()
    async with running(attachment, clock=clock) as (app, pilot):
        attachment.push(Lost("Connection refused", 3.0))
        await settle(app, pilot)
        clock.now += 1.0
        for number in range(1, len(VIEWS) + 1):
            await press(app, pilot, f"{number}")
            assert "▲ farmd is away: Connection refused; trying again in 2s." in screen(app)
            assert "This is of 00:00:00." in screen(app)
            assert "✖ farmd away" in screen(app)
        assert app.now == NOW
        await press(app, pilot, "2", "enter")
        assert "▲ farmd is away" in screen(app)
        attachment.push(snapshot())
        await settle(app, pilot)
        assert "farmd is away" not in screen(app)


async def test_the_scheduler_is_lost_and_comes_back() -> None:
    attachment = FakeAttachment()
    async with running(attachment) as (app, pilot):
        attachment.push(scheduler_down())
        await settle(app, pilot)
        assert "✖ scheduler down" in screen(app)
        for number in range(1, len(VIEWS) + 1):
            await press(app, pilot, f"{number}")
            assert "▲ The scheduler does not answer, for 1s: Connection refused." in screen(app)
        attachment.push(snapshot())
        await settle(app, pilot)
        assert "does not answer" not in screen(app)


async def test_what_cannot_be_watched_ends_it() -> None:
    class Broken(FakeAttachment):
        async def updates(self) -> Any:
            raise FarmError("It cannot be watched.")
            yield

    app = FarmTop(Broken())
    async with app.run_test() as pilot:
        await pilot.pause()
    assert app.failure is not None
    assert app.failure.what == "It cannot be watched."
    assert app.return_code == 1


async def test_the_attachment_is_closed() -> None:
    attachment = FakeAttachment()
    async with running(attachment) as (app, pilot):
        await press(app, pilot, "q")
    assert attachment.closed


async def test_pause_holds_the_picture() -> None:
    attachment = FakeAttachment()
    async with running(attachment) as (app, pilot):
        await press(app, pilot, "2", "p")
        assert "‖ paused" in screen(app)
        attachment.push(Delta(time=NOW + 1, gone=[nodes()[0].key]))
        await settle(app, pilot)
        assert "node-a1" in screen(app)
        await press(app, pilot, "p")
        assert "node-a1" not in screen(app)


async def test_what_is_opened_while_the_picture_is_held_is_drawn() -> None:
    async with running(FakeAttachment()) as (app, pilot):
        await press(app, pilot, "2", "p", "enter")
        assert isinstance(app.screen, NodeDetail)
        assert "part1.cpp" in screen(app)
        await press(app, pilot, "escape", "3", "down", "enter")
        assert "asked for" in screen(app)


async def test_time_goes_on_between_updates() -> None:
    clock = Clock()
    async with running(clock=clock) as (app, _):
        assert app.now == NOW
        clock.now += 7
        assert app.now == NOW + 7


# -- actions


@pytest.mark.parametrize(
    ("key", "action"),
    [("b", "block"), ("u", "unblock"), ("K", "kick"), ("D", "drain"), ("R", "reboot"), ("O", "off")],
)
async def test_an_action_is_confirmed_and_done(key: str, action: Action) -> None:
    attachment = FakeAttachment()
    async with running(attachment) as (app, pilot):
        await press(app, pilot, "2", key)
        assert isinstance(app.screen, Confirm)
        assert "node-a1?" in screen(app)
        assert ("4 jobs that it runs will be lost" in screen(app)) == (action in ("reboot", "off"))
        assert ("4 jobs that it runs will still end there" in screen(app)) == (action in ("block", "kick"))
        await press(app, pilot, "n")
        assert attachment.done == []
        await press(app, pilot, key, "y")
        assert attachment.done == [(action, "node-a1")]
        assert f"{action} of node-a1 is done." in notes(app)


async def test_enter_in_a_question_is_no() -> None:
    attachment = FakeAttachment()
    async with running(attachment) as (app, pilot):
        await press(app, pilot, "2", "O", "enter")
        assert attachment.done == []
        await press(app, pilot, "O", "right", "enter")
        assert attachment.done == [("off", "node-a1")]


async def test_what_is_not_possible_says_why() -> None:
    attachment = FakeAttachment(actions=("block", "unblock", "kick"))
    async with running(attachment) as (app, pilot):
        await press(app, pilot, "2", "R")
        assert "Reboot is not possible here. " in notes(app)
        assert "block, unblock, kick" in notes(app)
        assert attachment.done == []
        await press(app, pilot, "a")
        assert isinstance(app.screen, ChooseOne)
        options = app.screen.query_one(OptionList)
        disabled = [option.id for option in options.options if option.disabled]
        assert disabled == ["drain", "reboot", "off"]
        await press(app, pilot, "down", "enter")
        assert "Unblock node-a1?" in screen(app)


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("node-a1", {"block", "unblock", "kick", "drain", "reboot", "off"}),
        ("node-b1", {"block", "unblock", "reboot", "off"}),  # boots
        ("node-c2", {"block", "unblock"}),  # off
        ("oldbox", {"block", "unblock", "kick", "drain"}),  # no machine of this farm
    ],
)
def test_an_action_that_comes_to_nothing_is_known(name: str, possible: set[Action]) -> None:
    (node,) = [node for node in nodes() if node.name == name]
    assert possible == {action for action in ACTIONS if not objection(node, action)}


async def test_an_action_that_comes_to_nothing_is_not_offered() -> None:
    attachment = FakeAttachment()
    async with running(attachment, size=(120, 40)) as (app, pilot):
        await press(app, pilot, "2", "/", *"oldbox", "enter", "R")
        assert "It is no machine of this farm." in notes(app)
        await press(app, pilot, "a")
        options = app.screen.query_one(OptionList).options
        assert ["reboot", "off"] == [option.id for option in options if option.disabled]
        assert attachment.done == []


async def test_an_error_says_what_why_and_mend() -> None:
    attachment = FakeAttachment()
    async with running(attachment) as (app, pilot):
        attachment.error = FarmError("node-a1 was not blocked.", "The control port is [closed].", "farm status")
        await press(app, pilot, "2", "b", "y")
        (note,) = app._notifications
        assert (note.title, note.message) == (
            "node-a1 was not blocked.",
            "The control port is [closed].\n→ farm status",
        )
        assert note.severity == "error"


async def test_an_action_needs_a_node() -> None:
    async with running(FakeAttachment([])) as (app, pilot):
        await press(app, pilot, "2", "b")
        assert "Put the cursor on a node first" in notes(app)


async def test_the_image_for_next_boots() -> None:
    attachment = FakeAttachment()
    async with running(attachment) as (app, pilot):
        await press(app, pilot, "i")
        assert f"{IMAGE}  next boots get it now" in screen(app)
        await press(app, pilot, "down", "enter", "y")
        assert attachment.done == [("switch", OLDER)]
        assert f"Next boots get {OLDER}." in notes(app)


async def test_palette_acts_on_a_node_by_its_name() -> None:
    attachment = FakeAttachment()
    async with running(attachment, size=(120, 40)) as (app, pilot):
        await press(app, pilot, "ctrl+p", *"block node-c1")
        async with asyncio.timeout(60):
            while "Block node-c1" not in screen(app):
                await pilot.pause(0.05)
        await press(app, pilot, "enter")
        assert isinstance(app.screen, Confirm)
        await press(app, pilot, "y")
        assert attachment.done == [("block", "node-c1")]


# -- help and keys


async def test_help_names_every_key() -> None:
    async with running() as (app, pilot):
        await press(app, pilot, "2", "question_mark")
        text = "\n".join(str(part.content) for part in app.screen.query(Static))
        for bindings in key_sections().values():
            for binding in bindings:
                assert f"[{binding.id}]" in text
        assert "Load is the daemon's own" in text
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
    for part in ("/ Search", "f Filter", "c Columns", "? Help", "a Actions"):
        assert part in last


# -- themes


@pytest.mark.parametrize("theme", ["farm-light", "farm-colour-blind", "textual-dark"])
async def test_a_state_can_be_read_without_colour(theme: str) -> None:
    async with running(theme=theme, size=(160, 50)) as (app, pilot):
        await press(app, pilot, "2")
        text = screen(app)
        app.theme = "farm-light"
        await settle(app, pilot)
    for part in ("● ready", "◑ kernel", "✖ lost", "◕ registered", "○ off", "▲1000"):
        assert part in text


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
