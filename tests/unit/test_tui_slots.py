"""Nodes as pictures: a cell for each slot, the last minute, and the columns that fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.view.live import Delta, Live
from farm.view.status import NodeStatus
from farm.watch.activity import Job, JobPlace, JobState
from tests.unit.tui_driving import press, running, screen
from tests.unit.tui_fixtures import (
    ALICE,
    BOB,
    NOW,
    FakeAttachment,
    fat_desk,
    live,
    nodes,
    overview,
    snapshot,
    with_desks,
    with_login,
)
from tests.unit.tui_records import A1
from tui.busy import AT_ONCE, PIECES, BusyMinute
from tui.node_columns import ALWAYS, fitting
from tui.nodes import NodesView
from tui.slot_cells import busy_slots, slot_cells, slot_jobs
from tui.submitters import sign
from tui.widgets.lines import Paint
from tui.widgets.sparkline import LEVELS, big, spark
from tui.widgets.table import LiveTable

# -- slots


def cells_of(node: NodeStatus, known: Live) -> list[tuple[str, Paint]]:
    return slot_cells(node, slot_jobs(node, busy_slots(known)), known, 16)


def test_a_slot_shows_whose_job_it_runs() -> None:
    known = live()
    alice, bob = sign(known, ALICE), sign(known, BOB)
    cells = cells_of(nodes()[0], known)
    assert cells[:4] == [(bob.letter, bob.tone), (alice.letter, alice.tone)] * 2
    assert cells[4:] == [("·", "muted")] * 4
    assert (alice.letter, bob.letter) == ("A", "B")


def test_slots_share_cells_where_there_are_more() -> None:
    known = live()
    node = with_login(nodes()[0], slots=64)
    cells = "".join(text for text, _ in cells_of(node, known))
    assert cells == "B" + "·" * 15
    assert cells_of(nodes()[5], known) == [], "it is off"


def test_a_desk_in_use_shows_what_it_does_not_offer() -> None:
    known = live()
    known.apply(with_desks())
    cells = "".join(text for text, _ in cells_of(fat_desk(), known))
    assert cells == "AA··╌╌╌╌"


async def test_nodes_say_who_uses_them_at_every_size() -> None:
    attachment = FakeAttachment([snapshot(), with_desks()])
    async with running(attachment, size=(80, 24)) as (app, pilot):
        await press(app, pilot, "2")
        text = screen(app)
        for part in ("BABA····", "AA··╌╌╌╌", "in use: 4 of 8", "A alice-pc 5", "passed-over"):
            assert part in text
        await pilot.resize_terminal(200, 60)
        await press(app, pilot, "home")
        text = screen(app)
        for part in (
            "in use: 4 of 8 slots, as somebody uses",
            "3 jobs are waiting, but the node gets none",
            "10.0.0.11",
        ):
            assert part in text
        await pilot.resize_terminal(40, 10)
        await press(app, pilot, "home")
        text = screen(app)
        for part in ("node-a1", "BABA····", "passed-over"):
            assert part in text


async def test_what_nobody_tells_has_no_column() -> None:
    bare = replace(snapshot(), overview=replace(overview(), farm=""), nodes=[node for node in nodes() if not node.mac])
    async with running(FakeAttachment([bare]), size=(200, 60)) as (app, pilot):
        await press(app, pilot, "2")
        shown = {column.name for column in app.view.query_one(LiveTable).columns}
        assert not shown & {"cpu", "image", "since"}
        assert {"address", "speed", "memory", "platform"} <= shown


# -- columns


@given(st.integers(1, 400))
def test_columns_fit_and_more_room_shows_no_less(width: int) -> None:
    columns = NodesView(FakeAttachment(), live())._columns
    shown = fitting(columns, width)
    assert {*ALWAYS} <= {*shown} <= {*fitting(columns, width + 1)}
    needed = sum(column.width + 1 for column in columns if column.name in shown) - 1
    assert needed <= width or {*shown} == {*ALWAYS}
    assert [column.name for column in columns if column.name in shown] == shown


# -- the last minute


def _ran(number: int, begun: float, ended: float) -> Job:
    return Job(
        8000 + number, JobState.DONE, JobPlace.REMOTE, "a.c", ALICE, A1, begun=begun, ended=ended, number=100 + number
    )


def test_the_last_minute_is_slot_time() -> None:
    known = live()
    known.ended.clear()
    known.apply(
        Delta(time=NOW, ended=[_ran(1, NOW - 60, NOW - 50), _ran(2, NOW - 55, NOW - 50), _ran(3, NOW - 7, NOW)])
    )
    minute = BusyMinute(known)
    minute.follow(NOW - 0.001)
    values = minute.busy(nodes()[0], [], NOW - 0.001)
    assert [1.0, 2.0, 0.0] == values[:3]
    assert [0.4, 1.0] == [round(value or 0, 3) for value in values[-2:]]
    running = [replace(_ran(4, NOW - 10, 0), ended=0.0), None]
    assert [1.4, 2.0] == [round(value or 0, 2) for value in minute.busy(nodes()[0], running, NOW - 0.001)[-2:]]
    minute.follow(NOW + 120)
    assert not any(minute.busy(nodes()[0], [], NOW + 120)), "it is forgotten"


def test_a_long_while_is_added_piece_by_piece() -> None:
    known = live()
    known.ended.clear()
    known.apply(Delta(time=NOW, ended=[_ran(n, NOW - 30, NOW - 29) for n in range(AT_ONCE + 500)]))
    minute = BusyMinute(known)
    sums = []
    for _ in range(3):
        minute.follow(NOW)
        sums.append(round(sum(value or 0 for value in minute.busy(nodes()[0], [], NOW)) * 5))
    assert sums == [AT_ONCE, AT_ONCE + 500, AT_ONCE + 500]


def test_before_the_watching_nothing_is_known() -> None:
    known = live()
    known.samples.clear()
    values = BusyMinute(known).busy(nodes()[0], [], NOW)
    assert values == [None] * (PIECES - 1) + [0.0]


# -- pictures in text


def test_a_little_is_not_nothing() -> None:
    assert spark([0, 0.01, 4, 8, None, 0], 8) == [("▁", False), ("▁▄█", True), (" ▁", False)]
    assert spark([3.0], 0) == [("▁", False)]


@given(st.lists(st.none() | st.floats(0, 100), max_size=30), st.floats(0, 50))
def test_each_value_has_a_cell(values: list[float | None], top: float) -> None:
    text = "".join(run for run, _ in spark(values, top))
    assert len(text) == len(values)
    assert {*text} <= {*LEVELS, " "}


@given(st.text("0123456789.,–%", max_size=6))
def test_large_figures_have_three_equal_lines(figure: str) -> None:
    lines = big(figure)
    assert len({len(line) for line in lines}) <= 1
    assert len(lines) == 3
