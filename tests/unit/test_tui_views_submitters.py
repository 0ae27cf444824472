"""The tab Submitters: who uses the farm, and which machines."""

from __future__ import annotations

from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_views_host import Stage
from tui.node_detail import NodeDetail
from tui.submitters_view import SubmittersView, submitter_rows


def test_shares_are_of_all_jobs_on_nodes_and_the_most_used_node_comes_first() -> None:
    rows = submitter_rows(fixtures.live(), fixtures.NOW)
    assert {row.now.name for row in rows} >= {"alice-pc", "bob-pc"}
    assert abs(sum(row.share for row in rows) - 1.0) < 1e-9
    for row in rows:
        numbers = [int(part.rpartition(" ")[2]) for part in row.nodes.split("  ") if part]
        assert numbers == sorted(numbers, reverse=True)
        assert (row.share > 0) is bool(numbers)
    assert {row.now.name: row.fallback for row in rows}["bob-pc"] == 3


async def test_everybody_is_shown_with_letter_and_share_and_enter_opens_the_page() -> None:
    app = Stage(SubmittersView, fixtures.FakeAttachment(), fixtures.live())
    async with app.run_test(size=(140, 12)) as pilot:
        await pilot.pause()
        text = app.text()
        assert "A alice-pc" in text
        assert "B bob-pc" in text
        assert "%" in text
        assert app.shown.name_here in ("alice-pc", "bob-pc")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, NodeDetail)


async def test_nobody_is_there() -> None:
    live = fixtures.Live()
    app = Stage(SubmittersView, fixtures.FakeAttachment(), live)
    async with app.run_test(size=(60, 6)) as pilot:
        await pilot.pause()
        assert "nobody has submitted a job yet" in app.text()
        assert app.shown.name_here == ""
