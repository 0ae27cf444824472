"""The dashboard's shell, driven as a user would: what is shown, what is lost and found, themes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from farm.attach import Lost
from farm.errors import FarmError
from farm.view.live import Delta
from farm.view.status import CompileStatus
from farm.watch.activity import Sample
from tests.unit.tui_driving import Clock, press, running, screen, settle
from tests.unit.tui_fixtures import HOSTILE, NOW, FakeAttachment, nodes, scheduler_down, snapshot
from tui.app import VIEWS, FarmTop
from tui.help import HelpScreen
from tui.node_detail import NodeDetail
from tui.tabs import TabBar

# -- what is shown


async def test_overview_says_how_much_is_going_on() -> None:
    async with running(size=(160, 50)) as (app, _):
        text = screen(app)
    for part in (
        "farm lab",
        "14/28 slots",
        "queue 4",
        "/ 28 slots",
        "% efficient",
        "6 problems, enter opens one",
        "✖ iceccd fatal",
    ):
        assert part in text
    assert "▲ The service iceccd is down" in text
    assert "3 jobs wait while 1 node is idle (passed-over): node-a2." in text


async def test_a_scheduler_without_a_farm_has_no_tabs_that_need_one() -> None:
    async with running(FakeAttachment(is_farm=False), view="boot") as (app, pilot):
        assert app.view.TITLE == "Overview"
        assert not [word for word in ("Boot", "Sessions") if word in screen(app).splitlines()[1]]
        assert "7 Scheduler" in screen(app).splitlines()[1], "the others keep their numbers"
        await press(app, pilot, "5", "6")
        assert app.view.TITLE == "Builds"
        await press(app, pilot, "L")
        assert app.view.TITLE == "Scheduler"
        await press(app, pilot, "L", "L")
        assert app.view.TITLE == "Overview"


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
        await press(app, pilot, "L")
        assert app.view.TITLE == "Jobs"
        await press(app, pilot, "H", "H")
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
        replace(node, name=HOSTILE, compile=CompileStatus(node.host and replace(node.host, name=HOSTILE)))
        for node in nodes()
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
        for keys in (("enter", "escape"), ("a", "escape"), ("b", "y"), ("F", "escape"), ("question_mark", "escape")):
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
            assert "▲ farmd is down: Connection refused; trying again in 2s." in screen(app)
            assert "Data as of 00:00:00." in screen(app)
            assert "✖ farmd down" in screen(app)
        assert app.now == NOW
        await press(app, pilot, "2", "enter")
        assert "▲ farmd is down" in screen(app)
        attachment.push(snapshot())
        await settle(app, pilot)
        assert "farmd is down" not in screen(app)


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
        attachment.push(Delta(time=NOW + 1, gone=[nodes()[0].key], samples=[Sample(NOW + 1, 28, 27, 9)]))
        await settle(app, pilot)
        assert "node-a1" in screen(app)
        assert "14/28 slots  queue 4" in screen(app), "the figures stand still as well"
        await press(app, pilot, "p")
        assert "27/28 slots  queue 9" in screen(app)
        assert "node-a1" not in screen(app)


async def test_what_is_opened_while_the_picture_is_held_is_drawn() -> None:
    async with running(FakeAttachment()) as (app, pilot):
        await press(app, pilot, "2", "p", "enter")
        assert isinstance(app.screen, NodeDetail)
        assert "part1.cpp" in screen(app)
        await press(app, pilot, "escape", "3", "down", "enter")
        assert "requested" in screen(app)


async def test_time_goes_on_between_updates() -> None:
    clock = Clock()
    async with running(clock=clock) as (app, _):
        assert app.now == NOW
        clock.now += 7
        assert app.now == NOW + 7


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
