"""Nodes and one node, driven as a user would."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from textual.widgets import Input

from farm.view.live import Delta
from farm.view.status import CompileStatus, NodeStatus
from farm.watch.events import Stage
from tests.unit.tui_driving import press, running, screen, settle
from tests.unit.tui_fixtures import NOW, FakeAttachment, nodes, snapshot, with_login
from tui import state_words
from tui.node_detail import NodeDetail
from tui.node_filter import NodeFilter, values
from tui.nodes import NodesView
from tui.widgets.table import LiveTable

WIDE = (180, 40)


def names(view: object) -> list[str]:
    assert isinstance(view, NodesView)
    return [row.name for _, row in view.query_one(LiveTable).shown]


async def test_search_is_live() -> None:
    async with running(size=WIDE) as (app, pilot):
        await press(app, pilot, "2", "slash", *"node-b")
        assert names(app.view) == ["node-b1", "node-b2"]
        assert '2 of 9 are "node-b"' in screen(app)
        await press(app, pilot, "enter")
        assert app.view.query_one(LiveTable).has_focus
        await press(app, pilot, "escape")
        assert len(names(app.view)) == 7


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("load-1000", ["node-c1"]),
        ("10.0.0.90", ["oldbox"]),
        ("20251201", ["node-a2"]),
        ("booting", ["node-b1"]),
        ("alice", ["alice-pc"]),
        ("nobody at all", []),
        ("b load-1000", []),
        ("node-b -b2", ["node-b1"]),
        ("state:booting", ["node-b1"]),
        ("STATE:boot,submits", ["alice-pc", "bob-pc", "node-b1"]),
        ("52:54:00:12:34:0c1", []),
    ],
)
async def test_search_looks_at_everything(text: str, found: list[str]) -> None:
    async with running(size=WIDE) as (app, pilot):
        await press(app, pilot, "2", "slash")
        app.view.query_one(Input).value = text
        await settle(app, pilot)
        assert names(app.view) == found


async def test_digits_go_into_the_search() -> None:
    async with running(size=WIDE) as (app, pilot):
        await press(app, pilot, "2", "slash", "1", "p", "q")
        assert app.view.query_one(Input).value == "1pq"
        assert app.view.TITLE == "Nodes"


async def test_filter_by_state() -> None:
    async with running(size=WIDE) as (app, pilot):
        await press(app, pilot, "2", "F")
        assert "[ ] state: busy  2" in screen(app)
        await press(app, pilot, "space", "enter")
        assert names(app.view) == ["node-a1", "oldbox"]
        await press(app, pilot, "F", "x", "escape")
        assert names(app.view) == ["node-a1", "oldbox"]


async def test_columns_to_choose() -> None:
    async with running() as (app, pilot):
        await press(app, pilot, "2")
        table = app.view.query_one(LiveTable)
        before = [column.name for column in table.columns]
        assert "address" not in before
        await press(app, pilot, "C", "down", "down", "down", "space", "enter")
        assert {column.name for column in table.columns} == {*before, "address"}
        await pilot.resize_terminal(200, 40)
        await settle(app, pilot)
        assert {column.name for column in table.columns} == {*before, "address"}


async def test_sorted_by_any_column() -> None:
    async with running(size=WIDE) as (app, pilot):
        await press(app, pilot, "2")
        table = app.view.query_one(LiveTable)
        for column in table.columns:
            for reverse in (False, True):
                table.sort_by(column.name, reverse)
                assert len(table.shown) == 7
        table.sort_by("done", True)
        assert names(app.view)[0] == "node-a1"
        table.sort_by("address", False)
        assert names(app.view)[:2] == ["node-a1", "node-a2"]


async def test_a_node_opens_and_is_followed() -> None:
    attachment = FakeAttachment()
    async with running(attachment, size=(160, 50)) as (app, pilot):
        await press(app, pilot, "2", "enter")
        assert isinstance(app.screen, NodeDetail)
        text = screen(app)
        for part in (
            "compiling: 4 jobs",
            "src/core/part1.cpp",
            "alice-pc",
            "4.0 s",
            "– free",
            "MAC",
            "CPU",
            "memory free",
        ):
            assert part in text
        assert re.search(r"kernel +22:52:30  \+10\.0 s", text)
        busy = nodes()[0]
        assert busy.host is not None
        idle = with_login(busy, jobs_running=0, load=1000)
        attachment.push(Delta(time=NOW + 1, nodes=[idle], lost=[5000, 5001, 5002, 5003]))
        await settle(app, pilot)
        assert "Why it is idle: The node reports load 1000" in screen(app)
        assert "[load-1000]" in screen(app)
        assert "▸ src/core/part1.cpp" not in screen(app)
        assert "? lost    src/core/part1.cpp" in screen(app)
        attachment.push(Delta(time=NOW + 2, gone=[busy.key]))
        await settle(app, pilot)
        assert "no longer known" in screen(app)
        await press(app, pilot, "escape")
        assert app.view.TITLE == "Nodes"


async def test_a_daemon_without_agent_opens() -> None:
    async with running(size=(160, 50)) as (app, pilot):
        await press(app, pilot, "2")
        app.view.query_one(LiveTable).move_to("oldbox@10.0.0.90")
        await press(app, pilot, "enter")
        assert "not booted from this server" in screen(app)
        assert "CPU" not in screen(app)


async def test_actions_in_a_node_are_for_it() -> None:
    attachment = FakeAttachment()
    async with running(attachment, size=(160, 50)) as (app, pilot):
        await press(app, pilot, "2", "down", "enter", "K", "y")
        assert attachment.done == [("kick", "node-a2")]


# -- the filter as a function


def test_marks_of_a_kind_are_alternatives() -> None:
    known = nodes()
    either = NodeFilter(marks=frozenset({("stage", "lost"), ("stage", "off")}))
    both = NodeFilter(marks=frozenset({("stage", "lost"), ("state", "busy")}))
    assert [node.name for node in known if either.keeps(node, "")] == ["node-b2", "node-c2"]
    assert not [node for node in known if both.keeps(node, "")]
    assert either.shown == "lost, off"


def test_values_are_counted() -> None:
    found = {(kind, value): number for kind, value, number in values(nodes())}
    assert found["state", "submits only"] == 2
    assert found["platform", "x86_64"] == 7
    assert found["image", "20251201-3"] == 1
    assert ("stage", "agent") not in found


def test_numbers_in_names_sort_as_numbers() -> None:
    assert sorted(["pc10", "pc9", "PC1", "10", "pc"], key=state_words.natural) == ["10", "pc", "PC1", "pc9", "pc10"]


def test_states() -> None:
    assert [state_words.state(node) for node in nodes()] == [
        *("busy", "idle", "booting", "offline", "idle", "offline", "busy", "submits only", "submits only")
    ]


def test_who_only_submits_is_no_node_that_was_lost() -> None:
    gone = nodes()[-1]
    assert gone.host is not None
    assert state_words.state(with_login(gone, online=False)) == "submits only"


def test_blocked_is_said_instead_of_the_stage() -> None:
    node = nodes()[0]
    assert state_words.stage_words(replace(with_login(node, blocked=True), blocked=True)) == (
        "⊘ blocked",
        "bad",
    )


def test_reasons_are_those_of_the_whole_farm() -> None:
    """What is gathered once for all nodes gives the same answers as all nodes would."""
    from farm.view.idle import idle_reason
    from farm.view.live import Live

    live = Live()
    live.apply(snapshot())
    assert live.overview is not None
    reasons = state_words.Reasons(live, NOW)
    for node in live.nodes.values():
        assert reasons.of(node) == idle_reason(node, live.nodes.values(), live.overview, NOW)


async def test_what_was_blocked_before_anybody_looked_has_a_row() -> None:
    unseen = NodeStatus(
        key="10.0.0.66",
        name="10.0.0.66",
        address="10.0.0.66",
        stage=Stage.LOST,
        since=0.0,
        blocked=True,
        compile=CompileStatus(),
    )
    told = replace(snapshot(), nodes=[*nodes(), unseen])
    async with running(FakeAttachment([told]), size=WIDE) as (app, pilot):
        await press(app, pilot, "2")
        assert "10.0.0.66" in names(app.view)
        assert re.search(r"10\.0\.0\.66 +⊘ blocked", screen(app))


def test_a_machine_that_is_ready_without_a_login_is_idle() -> None:
    assert state_words.IDLE == state_words.state(replace(nodes()[0], compile=None))
    assert state_words.BOOTING == state_words.state(replace(nodes()[0], compile=None, stage=Stage.AGENT))
