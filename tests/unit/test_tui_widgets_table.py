"""The live table: order, cursor, columns, what is painted, and text that means harm."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot

from tui.widgets.cells import fitted, joined, marked
from tui.widgets.columns import GAP, Column, layout, ordered
from tui.widgets.lines import Cell
from tui.widgets.safe_text import clean, fit
from tui.widgets.table import LiveTable

HOSTILE = "\x1b[31m[bold]\x07名前\u202e" + "x" * 300


class Node(Struct, frozen=True):
    name: str
    load: int | None


def shade(node: Node) -> Cell:
    return (str(node.load), "bad" if node.load and node.load > 900 else None)


COLUMNS = [
    Column[Node](name="name", title="Node", width=12, min_width=6, cell=lambda n: n.name, value=lambda n: n.name),
    Column[Node](
        name="load", title="Load", width=6, align="right", cell=shade, value=lambda n: n.load, descending=True
    ),
    Column[Node](name="note", title="Note", width=10, min_width=4, cell=lambda n: Text.assemble(n.name, ("!", "red"))),
    Column[Node](name="more", title="More", width=8, cell=lambda n: "more", visible=False),
]


class Tables(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Message] = []

    def compose(self) -> ComposeResult:
        yield LiveTable(COLUMNS, key=lambda n: n.name, empty="no nodes: none has registered")

    @property
    def table(self) -> LiveTable[Node]:
        return self.query_one(LiveTable)

    def on_live_table_opened(self, message: LiveTable.Opened) -> None:
        self.seen.append(message)

    def on_live_table_moved(self, message: LiveTable.Moved) -> None:
        self.seen.append(message)

    def opened(self) -> Iterator[object]:
        return (message.key for message in self.seen if isinstance(message, LiveTable.Opened))


def nodes(count: int, turn: int = 0) -> list[Node]:
    return [Node(f"node{i:04}", (i * 37 + turn * 11) % 1000) for i in range(count)]


def lines(app: App[None]) -> list[str]:
    """What the table's visible lines say."""
    table = app.query_one(LiveTable)
    return ["".join(segment.text for segment in table.draw(y)).rstrip() for y in range(table.size.height)]


def test_text_is_inert_and_exactly_as_wide_as_its_cell() -> None:
    assert "·[31m[bold]·名前·xx" == clean(HOSTILE)[:17]
    assert "ab…" == fit("abcd", 3)
    assert " ab" == fit("ab", 3, "right")
    assert "" == fit("ab", 0)
    assert "a" + "\u0301" * 2 == clean("a" + "\u0301" * 50)


@given(st.text(), st.integers(0, 20), st.sampled_from(["left", "right"]))
def test_any_text_fits(text: str, width: int, align: str) -> None:
    shown = fit(text, width, align)  # type: ignore[arg-type]
    assert width == cell_len(shown)
    assert all(c.isprintable() for c in shown)


@given(st.lists(st.text(max_size=8), min_size=2, max_size=4), st.integers(1, 20))
def test_parts_fit_together(texts: list[str], width: int) -> None:
    parts = fitted([(text, Style.null()) for text in texts], width, "left")
    assert width == cell_len("".join(text for text, _ in parts))


def test_runs_of_one_style_are_joined_and_matches_marked() -> None:
    red = Style(color="red")
    line = joined([("ab", red), ("", red), ("c", red), ("d", Style.null())])
    assert [("abc", red), ("d", Style.null())] == [(s.text, s.style) for s in line]
    mark = Style(reverse=True)
    assert [("a", red), ("B", red + mark), ("c", red)] == [
        (s.text, s.style) for s in marked(joined([("aBc", red)]), "b", mark)
    ]


