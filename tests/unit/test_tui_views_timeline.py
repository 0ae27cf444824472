"""The timeline."""

from msgspec.structs import replace

from farm.view.live import Delta, Live
from farm.watch.activity import JobPlace, JobState
from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_views_host import Stage
from tui.job_detail import JobDetail
from tui.timeline import PIECE, SELF, TIMELINE_KINDS, TimelineView, bars, kind, lane
from tui.widgets.gantt import Gantt


def stage(live: Live | None = None) -> Stage:
    return Stage(TimelineView, fixtures.FakeAttachment(), live or fixtures.live())


def test_kinds_are_told_apart_without_colour() -> None:
    glyphs = [(each.head, each.glyph) for each in TIMELINE_KINDS.values()]
    assert len(glyphs) == len(set(glyphs))
    done = fixtures.ended()[0]
    assert ["remote", "own", "local", "fallback"] == [kind(replace(done, place=place)) for place in JobPlace]
    assert "failed" == kind(replace(done, state=JobState.FAILED))
    assert "lost" == kind(replace(done, state=JobState.RUNNING))


def test_local_jobs_have_a_lane_of_their_own() -> None:
    done = fixtures.ended()[0]
    assert (done.node, done.slot) == lane(done)
    assert (done.node, SELF) == lane(replace(done, place=JobPlace.LOCAL))
    assert (done.node, SELF) == lane(replace(done, place=JobPlace.FALLBACK))
    assert (done.node, done.slot) == lane(replace(done, place=JobPlace.OWN))
    assert [] == bars([replace(done, begun=0.0)])


async def test_shows_slots_and_submitters() -> None:
    app = stage()
    async with app.run_test(size=(120, 34)) as pilot:
        await pilot.pause()
        lines = app.text().splitlines()
        assert lines[1].startswith("alice-pc self ")
        assert "↺▞▞" in lines[1]
        assert lines[1].rstrip().endswith("▸")
        assert any(line.startswith("node-a1 8") for line in lines)
        assert sum(line.startswith("oldbox") for line in lines) == 4
        assert "✗░ failed" in lines[-1]


async def test_lanes_of_two_machines_of_one_name_are_told_apart() -> None:
    live = fixtures.live()
    node = next(node for node in live.nodes.values() if node.name == "oldbox")
    twin = replace(fixtures.with_login(node, address="10.0.9.9"), key="oldbox@10.0.9.9", address="10.0.9.9")
    live.apply(Delta(time=fixtures.NOW, nodes=[twin]))
    app = stage(live)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        lines = app.text().splitlines()
        assert sum(line.startswith("oldbox 10.0.9.9 ") for line in lines) == 4
        assert sum(line.startswith(f"oldbox {node.address} ") for line in lines) == 4


async def test_a_bar_is_picked() -> None:
    app = stage()
    async with app.run_test(size=(120, 34)) as pilot:
        await pilot.press("down", "down")
        assert "file048.cpp · done · 2.4 s · remote · bob-pc → node-a1" in app.text().splitlines()[-1]
        await pilot.press("enter")
        app.flush()
        await pilot.pause()
        assert isinstance(app.screen, JobDetail)
        assert "file048.cpp" in app.text()


async def test_scrolls_zooms_and_follows_again() -> None:
    app = stage()
    async with app.run_test(size=(80, 24)) as pilot:
        gantt = app.query_one(Gantt)
        await pilot.press("left")
        assert not gantt.following
        await pilot.press("plus")
        assert 0.5 == gantt.per_cell
        await pilot.press("f")
        assert gantt.following


async def test_a_job_beyond_the_slots_gets_a_lane() -> None:
    app = stage()
    async with app.run_test(size=(80, 40)) as pilot:
        job = replace(app.live.jobs[5000], id=7000, node=("newcomer", "10.0.0.9"), slot=2)
        app.live.apply(Delta(time=fixtures.NOW, jobs=[job]))
        app.flush()
        await pilot.pause()
        assert "newcomer 3" in app.text()


async def test_daemons_that_are_forgotten_leave_with_their_last_job() -> None:
    app = stage()
    async with app.run_test(size=(80, 40)) as pilot:
        (oldbox,) = (node for node in app.live.nodes.values() if node.name == "oldbox")
        app.live.apply(Delta(time=fixtures.NOW, gone=[oldbox.key], lost=[*app.live.jobs]))
        app.flush()
        await pilot.pause()
        assert "oldbox 1" in app.text()
        later = [
            replace(job, id=job.id + 5000, number=job.number + 60, begun=job.begun + 900, ended=job.ended + 900)
            for job in fixtures.ended()
            if job.node[0] != "oldbox"
        ]
        app.live.ended.clear()
        app.live.apply(Delta(time=fixtures.NOW + 900, ended=later))
        app.flush()
        await pilot.pause()
        assert "node-a1 1" in app.text()
        assert "oldbox" not in app.text()


async def test_many_jobs_are_added_piece_by_piece() -> None:
    app = stage()
    async with app.run_test(size=(80, 40)) as pilot:
        done = fixtures.ended()[0]
        many = [replace(done, id=10_000 + i, number=100 + i, begun=fixtures.NOW + i) for i in range(2 * PIECE + 1)]
        app.live.apply(Delta(time=fixtures.NOW, ended=many))
        gantt = app.query_one(Gantt)
        known = len(gantt._bars)
        app.flush()
        assert known + PIECE == len(gantt._bars)
        new = replace(done, id=7000, number=9000, node=("newcomer", "10.0.0.9"))
        app.live.apply(Delta(time=fixtures.NOW, ended=[new]))
        app.flush()
        assert gantt.lane is not None
        while known + len(many) >= len(gantt._bars):
            await pilot.pause(0.01)
        assert any(key == (new.node, new.slot) for key, _ in gantt._rows)


async def test_lanes_are_there_before_a_long_backlog_is() -> None:
    app = stage()
    done = fixtures.ended()[0]
    app.live.apply(
        Delta(time=fixtures.NOW, ended=[replace(done, id=10_000 + i, number=100 + i) for i in range(3 * PIECE)])
    )
    async with app.run_test(size=(80, 40)):
        assert "node-a1 1" in app.text()
        assert "no slots" not in app.text()


async def test_idle_lanes_are_hidden_and_shown() -> None:
    app = stage()
    async with app.run_test(size=(120, 40)) as pilot:
        assert "node-c1 1" in app.text()
        await pilot.press("h")
        assert "node-c1 1" not in app.text()
        assert "node-a1 1" in app.text()
        app.now += 3600
        app.flush()
        await pilot.pause()
        assert "node-a2 1" not in app.text()
        assert "node-a1 1" in app.text()
        await pilot.press("h")
        assert "node-c1 1" in app.text()
