"""What is done to nodes and images, asked for as a user would."""

from __future__ import annotations

import asyncio

import pytest
from textual.events import Key
from textual.widgets import OptionList

from farm.attach import ACTIONS, Action
from farm.errors import FarmError
from tests.unit.tui_driving import notes, press, running, screen
from tests.unit.tui_fixtures import IMAGE, OLDER, FakeAttachment, nodes
from tui.actions import objection
from tui.dialogs import ChooseOne, Confirm
from tui.help import HelpScreen


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
        assert ("Its 4 running jobs will be lost" in screen(app)) == (action in ("reboot", "off"))
        assert ("Its 4 running jobs will finish there" in screen(app)) == (action in ("block", "kick"))
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


async def test_a_question_that_was_covered_has_to_be_seen_again() -> None:
    async with running() as (app, pilot):
        question = Confirm("Really?", "It is done then.", "Do it")
        assert not question.is_answer(Key("y", "y"))
        await app.push_screen(question)
        await pilot.pause()
        assert question.is_answer(Key("y", "y"))
        await app.push_screen(HelpScreen("", "", {}, (), {}))
        await pilot.pause()
        early = Key("y", "y")
        assert not question.is_answer(early)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is question
        assert not question.is_answer(early)
        assert question.is_answer(Key("y", "y"))


async def test_two_questions_do_not_stand_on_one_another() -> None:
    async with running() as (app, pilot):
        await press(app, pilot, "2", "b", "b")
        (_, *above) = app.screen_stack
        assert [Confirm] == [type(each) for each in above]


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
        assert "The daemon is not a machine of this farm." in notes(app)
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
        assert "Move the cursor to a node first" in notes(app)


async def test_the_image_for_next_boots() -> None:
    attachment = FakeAttachment()
    async with running(attachment) as (app, pilot):
        await press(app, pilot, "i")
        assert f"{IMAGE}  chosen for next boots" in screen(app)
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