@given(st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 30), st.booleans())), st.integers(0, 120))
def test_columns_fill_the_width_unless_all_are_at_their_least(
    shapes: list[tuple[int, int | None, bool]], room: int
) -> None:
    columns = [
        Column[Node](name=str(i), title="", width=width, min_width=least, elastic=elastic, cell=lambda n: n.name)
        for i, (width, least, elastic) in enumerate(shapes)
    ]
    widths = layout(columns, room)
    total = sum(widths) + GAP * (len(widths) - 1)
    least = [c.width if c.min_width is None else min(c.width, c.min_width) for c in columns]
    assert not columns or total == room or (total > room and widths == least)


def test_sorting_is_stable_and_rows_without_a_value_come_last() -> None:
    items = [("a", 2), ("b", None), ("c", 1), ("d", 2)]
    assert ["c", "a", "d", "b"] == [key for key, _ in ordered(items, lambda v: v, False)]
    assert ["a", "d", "c", "b"] == [key for key, _ in ordered(items, lambda v: v, True)]
    mixed = [("a", "x"), ("b", 1)]
    assert ["b", "a"] == [key for key, _ in ordered(mixed, lambda v: v, False)]


async def test_shows_rows_under_a_fixed_header() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        assert "no nodes: none has registered" == lines(app)[2].strip()
        app.table.set_rows(nodes(100))
        await pilot.pause()
        assert lines(app)[0].startswith("Node")
        assert "node0000          0 node0000!" == lines(app)[1]
        await pilot.press("end")
        assert lines(app)[0].startswith("Node")
        assert lines(app)[9].startswith("node0099")
        assert "node0099" == app.table.cursor
        await pilot.press("enter")
        assert ["node0099"] == list(app.opened())


async def test_who_sorts_sees_what_comes_first() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        app.table.set_rows(nodes(100))
        await pilot.press("end", "s")
        assert (0, app.table.shown[0][0]) == (app.table.scroll_offset.y, app.table.cursor)
        await pilot.press("end", "S")
        assert (0, app.table.shown[0][0]) == (app.table.scroll_offset.y, app.table.cursor)


async def test_the_cursor_stays_with_its_row() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        app.table.set_rows(nodes(100))
        await pilot.press("s", "s")
        assert app.table.move_to("node0002")
        assert ("load", True) == app.table.sorting
        assert "node0002" == app.table.cursor
        for turn in range(5):
            app.table.set_rows(nodes(100, turn))
            await pilot.pause()
            row = app.table.cursor_row
            assert row and row.name == "node0002" == app.table.cursor
            assert any(line.startswith("node0002") for line in lines(app))
        app.table.set_rows([node for node in nodes(100) if node.name != "node0002"])
        assert app.table.cursor not in (None, "node0002")
        assert app.table.move_to("node0050") and not app.table.move_to("node0002")
        app.table.rows = {}
        assert app.table.cursor is None and app.table.cursor_row is None
        await pilot.press("down", "enter", "pageup")


async def test_moves_and_opens_tell() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        app.table.set_rows(nodes(30))
        await pilot.press("pagedown", "up", "home")
        keys = [m.key for m in app.seen if isinstance(m, LiveTable.Moved)]
        assert ["node0000", "node0008", "node0007", "node0000"] == keys
        await pilot.click(LiveTable, offset=(3, 4))
        assert "node0003" == app.table.cursor
        assert [] == list(app.opened())
        await pilot.click(LiveTable, offset=(3, 5), times=2)
        assert ["node0004"] == list(app.opened())


async def test_a_click_on_the_header_sorts() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        app.table.set_rows(nodes(30))
        await pilot.click(LiveTable, offset=(14, 0))
        assert ("load", True) == app.table.sorting
        assert "▼" in lines(app)[0]
        await pilot.click(LiveTable, offset=(14, 0))
        assert ("load", False) == app.table.sorting
        assert "▲" in lines(app)[0]
        await pilot.click(LiveTable, offset=(30, 0))
        assert ("load", False) == app.table.sorting, "a column without a value is not sorted by"
        await pilot.press("S", "s")
        assert (None, False) == app.table.sorting


