"""From page to page: links, the line that says how one came there, and what pages show as pictures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from textual.pilot import Pilot

from farm.errors import FarmError
from farm.watch.activity import JobPlace, JobState
from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_driving import notes, press
from tui.app import FarmTop
from tui.breadcrumb import Breadcrumb
from tui.build_detail import BuildDetailScreen
from tui.build_shape import gap_words, tail_words
from tui.job_detail import JobDetail
from tui.job_phases import phases
from tui.links import LinkLine
from tui.node_detail import NodeDetail
from tui.node_jobs import LAST_JOBS
from tui.open_pages import build_of
from tui.widgets.share_bar import lengths
from tui.widgets.table import LiveTable

NOW = fixtures.NOW


def top() -> FarmTop:
    return FarmTop(fixtures.FakeAttachment(), clock=lambda: 100.0)


def crumbs(app: FarmTop) -> str:
    return str(app.screen.query_one(Breadcrumb).render()).strip()


async def settle(app: FarmTop, pilot: Pilot[None]) -> None:
    for _ in range(3):
        await pilot.pause()
        app.flush()
    await pilot.pause()


async def test_from_a_job_to_its_node_and_its_build_and_back() -> None:
    app = top()
    async with app.run_test(size=(120, 36)) as pilot:
        await press(app, pilot, "3", "end", "enter")
        assert isinstance(app.screen, JobDetail)
        assert "Jobs › file001.cpp" == " ".join(crumbs(app).split())
        await press(app, pilot, "enter")
        await settle(app, pilot)
        assert isinstance(app.screen, NodeDetail)
        assert "Jobs › file001.cpp › node-a2" == " ".join(crumbs(app).split())
        await press(app, pilot, "escape", "right", "right", "enter")
        await settle(app, pilot)
        assert isinstance(app.screen, BuildDetailScreen)
        assert crumbs(app).startswith("Jobs › file001.cpp ›  alice-pc 23:37")
        await pilot.click(Breadcrumb, offset=(2, 0))
        await settle(app, pilot)
        assert 1 == len(app.screen_stack)


async def test_a_page_that_is_there_already_is_gone_back_to() -> None:
    app = top()
    async with app.run_test(size=(120, 60)) as pilot:
        await press(app, pilot, "2", "enter")
        assert isinstance(app.screen, NodeDetail)
        app.screen.query_one("#node-jobs", LiveTable).focus()
        await press(app, pilot, "enter")
        await settle(app, pilot)
        assert isinstance(app.screen, JobDetail)
        await press(app, pilot, "enter")
        await settle(app, pilot)
        assert isinstance(app.screen, NodeDetail)
        assert 2 == len(app.screen_stack)


async def test_a_click_follows_a_link() -> None:
    app = top()
    async with app.run_test(size=(120, 36)) as pilot:
        await press(app, pilot, "3", "end", "enter")
        await pilot.click(LinkLine, offset=(8, 0))
        await settle(app, pilot)
        assert isinstance(app.screen, NodeDetail)


async def test_what_is_no_longer_known_is_said() -> None:
    app = top()
    async with app.run_test(size=(120, 36)) as pilot:
        await press(app, pilot, "5", "enter")
        await settle(app, pilot)
        assert isinstance(app.screen, BuildDetailScreen)
        await press(app, pilot, "enter")
        await settle(app, pilot)
        assert isinstance(app.screen, NodeDetail)
        await press(app, pilot, "escape")
        app.screen.query_one("#slowest", LiveTable).focus()
        await press(app, pilot, "enter")
        assert isinstance(app.screen, BuildDetailScreen)
        assert "only its figures here are kept" in notes(app)


async def test_a_node_shows_its_lanes_and_its_last_jobs() -> None:
    app = top()
    async with app.run_test(size=(120, 60)) as pilot:
        await press(app, pilot, "2", "enter")
        table = app.screen.query_one("#node-jobs", LiveTable)
        assert 0 < len(table.rows) <= LAST_JOBS
        assert all(job.node == ("node-a1", "10.0.0.11") for job in table.rows.values())


async def test_the_page_of_a_submitter_shows_what_it_asked_for() -> None:
    app = top()
    async with app.run_test(size=(120, 60)) as pilot:
        await press(app, pilot, "3", "end", "enter", "right", "enter")
        await settle(app, pilot)
        assert isinstance(app.screen, NodeDetail)
        table = app.screen.query_one("#node-jobs", LiveTable)
        assert LAST_JOBS == len(table.rows)
        assert {fixtures.ALICE} == {job.submitter for job in table.rows.values()}
        assert table.has_focus and not app.screen.query_one("#slots", LiveTable).display, "it has no slots"


def test_where_the_time_of_a_job_went() -> None:
    done = fixtures.ended()[0]
    assert [("waited", "200 ms"), ("sent", "250 ms"), ("compiled", "2.1 s")] == [
        (share.name, share.words) for share in phases(done, NOW)
    ]
    unmeasured = phases(replace(done, user=0, system=0, real=2400), NOW)
    assert ["200 ms", "0 ms", "2.4 s"] == [share.words for share in unmeasured]
    local = replace(done, place=JobPlace.LOCAL, node=done.submitter)
    assert ["2.4 s"] == [share.words for share in phases(local, NOW)]
    pending, running = fixtures.jobs()[6], fixtures.jobs()[0]
    assert [("waits", "1s")] == [(share.name, share.words) for share in phases(pending, NOW)]
    assert ["waited", "runs"] == [share.name for share in phases(running, NOW)]
    unknown = replace(running, requested=0.0, begun=0.0)
    assert [] == phases(unknown, NOW)


@given(st.lists(st.floats(0, 1e6), max_size=6), st.integers(0, 200))
def test_shares_fill_the_bar(values: list[float], width: int) -> None:
    cells = lengths(values, width)
    assert all(each >= 0 for each in cells)
    if sum(values) > 0:
        assert width == sum(cells)
        if width >= len(values):
            assert all(cell > 0 for cell, value in zip(cells, values, strict=True) if value > 0)


def test_gaps_and_the_tail_of_a_build_in_words() -> None:
    detail = fixtures.build_detail(2)
    (gap,), (tail,) = gap_words(detail), tail_words(detail)
    assert "▲ 1 gap: nothing ran for 20s from 2m18s" == gap[0]
    assert "▲ the last 38s (15 %) had one job at a time: src/core/huge.cpp on node-a2 took 48.0 s" == tail[0]
    assert [] == tail_words(fixtures.build_detail(3)), "it goes on"


def test_the_build_of_a_job_is_its_submitters_at_that_time() -> None:
    job = replace(fixtures.ended()[0], submitter=fixtures.ALICE)
    found = build_of(job, fixtures.builds())
    assert found is not None and 3 == found.id
    long_ago = replace(job, ended=NOW - 3900)
    found = build_of(long_ago, fixtures.builds())
    assert found is not None and 1 == found.id
    assert build_of(replace(job, submitter=("x", "")), fixtures.builds()) is None


@pytest.mark.parametrize("width", [1, 8, 20, 33, 80])
async def test_the_breadcrumb_is_cut_at_its_begin(width: int) -> None:
    app = top()
    async with app.run_test(size=(max(width, 20), 24)) as pilot:
        await press(app, pilot, "3", "end", "enter")
        crumb = app.screen.query_one(Breadcrumb)
        crumb.tell(["Jobs", "file001.cpp", "node-a2", "a_file_of_a_long_name.cpp"])
        await pilot.pause()
        if width == 33:
            assert "… › node-a2" not in crumbs(app)
            assert crumbs(app).startswith("… ›")
        assert crumbs(app)


async def test_a_failure_to_follow_is_told() -> None:
    attachment = fixtures.FakeAttachment()
    app = FarmTop(attachment, clock=lambda: 100.0)
    async with app.run_test(size=(120, 36)) as pilot:
        await press(app, pilot, "3", "end", "enter")
        attachment.error = FarmError("The history cannot be read.", "Its disk is full.", "Look: farm logs farmd")
        await press(app, pilot, "right", "right", "enter")
        await settle(app, pilot)
        assert isinstance(app.screen, JobDetail)
        assert "The history cannot be read." in notes(app)


def test_running_and_lost_jobs_have_phases() -> None:
    running = fixtures.jobs()[0]
    lost = replace(running, ended=NOW, state=JobState.RUNNING)
    assert "ran" == phases(lost, NOW)[-1].name
