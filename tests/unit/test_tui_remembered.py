"""What the dashboard remembers from one time to the next."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tui_driving import notes, press, running
from tui.app import FarmTop
from tui.remembered import Preferences, keep, recall
from tui.themes import DEFAULT
from tui.widgets.table import LiveTable

SIZE = (180, 40)


def table(app: FarmTop) -> LiveTable[object]:
    return app.view.query_one("#nodes-table", LiveTable)


async def test_theme_order_and_columns_are_there_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "state" / "top.json"
    async with running(size=SIZE, memory=file) as (app, pilot):
        await press(app, pilot, "2")
        first = table(app).sorting
        await press(app, pilot, "S", "C", "down", "space", "enter")
        app.theme = "farm-light"
        shown = [column.name for column in table(app).columns]
        await press(app, pilot, "q")
    assert app.memory.write() == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    async with running(size=(80, 24), memory=file) as (app, pilot):
        await press(app, pilot, "2")
        assert app.theme == "farm-light"
        assert table(app).sorting != first
        assert [column.name for column in table(app).columns] == shown


async def test_a_theme_for_one_time_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "top.json"
    async with running(memory=file, theme="farm-light") as (app, pilot):
        await press(app, pilot, "q")
    assert app.memory.write() == ""
    assert not file.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "[]",
        '{"theme": "gone", "sort": {"nodes-table": ["no such column", true]}, "columns": {"nodes-table": ["none"]}}',
        '{"columns": {"nodes-table": []}, "later": 1}',
        '{"theme": "\udcff"}',
        '{"later": ' + "[" * 5000,
    ],
)
async def test_what_does_not_hold_any_more_is_passed_over(tmp_path: Path, text: str) -> None:
    file = tmp_path / "top.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    async with running(memory=file, size=SIZE) as (app, pilot):
        await press(app, pilot, "2")
        assert app.theme == DEFAULT
        assert len(table(app).columns) > 3


@given(
    st.builds(
        Preferences,
        st.text(),
        st.dictionaries(st.text(), st.tuples(st.none() | st.text(), st.booleans())),
        st.dictionaries(st.text(), st.lists(st.text())),
    )
)
def test_what_is_kept_is_recalled(tmp_path_factory: pytest.TempPathFactory, kept: Preferences) -> None:
    file = tmp_path_factory.mktemp("kept") / "top.json"
    assert keep(file, kept) == ""
    assert recall(file) == kept


def test_where_nothing_can_be_kept_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    assert "File exists" in keep(tmp_path / "state" / "top.json", Preferences("farm-light"))


async def test_a_name_is_copied() -> None:
    async with running(size=SIZE) as (app, pilot):
        await press(app, pilot, "2", "y")
        assert app.clipboard == "node-a1"
        assert "Copied: node-a1" in notes(app)
        await press(app, pilot, "5", "y")
        assert "no name under the cursor" in notes(app)