async def test_filter_and_highlight() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        app.table.set_rows(nodes(30))
        app.table.filter = lambda node: node.name.endswith("5")
        app.table.highlight = "DE000"
        await pilot.pause()
        assert 3 == len(app.table.shown)
        assert "DE000".lower() in [segment.text for segment in app.table.draw(1)]
        app.table.filter = lambda node: False
        await pilot.pause()
        assert "none of 30 matches" == lines(app)[2].strip()
        app.table.filter = None
        assert 30 == len(app.table.shown)


async def test_columns_come_and_go() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        app.table.set_rows(nodes(3))
        app.table.show_columns(["more", "name", "unheard of"])
        await pilot.pause()
        assert "more     node0000" == lines(app)[1]
        app.table.show_columns([])
        assert ["more", "name"] == [column.name for column in app.table.columns]


async def test_only_lines_that_changed_are_painted() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        app.table.set_rows(nodes(50))
        await pilot.pause()
        painted: list[int] = []
        render = app.table.render_line

        def spy(y: int) -> object:
            painted.append(y)
            return render(y)

        app.table.render_line = spy  # type: ignore[method-assign,assignment]
        app.table.set_rows(nodes(50))
        await pilot.pause()
        assert [] == painted
        changed = nodes(50)
        changed[3] = Node("node0003", 999)
        changed[40] = Node("node0040", 999)
        app.table.set_rows(changed)
        await pilot.pause()
        assert [4] == painted


async def resize(pilot: Pilot[None], width: int, height: int) -> None:
    await pilot.resize_terminal(width, height)
    await pilot.pause()


@pytest.mark.parametrize("size", [(1, 1), (5, 2), (40, 10), (300, 100)])
async def test_any_size(size: tuple[int, int]) -> None:
    app = Tables()
    async with app.run_test(size=(80, 24)) as pilot:
        app.table.set_rows([*nodes(200), Node(HOSTILE, 1000), Node("\x1b]0;title\x07", None), Node("", -1)])
        await pilot.press("end")
        before = lines(app)
        await resize(pilot, *size)
        await pilot.press("home", "end", "pageup", "s", "right", "left", "S", "s", "s", "end")
        for y in range(app.table.size.height):
            line = app.table.render_line(y)
            assert app.table.size.width == cell_len(line.text) == line.cell_length
            assert line.text.isprintable()
        await resize(pilot, 80, 24)
        assert before == lines(app)


async def test_too_narrow_scrolls_sideways() -> None:
    app = Tables()
    async with app.run_test(size=(14, 10)) as pilot:
        app.table.set_rows(nodes(5))
        await pilot.pause()
        assert lines(app)[0].startswith("Node")
        await pilot.press("right")
        assert not lines(app)[0].startswith("Node")
        assert app.table.size.width == 13 == len("".join(segment.text for segment in app.table.draw(1)))


async def test_another_theme_paints_anew() -> None:
    app = Tables()
    async with app.run_test(size=(60, 10)) as pilot:
        app.table.set_rows([Node("a", 1000), Node("b", 1000)])
        await pilot.pause()
        before = app.table.render_line(2)
        app.theme = "textual-light"
        await pilot.pause()
        assert before.text == app.table.render_line(2).text
        assert before != app.table.render_line(2)


async def test_stays_at_the_top_until_the_reader_moves() -> None:
    app = Tables()
    async with app.run_test(size=(40, 8)) as pilot:
        table: LiveTable[Node] = LiveTable(COLUMNS, key=lambda n: n.name, sort="load", stays=True)
        await app.mount(table)
        table.focus()
        table.set_rows([Node("a", 3), Node("b", 2), Node("c", 1)])
        assert "a" == table.cursor
        table.set_rows([Node("a", 1), Node("b", 2), Node("c", 3)])
        assert "c" == table.cursor
        await pilot.press("down")
        assert "b" == table.cursor
        table.set_rows([Node("a", 3), Node("b", 1), Node("c", 2)])
        assert "b" == table.cursor
        await pilot.press("home")
        table.set_rows([Node("a", 1), Node("b", 2), Node("c", 3)])
        assert "c" == table.cursor
