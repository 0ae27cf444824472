"""The timeline."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.view.live import Delta, Live
from farm.watch.activity import Job, JobPlace, JobState
from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_views_host import Stage
from tui.job_detail import JobDetail
from tui.job_lanes import MAX_LOCAL_LANES, TIMELINE_KINDS, JobLanes, LocalLanes, kind
from tui.timeline import PIECE, TimelineView
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


def lane(job: Job) -> object:
    return JobLanes(Live()).bars([job])[0].lane


def test_local_jobs_have_lanes_of_their_own() -> None:
    done = fixtures.ended()[0]
    assert (done.node, done.slot) == lane(done)
    assert (done.node, -1) == lane(replace(done, place=JobPlace.LOCAL))
    assert (done.node, -1) == lane(replace(done, place=JobPlace.FALLBACK))
    assert (done.node, done.slot) == lane(replace(done, place=JobPlace.OWN))
    assert [] == JobLanes(Live()).bars([replace(done, begun=0.0)])


def local(id: int, begun: float, ended: float = 0.0) -> Job:
    return Job(id, JobState.RUNNING, JobPlace.LOCAL, "a.o", fixtures.ALICE, fixtures.ALICE, begun=begun, ended=ended)


def test_local_jobs_that_overlap_are_in_several_lanes() -> None:
    lanes = LocalLanes()
    assert [0, 1, 0] == [lanes.place(job) for job in (local(1, 10), local(2, 11), local(1, 10, 12))]
    assert [0, 2, 1] == [lanes.place(job) for job in (local(3, 12), local(4, 13, 14), local(2, 11, 15))]
    assert 3 == len(lanes)


@given(st.lists(st.tuples(st.floats(1, 50), st.floats(0.1, 20)), max_size=60))
def test_no_local_job_hides_another(shapes: list[tuple[float, float]]) -> None:
    lanes = LocalLanes()
    placed: list[tuple[int, Job]] = []
    for number, (begun, seconds) in enumerate(sorted(shapes)):
        job = local(number, begun, begun + seconds)
        placed.append((lanes.place(job), job))
    for lane, job in placed:
        if lane < MAX_LOCAL_LANES - 1:
            beside = [other for where, other in placed if where == lane and other is not job]
            assert all(other.ended <= job.begun or job.ended <= other.begun for other in beside)


async def test_shows_slots_and_submitters_in_groups() -> None:
    app = stage()
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.pause()
        lines = app.text().splitlines()
        alice, bob = (
            next(i for i, line in enumerate(lines) if line.startswith(f"  {name}-pc ")) for name in ("alice", "bob")
        )
        assert lines[alice].rstrip().endswith("▸")
        assert "↺▞▞" in lines[alice]
        first = next(i for i, line in enumerate(lines) if line.startswith("▾ node-a1"))
        assert first < alice < bob, "those that only submit come last"
        assert ["1", "2", "3", "4", "5", "6", "7", "8"] == [lines[first + n].split()[0] for n in range(1, 9)]
        assert "▄" in lines[first], "half of its lanes are busy"
        assert "✗░ failed" in lines[-2]


async def test_a_node_is_folded_and_unfolded() -> None:
    app = stage()
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.press("enter")
        lines = app.text().splitlines()
        first = next(i for i, line in enumerate(lines) if "node-a1" in line)
        assert lines[first].startswith("▸ node-a1")
        assert lines[first + 1].startswith("▾ node-a2")
        await pilot.press("z", "down", "down", "z")
        lines = app.text().splitlines()
        assert lines[first].startswith("▸ node-a1"), "the key folds the node of the lane"
        assert (("node-a1", "10.0.0.11")) == app.query_one(Gantt).lane
        await pilot.press("Z")
        assert not any(line.startswith("▾") for line in app.text().splitlines())
        await pilot.press("Z")
        assert "▾ node-a1" in app.text()
        await pilot.click(Gantt, offset=(3, first))
        assert "▸ node-a1" in app.text()


async def test_jobs_are_coloured_by_submitter_or_by_result() -> None:
    app = stage()
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.press("w")
        lines = app.text().splitlines()
        assert "A██ alice-pc  B██ bob-pc  ✗░ failed" in lines[-2]
        assert any("Bpart0.cpp" in line or "B██" in line for line in lines[1:-2])
        await pilot.press("w")
        assert "██ remote" in app.text().splitlines()[-2]


async def test_lanes_of_two_machines_of_one_name_are_told_apart() -> None:
    live = fixtures.live()
    node = next(node for node in live.nodes.values() if node.name == "oldbox")
    twin = replace(fixtures.with_login(node, address="10.0.9.9"), key="oldbox@10.0.9.9", address="10.0.9.9")
    live.apply(Delta(time=fixtures.NOW, nodes=[twin]))
    app = stage(live)
    async with app.run_test(size=(120, 60)) as pilot:
        await pilot.pause()
        lines = app.text().splitlines()
        assert 1 == sum(line.startswith("▾ oldbox 10.0.9.9 ") for line in lines)
        assert 1 == sum(line.startswith(f"▾ oldbox {node.address} ") for line in lines)


async def test_a_bar_is_picked() -> None:
    app = stage()
    async with app.run_test(size=(120, 34)) as pilot:
        await pilot.press("down", "down", "left_square_bracket")
        assert "file057.cpp · done · 2.4 s · remote · bob-pc → node-a1" in app.text().splitlines()[-1]
        await pilot.press("enter")
        app.flush()
        await pilot.pause()
        assert isinstance(app.screen, JobDetail)
        assert "file057.cpp" in app.text()


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
        assert "▾ newcomer" in app.text()


async def test_daemons_that_are_forgotten_leave_with_their_last_job() -> None:
    app = stage()
    async with app.run_test(size=(80, 40)) as pilot:
        (oldbox,) = (node for node in app.live.nodes.values() if node.name == "oldbox")
        app.live.apply(Delta(time=fixtures.NOW, gone=[oldbox.key], lost=[*app.live.jobs]))
        app.flush()
        await pilot.pause()
        assert "oldbox" in app.text()
        later = [
            replace(job, id=job.id + 5000, number=job.number + 60, begun=job.begun + 900, ended=job.ended + 900)
            for job in fixtures.ended()
            if job.node[0] != "oldbox"
        ]
        app.live.ended.clear()
        app.live.apply(Delta(time=fixtures.NOW + 900, ended=later))
        app.flush()
        await pilot.pause()
        assert "node-a1" in app.text()
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
        assert any(row.key == (new.node, new.slot) for row in gantt._rows)


async def test_lanes_are_there_before_a_long_backlog_is() -> None:
    app = stage()
    done = fixtures.ended()[0]
    app.live.apply(
        Delta(time=fixtures.NOW, ended=[replace(done, id=10_000 + i, number=100 + i) for i in range(3 * PIECE)])
    )
    async with app.run_test(size=(80, 40)):
        assert "node-a1" in app.text()
        assert "no slots" not in app.text()


async def test_idle_lanes_are_hidden_and_shown() -> None:
    app = stage()
    async with app.run_test(size=(120, 40)) as pilot:
        assert "node-c1" in app.text()
        await pilot.press("h")
        assert "node-c1" not in app.text()
        assert "node-a1" in app.text()
        app.now += 3600
        app.flush()
        await pilot.pause()
        assert "node-a2" not in app.text()
        assert "node-a1" in app.text()
        await pilot.press("h")
        assert "node-c1" in app.text()
