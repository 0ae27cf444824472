"""The stream of records: bounded, followed, paused."""

from msgspec import Struct
from textual import events
from textual.app import App, ComposeResult

from tui.widgets.columns import Column
from tui.widgets.stream import LiveStream
from tui.widgets.table import LiveTable


class Job(Struct, frozen=True):
    id: int
    state: str = "running"


COLUMNS = [
    Column[Job](name="id", title="Job", width=6, align="right", cell=lambda j: str(j.id), value=lambda j: j.id),
    Column[Job](name="state", title="State", width=10, cell=lambda j: j.state, value=lambda j: j.state),
]


class Streams(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[bool] = []
        self.moved = 0

    def compose(self) -> ComposeResult:
        yield LiveStream(COLUMNS, key=lambda j: j.id, limit=100)

    @property
    def stream(self) -> LiveStream[Job]:
        return self.query_one(LiveStream)

    def on_live_stream_followed(self, message: LiveStream.Followed) -> None:
        self.told.append(message.following)

    def on_live_table_moved(self, message: LiveTable.Moved) -> None:
        self.moved += 1


def shows(app: Streams) -> list[str]:
    stream = app.stream
    return ["".join(segment.text for segment in stream.draw(y)).strip() for y in range(1, stream.size.height)]


async def test_keeps_the_newest_and_shows_them() -> None:
    app = Streams()
    async with app.run_test(size=(40, 10)) as pilot:
        for start in range(0, 250, 50):
            app.stream.append(Job(i) for i in range(start, start + 50))
            await pilot.pause()
            assert start + 49 == app.stream.cursor
            assert shows(app)[-1].startswith(f"{start + 49} ")
        assert 100 == len(app.stream.rows) == len(app.stream.shown)
        assert [150, 249] == [app.stream.shown[0][0], app.stream.shown[-1][0]]
        assert 5 == app.moved
        app.stream.clear_records()
        await pilot.pause()
        assert "nothing yet" == shows(app)[1]


async def test_a_record_changes_in_its_place() -> None:
    app = Streams()
    async with app.run_test(size=(40, 10)) as pilot:
        app.stream.append(Job(i) for i in range(5))
        app.stream.append([Job(3, "failed")])
        await pilot.pause()
        assert "3 failed" == shows(app)[3]
        assert 4 == app.stream.cursor


async def test_leaving_the_newest_pauses() -> None:
    app = Streams()
    async with app.run_test(size=(40, 10)) as pilot:
        app.stream.append(Job(i) for i in range(50))
        await pilot.press("up", "up")
        assert not app.stream.following
        held = shows(app)
        app.stream.append(Job(i) for i in range(50, 200))
        await pilot.pause()
        assert held == shows(app)
        assert 47 == app.stream.cursor
        assert 150 == app.stream.missed
        await pilot.press("end")
        assert app.stream.following
        assert 199 == app.stream.cursor
        await pilot.press("f")
        app.stream.append([Job(200)])
        assert 199 == app.stream.cursor
        await pilot.press("f")
        assert 200 == app.stream.cursor
        assert [False, True, False, True] == app.told


async def test_the_newest_may_be_first_and_a_sorted_stream_goes_on() -> None:
    app = Streams()
    async with app.run_test(size=(40, 10)) as pilot:
        app.stream.append(Job(i) for i in range(50))
        await pilot.press("S")
        app.stream.append([Job(50)])
        await pilot.pause()
        assert shows(app)[0].startswith("50 ")
        assert 50 == app.stream.cursor
        await pilot.press("S", "s")
        await pilot.press("home")
        assert app.stream.following
        app.stream.append([Job(-1)])
        await pilot.pause()
        assert 0 == app.stream.cursor
        assert -1 == app.stream.shown[0][0]


async def test_resized_and_back() -> None:
    app = Streams()
    async with app.run_test(size=(80, 24)) as pilot:
        app.stream.append(Job(i, "\x1b[2J[red]名" * 20) for i in range(50))
        await pilot.pause()
        before = shows(app)
        await pilot.resize_terminal(40, 10)
        app.stream.append([])
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert before == shows(app)


async def test_scrolling_back_pauses() -> None:
    app = Streams()
    async with app.run_test(size=(40, 10)) as pilot:
        app.stream.append(Job(i) for i in range(50))
        await pilot.pause()
        app.stream.post_message(events.MouseScrollUp(app.stream, 5, 5, 0, -1, 0, False, False, False))
        await pilot.pause()
        assert not app.stream.following
        app.stream.filter = lambda job: job.id < 10
        await pilot.pause()
        assert 10 == len(app.stream.shown)
