"""The overview, driven as a user would: what is wrong first, figures, tables that open."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from farm.view.live import Delta
from farm.watch.activity import JobState
from farm.watch.events import Finding
from tests.unit.tui_driving import press, running, screen, settle
from tests.unit.tui_fixtures import NOW, FakeAttachment, live, nodes, overview, samples, snapshot
from tui.job_detail import JobDetail
from tui.node_detail import NodeDetail
from tui.overview_tables import FailureTable, NodeTable, SlowTable
from tui.problem_detail import ProblemDetail
from tui.problem_list import ProblemList
from tui.problem_texts import wrong
from tui.widgets.graph import Graph


async def test_a_problem_opens_and_leads_to_its_node() -> None:
    async with running(size=(120, 36)) as (app, pilot):
        lines = screen(app).splitlines()
        assert "6 problems" in lines[2], "they stand under the tabs"
        await press(app, pilot, "down", "enter")
        assert isinstance(app.screen, ProblemDetail)
        text = screen(app)
        for part in ("▲ 1 node is lost: node-b2", "→ Check power and network cable.", "node-b2", "✖ lost"):
            assert part in text
        assert app.chosen is not None
        assert app.chosen.name == "node-b2"
        await press(app, pilot, "enter")
        assert isinstance(app.screen, NodeDetail)
        await press(app, pilot, "escape", "escape")
        assert app.view.TITLE == "Overview"


async def test_a_problem_leads_to_its_job() -> None:
    async with running(size=(120, 36)) as (app, pilot):
        await press(app, pilot, "end", "enter")
        assert "after failing on a node" in screen(app)
        await press(app, pilot, "enter")
        assert isinstance(app.screen, JobDetail)


async def test_a_problem_leads_to_its_tab_and_says_when_it_is_over() -> None:
    found = Finding("rival-scheduler", "Another scheduler answers.", "Stop it.", "10.0.0.9:8765")
    rival = replace(overview(), findings=[found], problems=[found.sentence])
    attachment = FakeAttachment([replace(snapshot(), overview=rival, nodes=nodes()[:1], ended=[])])
    async with running(attachment) as (app, pilot):
        await press(app, pilot, "enter")
        assert "→ Stop it." in screen(app)
        attachment.push(Delta(time=NOW + 1, overview=replace(overview(), findings=[], problems=[])))
        await settle(app, pilot)
        assert "● This is over." in screen(app)
        await press(app, pilot, "enter")
        assert app.view.TITLE == "Scheduler"


async def test_nothing_wrong_needs_no_line() -> None:
    well = replace(snapshot(), overview=replace(overview(), problems=[]), nodes=nodes()[:1], ended=[])
    async with running(FakeAttachment([well])) as (app, _):
        assert not app.view.query_one(ProblemList).display
        assert app.view.query_one(NodeTable).has_focus
        assert " farm lab  ●  14/28 slots" in screen(app)


async def test_orders_go_to_the_node_that_a_problem_is_about() -> None:
    attachment = FakeAttachment()
    async with running(attachment) as (app, pilot):
        assert app.chosen is None, "the first is about a service"
        await press(app, pilot, "down", "down")
        assert app.chosen is not None
        assert app.chosen.name == "node-c1"
        await press(app, pilot, "K", "y")
        assert attachment.done == [("kick", "node-c1")]


def test_findings_say_what_they_are_about() -> None:
    known = live()
    found = [Finding("node-full", "The RAM is full.", "Reboot it.", "node-a2"), Finding("x", "Y.", "", "")]
    told = replace(overview(), findings=found, problems=[each.sentence for each in found])
    known.apply(Delta(time=NOW + 1, overview=told))
    first, second = wrong(known, NOW + 1)[:2]
    assert (first.what, first.advice, first.nodes) == ("The RAM is full.", "Reboot it.", (nodes()[1].key,))
    assert (second.what, second.nodes, second.tab) == ("Y.", (), "")


# -- figures and graphs


@pytest.mark.parametrize(("size", "lines"), [((80, 24), 6), ((120, 36), 10), ((200, 60), 12)])
async def test_graphs_are_no_higher_than_they_need(size: tuple[int, int], lines: int) -> None:
    async with running(size=size) as (app, _):
        assert app.view.query(Graph).first().size.height == lines
        assert app.view.query_one(NodeTable).size.height >= lines // 2


async def test_graphs_begin_with_the_time_there_is() -> None:
    async with running(FakeAttachment([replace(snapshot(), samples=samples(10))]), size=(120, 36)) as (app, pilot):
        assert {graph.seconds for graph in app.view.query(Graph)} == {10.0}
        attachment = app.attachment
        assert isinstance(attachment, FakeAttachment)
        attachment.push(replace(snapshot(), samples=samples(500)))
        await settle(app, pilot)
        assert {graph.seconds for graph in app.view.query(Graph)} == {300.0}


async def test_a_wide_screen_has_jobs_that_open() -> None:
    async with running(size=(200, 60)) as (app, pilot):
        shown = screen(app)
        assert "Slowest running" in shown
        assert "Last failures" in shown
        slow, failed = app.view.query_one(SlowTable), app.view.query_one(FailureTable)
        began = [job.begun for _, job in slow.shown]
        assert began == sorted(began)
        assert [job.number for _, job in failed.shown] == [60, 40, 20]
        failed.focus()
        await press(app, pilot, "enter")
        assert isinstance(app.screen, JobDetail)


async def test_failures_are_kept_while_jobs_end() -> None:
    attachment = FakeAttachment()
    async with running(attachment, size=(200, 60)) as (app, pilot):
        last = snapshot().ended[-1]
        new = replace(last, id=7000, number=61, ended=NOW + 1, state=JobState.FAILED)
        attachment.push(Delta(time=NOW + 1, ended=[new, replace(new, id=7001, number=62, state=JobState.DONE)]))
        await settle(app, pilot)
        assert [job.number for _, job in app.view.query_one(FailureTable).shown] == [61, 60, 40, 20]


async def test_what_is_not_seen_is_not_worked_out() -> None:
    async with running(size=(80, 24)) as (app, pilot):
        assert not app.view.query_one(SlowTable).rows
        await pilot.resize_terminal(200, 60)
        await settle(app, pilot)
        assert app.view.query_one(SlowTable).rows
