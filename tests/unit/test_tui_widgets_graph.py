"""The graph, its scales and bars."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from tui.widgets.axis import ceiling, duration, short, time_step
from tui.widgets.graph import Graph, Series, bar
from tui.widgets.raster import Raster, resample

NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-5, 100)


def test_bar() -> None:
    assert "██······" == bar(1, 4, 8).plain
    assert "▏·" == bar(1, 1000, 2).plain
    assert "··" == bar(0, 0, 2).plain
    assert "██" == bar(9, 3, 2).plain
    assert "" == bar(1, 2, 0).plain


@given(NUMBERS, NUMBERS, st.integers(0, 20))
def test_any_share_makes_a_bar(part: float, whole: float, width: int) -> None:
    assert width == cell_len(bar(part, whole, width).plain)


def test_scales_are_round_and_short() -> None:
    assert [1, 1, 2, 3, 10, 0.05, 80, 120] == [ceiling(v) for v in (0, 1, 1.1, 3, 9, 0.045, 64, 113)]
    gib = 1 << 30
    assert [20 * gib, 800 * gib, 1024, gib, 6] == [ceiling(v, 1024) for v in (10.9 * gib, 701 * gib, 1000, gib, 6)]
    assert ["0", "0.25", "12", "3.4k", "12k", "1M", "5G"] == [short(v) for v in (0, 0.25, 12, 3400, 12000, 1e6, 5e9)]
    times = ["0s", "200ms", "2.5s", "40s", "2m30s", "3h", "2d", "1d1h"]
    assert times == [duration(v) for v in (0, 0.2, 2.5, 40, 150, 10800, 172800, 90061)]
    assert [0.5, 10, 900, 864000] == [time_step(v, 9) for v in (0.05, 1, 100, 90000)]


def test_points_become_columns() -> None:
    assert [None, 1, 2, 3, None] == resample([(2, 1), (6, 3)], 0, 10, 5)
    assert [2, None] == resample([(0, 1), (1, 3)], 0, 10, 2)
    assert [1, None, None, 3] == resample([(0, 1), (1, math.nan), (9, 3)], 0, 10, 4)
    assert [1, 1] == resample([(-5, 1), (15, 1)], 0, 10, 2)
    assert [None] == resample([(1, 1)], 5, 5, 1)


def test_dots() -> None:
    raster = Raster(2, 1)
    raster.plot([0, 1, 1, 0], 1, 0)
    assert [("⡸⢱", 0)] == raster.row(0)
    filled = Raster(1, 2)
    filled.plot([1, 1], 1, 3, fill=True)
    assert [[("⣿", 3)], [("⣿", 3)]] == [filled.row(0), filled.row(1)]
    filled.plot([0, 0], 1, 4)
    assert [[("⣿", 3)], [("⣀", 4)]] == [filled.row(0), filled.row(1)], "a line shows on a filled area"
    assert [(" ", -1)] == Raster(1, 1).row(0)


class Graphs(App[None]):
    def compose(self) -> ComposeResult:
        yield Graph(span=60)

    @property
    def graph(self) -> Graph:
        return self.query_one(Graph)

    def lines(self) -> list[str]:
        return ["".join(s.text for s in self.graph.draw(y)) for y in range(self.graph.size.height)]


def wave(factor: float) -> list[tuple[float, float]]:
    return [(1000 + t, factor * (1 + math.sin(t / 5))) for t in range(61)]


async def test_shows_curves_scales_and_times() -> None:
    app = Graphs()
    async with app.run_test(size=(80, 15)) as pilot:
        assert "nothing measured yet" == app.lines()[7].strip()
        app.graph.series = {"busy": Series(wave(40), "good"), "\x1b[1m[b]queue": Series(wave(10), "warn", fill=True)}
        await pilot.pause()
        lines = app.lines()
        assert lines[0].startswith("1 busy ")
        assert "2 ·[1m[b]queue" in lines[0]
        assert "80┤" == lines[1].lstrip()[:3]
        assert " 40┤" == lines[7][2:6]
        assert "  0┤" == lines[13][2:6]
        assert lines[14].rstrip().endswith("now") and "-10s" in lines[14]
        assert {"1", "2"} == {line.rstrip()[-1] for line in lines[1:14] if line.rstrip()[-1] in "12"}
        app.graph.series = {"busy": Series([(900, 3.0)]), "queue": Series(wave(10))}
        await pilot.pause()
        assert "1 busy –" in app.lines()[0]


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (40, 10), (10, 3), (300, 100)])
async def test_any_size(size: tuple[int, int]) -> None:
    app = Graphs()
    async with app.run_test(size=(80, 24)) as pilot:
        app.graph.series = {str(i): Series([*wave(i), (1060, math.inf)]) for i in range(1, 12)}
        await pilot.pause()
        before = app.lines()
        await pilot.resize_terminal(*size)
        await pilot.pause()
        for y in range(app.graph.size.height):
            strip = app.graph.render_line(y)
            assert app.graph.size.width == cell_len(strip.text) == strip.cell_length
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert before == app.lines()


async def test_another_theme_paints_anew() -> None:
    app = Graphs()
    async with app.run_test(size=(80, 15)) as pilot:
        app.graph.series = {"busy": Series(wave(40), "good")}
        await pilot.pause()
        before = app.graph.render_line(5)
        app.theme = "textual-light"
        await pilot.pause()
        assert before != app.graph.render_line(5)
