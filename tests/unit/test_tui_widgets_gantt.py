"""Lanes and bars: found by time, drawn so that no colour is needed, scrolled, zoomed, picked."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.message import Message

from tui.widgets.axis import clock
from tui.widgets.gantt import Gantt
from tui.widgets.lanes import BAR_KINDS, Bar, Lane, Lanes, bar_text, by_kind, cells, legend, runs
from tui.widgets.time_window import ZOOMS

HOSTILE = "\x1b[31m[bold]\x07名前.c" + "x" * 300
NOW = 1_000_000.0
TIMES = st.floats(-50, 50, allow_nan=False)


def job(number: int, start: float, end: float | None, kind: str = "remote", lane: str = "pc1", label: str = "") -> Bar:
    return Bar(number, lane, start, kind, end, label)


@given(st.lists(st.tuples(TIMES, st.none() | st.floats(0, 40))), TIMES, st.floats(0, 30))
def test_bars_are_found_by_time(shapes: list[tuple[float, float | None]], begin: float, length: float) -> None:
    lane = Lane()
    bars = [job(i, start, None if more is None else start + more) for i, (start, more) in enumerate(shapes)]
    for bar in bars:
        lane.add(bar)
    end = begin + length
    expected = {bar.id for bar in bars if bar.start <= end and (bar.end is None or bar.end >= begin)}
    found = lane.between(begin, end)
    assert expected == {bar.id for bar in found}
    assert found == sorted(found, key=lambda bar: bar.start)
    for bar in bars:
        lane.remove(bar)
    assert [] == lane.between(-math.inf, math.inf)


def test_bars_are_replaced_and_the_oldest_forgotten() -> None:
    lanes = Lanes(limit=3)
    lanes.put([job(1, 0, None), job(2, 0, None)])
    lanes.put([job(1, 0, 5), job(3, 5, 2), job(4, math.nan, 2), job(5, 0, math.inf), job(5, -1e300, 1)])
    assert 3 == len(lanes)
    assert 5 == (lanes.get(3) or job(0, 0, 0)).end, "a bar that ends before it starts has no length"
    assert [2] == [bar.id for bar in lanes.lanes["pc1"].open.values()]
    lanes.put([job(6, 7, 8), job(7, 8, 9, lane="pc2")])
    assert lanes.get(1) is None and lanes.get(2) is not None
    assert [3, 6] == [bar.id for bar in lanes.lanes["pc1"].ended]
    lanes.put([job(6, 7, 8, lane="pc2")])
    assert [3] == [bar.id for bar in lanes.lanes["pc1"].ended]


def test_neighbours() -> None:
    lane = Lane()
    for bar in (job(1, 0, 1), job(2, 2, 3), job(3, 4, None)):
        lane.add(bar)
    assert [2, 3, None] == [bar and bar.id for bar in (lane.beside(when, 1) for when in (0, 2, 4))]
    assert [None, 1, 2] == [bar and bar.id for bar in (lane.beside(when, -1) for when in (0, 2, 4))]


def test_failures_are_never_hidden() -> None:
    bars = [job(1, 0, 9), job(2, 2.5, 2.6, "failed"), job(3, 2.7, 4)]
    assert [-1, 0, 0, 1, 2, 0, 0, 0, 0, 0] == cells(bars, -1, 1, 10, 10, by_kind(BAR_KINDS))
    assert [(0, 2), (1, 1), (2, 1)] == runs(cells(bars[:3], 0, 1, 4, 10, by_kind(BAR_KINDS)))
    assert [] == runs([])


def test_bars_are_told_apart_without_colour() -> None:
    def text(bar: Bar, length: int, joint: bool = False, reaches_now: bool = True) -> str:
        parts = bar_text(bar, BAR_KINDS[bar.kind], length, joint=joint, reaches_now=reaches_now)
        assert length == cell_len("".join(parts))
        return "".join(parts)

    assert "█foo.c██" == text(job(1, 0, 9, label="foo.c"), 8)
    assert "█fo…█" not in text(job(1, 0, 9, label="foo.c"), 5)
    assert "▐██" == text(job(1, 0, 9), 3, joint=True)
    assert "█▸" == text(job(1, 0, None), 2)
    assert "██" == text(job(1, 0, None), 2, reaches_now=False)
    assert "✗░░" == text(job(1, 0, 9, "failed"), 3)
    assert "✗" == text(job(1, 0, 9, "failed"), 1)
    assert "▒…[b]▒" == text(job(1, 0, 9, "local", label="\x1b[31m[b]"), 6)
    for length in range(1, 20):
        text(job(1, 0, None, label=HOSTILE), length, joint=True)


def test_the_legend_has_the_colours_of_the_bars() -> None:
    parts = legend(BAR_KINDS)
    assert "██ remote  ▒▒ local  ▓▓ own  ✗░ failed  " == "".join(text for text, _ in parts)
    assert ("✗░", "bad") in parts


class Charts(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Message] = []

    def compose(self) -> ComposeResult:
        yield Gantt(per_cell=1, empty="no jobs yet", tick=lambda when, step: f"{when - NOW:+.1f}")

    @property
    def gantt(self) -> Gantt:
        return self.query_one(Gantt)

    def on_gantt_picked(self, message: Gantt.Picked) -> None:
        self.seen.append(message)

    def on_gantt_pointed(self, message: Gantt.Pointed) -> None:
        self.seen.append(message)

    def picked(self) -> list[object]:
        return [message.key for message in self.seen if isinstance(message, Gantt.Picked)]

    def pointed(self) -> list[object]:
        return [message.bar and message.bar.id for message in self.seen if isinstance(message, Gantt.Pointed)]

    def lines(self) -> list[str]:
        return ["".join(s.text for s in self.gantt.draw(y)).rstrip() for y in range(self.gantt.size.height)]


BARS = [
    job(1, NOW - 20, NOW - 10, label="foo.c"),
    job(2, NOW - 10, NOW - 5, "failed"),
    job(3, NOW - 4, None, label="bar.c"),
    job(4, NOW - 8, NOW - 2, "own", lane="pc2"),
]


async def test_shows_lanes_under_a_time_axis() -> None:
    app = Charts()
    async with app.run_test(size=(60, 8)) as pilot:
        assert "no jobs yet" == app.lines()[2].strip()
        app.gantt.put(BARS, now=NOW)
        await pilot.pause()
        lines = app.lines()
        assert "╷-10.0" in lines[0]
        assert lines[1].startswith("pc1 ")
        assert lines[1].endswith("█foo.c████✗░░░░ ███▸")
        assert lines[2].endswith("▓▓▓▓▓▓")
        app.gantt.now = NOW + 3
        await pilot.pause()
        assert app.lines()[1].endswith("✗░░░░ █bar.c▸")
        app.gantt.put([job(3, NOW - 4, NOW + 3, "local", label="bar.c")])
        await pilot.pause()
        assert app.lines()[1].endswith("▒bar.c▒")
        app.gantt.set_lanes([("pc9", HOSTILE), ("pc2", "two")])
        await pilot.pause()
        assert app.lines()[2].startswith("two ")


async def test_scrolls_and_zooms_in_time() -> None:
    app = Charts()
    async with app.run_test(size=(60, 8)) as pilot:
        app.gantt.put(BARS, now=NOW)
        await pilot.press("left", "left")
        assert not app.gantt.following
        held = app.gantt.span
        app.gantt.now = NOW + 5
        assert held == app.gantt.span
        await pilot.press("plus")
        assert 0.5 == app.gantt.per_cell
        middle = sum(app.gantt.span) / 2
        assert abs(middle - sum(held) / 2) <= 2
        await pilot.press(*["right"] * 10)
        assert app.gantt.following
        await pilot.press(*["plus"] * 20)
        assert ZOOMS[0] == app.gantt.per_cell
        await pilot.press(*["minus"] * 20)
        assert ZOOMS[-1] == app.gantt.per_cell
        await pilot.press("left", "f")
        assert app.gantt.following
        assert "✗" in app.lines()[1], "a failure shows at any zoom"


async def test_held_and_zoomed_out_it_shows_nothing_of_the_future() -> None:
    app = Charts()
    async with app.run_test(size=(60, 8)) as pilot:
        app.gantt.put(BARS, now=NOW)
        await pilot.press("left", *["minus"] * 4)
        assert not app.gantt.following
        assert app.gantt.span[1] <= NOW + app.gantt.per_cell
        assert "held" in app.lines()[0]
        app.gantt.set_lanes([("pc2", "2")])
        await pilot.press(*["minus"] * 20)
        assert app.lines()[0].startswith("█=1m held")


async def test_the_cursor_finds_bars() -> None:
    app = Charts()
    async with app.run_test(size=(60, 8)) as pilot:
        app.gantt.put(BARS, now=NOW)
        await pilot.press("right_square_bracket", "left_square_bracket", "enter")
        assert [2] == app.picked()
        assert "[░░░]" in app.lines()[1]
        await pilot.press("down", "enter", "up")
        assert [2, 4] == app.picked()
        assert [3, 2, 4, 2] == app.pointed()
        app.gantt.put([job(9, NOW - 1000, NOW - 990)])
        await pilot.press("home", "enter")
        assert 9 == app.picked()[-1]
        assert not app.gantt.following
        assert app.gantt.span[0] < NOW - 1000 < app.gantt.span[1]
        app.gantt.set_lanes([("pc2", "two"), ("pc1", "one")])
        assert "pc1" == app.gantt.lane


async def test_the_mouse_finds_bars() -> None:
    app = Charts()
    async with app.run_test(size=(60, 8)) as pilot:
        app.gantt.put(BARS, now=NOW)
        await pilot.pause()
        row = app.lines()[1]
        await pilot.hover(Gantt, offset=(row.index("✗"), 1))
        assert [2] == app.pointed()
        await pilot.hover(Gantt, offset=(row.index("foo"), 1))
        await pilot.hover(Gantt, offset=(0, 1))
        assert [2, 1, None] == app.pointed()
        await pilot.click(Gantt, offset=(app.lines()[2].index("▓"), 2))
        assert [4] == app.picked()
        assert "pc2" == app.gantt.lane
        await pilot.click(Gantt, offset=(20, 6))
        await pilot.click(Gantt, offset=(20, 0))
        assert [4] == app.picked()


@pytest.mark.parametrize("size", [(1, 1), (5, 2), (40, 10), (300, 100)])
async def test_any_size(size: tuple[int, int]) -> None:
    app = Charts()
    async with app.run_test(size=(80, 24)) as pilot:
        gantt = app.gantt
        gantt.set_lanes((f"pc{i}", HOSTILE if i % 2 else f"pc{i}") for i in range(200))
        kinds = [*BAR_KINDS, "unheard of"]
        gantt.put(
            (job(i, NOW - i, NOW - i + i % 7, kinds[i % 5], f"pc{i % 200}", HOSTILE) for i in range(2000)), now=NOW
        )
        await pilot.pause()
        before = app.lines()
        await pilot.resize_terminal(*size)
        await pilot.press("down", "pagedown", "left_square_bracket", "plus", "minus", "pageup", "left", "f", "up")
        for y in range(gantt.size.height):
            strip = gantt.render_line(y)
            assert gantt.size.width == cell_len(strip.text) == strip.cell_length
            assert strip.text.isprintable()
        await pilot.press("pageup", "home", "f")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        gantt.put(
            (job(i, NOW - i, NOW - i + i % 7, kinds[i % 5], f"pc{i % 200}", HOSTILE) for i in range(2000)), now=NOW
        )
        await pilot.pause()
        assert before == app.lines()


def test_the_clock_survives_any_time() -> None:
    assert time.strftime("%H:%M:%S", time.localtime(NOW)) == clock(NOW, 10)
    assert clock(NOW + 0.5, 0.5).endswith(".5")
    assert "?" == clock(1e30, 10)
