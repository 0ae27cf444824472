"""The tab Sessions: who is there, who was, what failed; and the page of a thin client."""

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from farm.errors import FarmError
from farm.history.log_in_records import LogInRecord
from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_views_host import Stage
from tui.node_detail import NodeDetail
from tui.sessions import SessionsView

DOWN = "The server 10.0.0.1 does not answer."


class Hostile(fixtures.FakeAttachment):
    """People type anything."""

    async def log_ins(self, limit: int = 100, since: float = 0.0) -> list[LogInRecord]:
        names = {"user": fixtures.HOSTILE, "node": fixtures.HOSTILE, "failed": fixtures.HOSTILE}
        return [replace(each, **names) for each in await super().log_ins(limit, since)]


def stage(attachment: fixtures.FakeAttachment | None = None) -> Stage:
    live = fixtures.live()
    live.apply(fixtures.with_desks())
    return Stage(SessionsView, attachment or fixtures.FakeAttachment(), live)


async def settle(app: Stage, pilot: Pilot[None]) -> str:
    """What is seen when all that was asked for has come."""
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()
    return app.text()


def line_of(text: str, part: str) -> str:
    return next(" ".join(line.split()) for line in text.splitlines() if part in line)


async def test_log_ins_are_listed_with_what_became_of_them() -> None:
    app = stage()
    async with app.run_test(size=(160, 12)) as pilot:
        text = await settle(app, pilot)
        assert "desks: 2 of 3 in use" in text
        assert "2025-12-31 23:40 20m00s carol desk-1 thin 10.0.0.1 0.4 ms 3 11.0 GiB ● there" == line_of(text, "carol")
        fat = "2025-12-31 23:10 50m00s erin desk-3 fat 10.0.0.1 0.6 ms 2/4 47 11.0 GiB ● there"
        assert fat == line_of(text, "erin")
        assert f"2025-12-31 23:39 carol desk-1 10.0.0.1 ✗ {DOWN}" == line_of(text, "✗")
        assert "2025-12-31 21:30 2025-12-31 23:50 2h20m dave desk-2 10.0.0.1 ✓ ended" == line_of(text, "dave")


async def test_the_key_shows_who_is_there_then_what_failed_then_all() -> None:
    app = stage()
    async with app.run_test(size=(120, 12)) as pilot:
        await settle(app, pilot)
        await pilot.press("F")
        text = await settle(app, pilot)
        assert "who is there now: 2 of 4" in text
        assert "dave" not in text
        await pilot.press("F")
        text = await settle(app, pilot)
        assert "log-ins that failed: 1 of 4" in text
        assert "● there" not in text
        await pilot.press("F")
        assert "dave" in await settle(app, pilot)


@pytest.mark.parametrize("width", [30, 60, 80, 100, 150])
async def test_on_any_screen_it_is_seen_who_and_what_became_of_it(width: int) -> None:
    app = stage()
    async with app.run_test(size=(width, 12)) as pilot:
        text = await settle(app, pilot)
        assert "carol" in text
        assert "● there" in text


async def test_a_thin_clients_page_has_its_people_and_things_in_place_of_slots() -> None:
    app = stage()
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(app, pilot)
        await pilot.press("enter")
        await pilot.pause()
        app.flush()
        text = await settle(app, pilot)
        assert isinstance(app.screen, NodeDetail)
        for expected in (
            "carol for 19m55s, since 2025-12-31 23:40",
            "0.4 ms to the server and back",
            "running, output HDA Intel, volume 90 %",
            "label PHOTOS, 4.0 GiB, filesystem vfat, state shared",
            "model LaserJet 1020, device /dev/usb/lp0, port 9100, busy: no",
            "2025-12-31 23:39 carol: The server 10.0.0.1 does not answer.",
            "greeter     22:53:02",
            "session     23:40:10",
        ):
            assert expected in text, text
        assert "no slots" not in text


async def test_a_fat_clients_page_says_what_it_compiles_beside() -> None:
    app = stage()
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(app, pilot)
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        app.flush()
        text = await settle(app, pilot)
        for expected in (
            "● in use: 1 session, compiling: 2 jobs",
            "▸ src/ui/pane0.cpp",
            "2 of 4 busy",
            "4 of 8 slots, as somebody uses the machine",
            "fat: programs run on this machine",
            "3.50 3.10 2.00",
            "11.0 GiB free of 16.0 GiB",
        ):
            assert expected in text, text


async def test_what_people_type_obeys_nobody() -> None:
    app = stage(Hostile())
    async with app.run_test(size=(160, 12)) as pilot:
        text = await settle(app, pilot)
        assert "[bold red]evil" in text
        assert not {"\x1b", "\u202e"} & set(text)


async def test_what_cannot_be_had_is_said_and_mends_itself() -> None:
    attachment = fixtures.FakeAttachment()
    attachment.error = FarmError("farmd does not answer.", "", "Look: farm logs farmd")
    app = stage(attachment)
    async with app.run_test(size=(100, 12)) as pilot:
        assert "✗ farmd does not answer. Look: farm logs farmd" in await settle(app, pilot)
        attachment.error = None
        app.now += 5
        app.flush()
        assert "● there" in await settle(app, pilot)
