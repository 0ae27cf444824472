"""Builds: the list, one of them, two side by side."""

import pytest
from textual.pilot import Pilot

from farm.errors import FarmError
from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_views_host import Stage
from tui.build_compare import BuildCompare
from tui.build_detail import BuildDetailScreen
from tui.builds import BuildsView, when


class Counting(fixtures.FakeAttachment):
    """Counts how often it is asked."""

    asked = 0

    async def builds(self, limit: int = 100) -> list[fixtures.Build]:
        self.asked += 1
        return await super().builds(limit)


def stage(attachment: fixtures.FakeAttachment | None = None) -> Stage:
    return Stage(BuildsView, attachment or fixtures.FakeAttachment(), fixtures.live())


async def settle(app: Stage, pilot: Pilot[None]) -> str:
    """What is seen when all that was asked for has come."""
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()
    return app.text()


async def test_lists_builds_newest_first() -> None:
    app = stage()
    async with app.run_test(size=(140, 12)) as pilot:
        lines = (await settle(app, pilot)).splitlines()
        assert " 3 builds, newest first · space marks two to compare" == lines[0].rstrip()
        assert "23:37:46" in lines[2]
        assert "▸ runs" in lines[2]
        assert "bob-pc" in lines[3]
        assert "make" in lines[3]
        assert "✓ ended" in lines[3]


async def test_without_a_farm_no_build_has_a_name() -> None:
    app = stage(fixtures.FakeAttachment(is_farm=False))
    async with app.run_test(size=(140, 12)) as pilot:
        assert "Name" not in (await settle(app, pilot)).splitlines()[1]


async def test_asks_every_five_seconds_and_only_when_shown() -> None:
    attachment = Counting()
    app = stage(attachment)
    async with app.run_test(size=(80, 12)) as pilot:
        for later in (0.5, 4.9):
            app.now = fixtures.NOW + later
            app.flush()
        await settle(app, pilot)
        assert 1 == attachment.asked
        app.now = fixtures.NOW + 5
        app.flush()
        await settle(app, pilot)
        assert 2 == attachment.asked


async def test_a_build_opens_into_nodes_files_failures_and_waits() -> None:
    app = stage()
    async with app.run_test(size=(140, 34)) as pilot:
        await settle(app, pilot)
        await pilot.press("enter")
        text = await settle(app, pilot)
        assert isinstance(app.screen, BuildDetailScreen)
        for expected in (
            "alice-pc at 10.0.0.101: began 2025-12-31 23:37:46, running, 22m12s in all.",
            "1,223 jobs: 1,200 on nodes, 3 given back by the scheduler, 20 local (2 of them after a node ",
            "src/core/huge.cpp",
            "src/core/bad.cpp",
            "exit 1",
            "bob-pc",
            "node-a2                               90 ███▋",
        ):
            assert expected in text
        await pilot.press("escape")
        assert not isinstance(app.screen, BuildDetailScreen)


async def test_two_builds_are_compared() -> None:
    app = stage()
    async with app.run_test(size=(80, 30)) as pilot:
        await settle(app, pilot)
        await pilot.press("space", "down")
        assert "a: alice-pc 23:37:46 · space marks another" in app.text()
        await pilot.press("space", "c")
        text = await settle(app, pilot)
        assert isinstance(app.screen, BuildCompare)
        assert "b: bob-pc make, 2025-12-31 23:26:40" in text
        assert "took                               22m12s        4m10s   ×0.19" in text


async def test_a_third_mark_replaces_the_first() -> None:
    app = stage()
    async with app.run_test(size=(140, 12)) as pilot:
        await settle(app, pilot)
        await pilot.press("space", "down", "space", "down", "space")
        text = await settle(app, pilot)
        assert "a: make 23:26:40 · b: alice-pc 22:53:20 · c compares" in text
        await pilot.press("space", "up", "space")
        assert "newest first" in await settle(app, pilot)


async def test_what_cannot_be_had_is_said_and_mends_itself() -> None:
    attachment = fixtures.FakeAttachment()
    attachment.error = FarmError("The history cannot be read.", "Its disk is full.", "Look: farm logs farmd")
    app = stage(attachment)
    async with app.run_test(size=(100, 12)) as pilot:
        assert "✗ The history cannot be read. Its disk is full. Look: farm logs farmd" in await settle(app, pilot)
        attachment.error = None
        app.now += 5
        app.flush()
        text = await settle(app, pilot)
        assert "3 builds" in text
        attachment.error = FarmError("There is no build 3 any more.")
        await pilot.press("enter")
        assert "✗ There is no build 3 any more." in await settle(app, pilot)


@pytest.mark.parametrize(("ago", "words"), [(60, "23:59:00"), (2 * 86400, "12-30 00:00")])
def test_old_builds_have_a_day(ago: float, words: str) -> None:
    assert words == when(fixtures.NOW - ago, fixtures.NOW)
