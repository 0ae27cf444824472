"""The job stream and the page of a job."""

import pytest
from msgspec.structs import replace
from textual.widgets import Input

from farm.view.live import Delta, Live
from farm.watch.activity import Job, JobPlace, JobState
from tests.unit import tui_fixtures as fixtures
from tests.unit.tui_views_host import Stage
from tui.job_detail import Fact, JobDetail, facts, related, related_facts, why_failed
from tui.jobs import JobsView, NewJobs, took
from tui.widgets.stream import LiveStream

FAILED = replace(fixtures.ended()[39], requested=fixtures.NOW - 50, ended=fixtures.NOW - 44)
FALLBACK = replace(
    FAILED,
    id=9001,
    state=JobState.DONE,
    place=JobPlace.FALLBACK,
    file=FAILED.file.replace(".cpp", ".o"),
    node=FAILED.submitter,
    requested=fixtures.NOW - 43,
    begun=fixtures.NOW - 43,
    ended=fixtures.NOW - 40,
    exit=0,
    real=3000,
)


def stage(live: Live | None = None) -> Stage:
    return Stage(JobsView, fixtures.FakeAttachment(), live or fixtures.live())


def test_the_follower_tells_each_job_once() -> None:
    live = fixtures.live()
    follower = NewJobs(live)
    assert 70 == len(follower.news())
    assert [] == follower.news()
    job = live.jobs[5000]
    done = replace(job, state=JobState.DONE, ended=fixtures.NOW, real=900, number=61)
    live.apply(Delta(time=fixtures.NOW, ended=[done]))
    assert [done] == follower.news()


def test_a_job_that_vanishes_is_lost_not_running() -> None:
    live = fixtures.live()
    follower = NewJobs(live)
    follower.news()
    live.apply(Delta(time=fixtures.NOW + 1, lost=[5000]))
    (lost,) = follower.news()
    assert (5000, fixtures.NOW + 1, JobState.RUNNING) == (lost.id, lost.ended, lost.state)
    assert took(lost, fixtures.NOW + 9) is None


def test_how_long_a_job_runs_that_had_begun_before_the_watching_nobody_knows() -> None:
    found = replace(fixtures.live().jobs[5000], requested=0.0, begun=0.0)
    assert took(found, fixtures.NOW) is None
    assert "running, since before the watching began" == facts(found, fixtures.NOW)[2].text


def test_a_new_farmd_counts_anew() -> None:
    live = fixtures.live()
    follower = NewJobs(live)
    follower.news()
    again = [replace(job, number=index, requested=job.requested + 1000) for index, job in enumerate(live.ended, 1)][:9]
    live.apply(replace(fixtures.snapshot(), ended=again))
    assert {job.id for job in again} <= {job.id for job in follower.news()}


async def test_shows_jobs_newest_first() -> None:
    app = stage()
    async with app.run_test(size=(160, 30)) as pilot:
        await pilot.pause()
        text = app.text().splitlines()
        assert " 70 jobs · newest first · 10 in flight" == text[0].rstrip()
        assert "○ pending src/net/sock" in text[2]
        assert any("✗ failed  src/core/file060.cpp" in line and "exit 1" in line for line in text)
        assert any("▸ running src/core/part0.cpp" in line and "remote    500 ms      3s" in line for line in text)


async def test_the_order_is_called_what_it_is() -> None:
    app = stage()
    async with app.run_test(size=(90, 30)) as pilot:

        async def order(*keys: str) -> str:
            await pilot.press(*keys)
            app.flush()
            await pilot.pause()
            return app.text().splitlines()[0].split(" · ")[1].strip()

        assert "newest first" == await order()
        assert "oldest first" == await order("S")
        assert "by State, ascending" == await order("s")
        assert "by File, ascending" == await order("s")
        files = [line.split()[2] for line in app.text().splitlines()[2:20]]
        assert sorted(files) == files
        assert len({*files}) > 1
        assert "by File, descending" == await order("S")
        assert "by Took, descending" == await order("s", "s", "s", "s")
        assert "newest first" == await order("s", "s"), "as it was at first"


async def test_a_filter_is_typed_and_dropped() -> None:
    app = stage()
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("slash", *"state:fail exit:255", "enter")
        app.flush()
        await pilot.pause()
        assert " 1 of 70 match · newest first · 10 in flight" == app.text().splitlines()[0].rstrip()
        assert "file040.cpp" in app.text()
        assert isinstance(app.focused, LiveStream)
        await pilot.press("escape")
        assert 70 == len(app.query_one(LiveStream).shown)
        assert not app.query_one(Input).has_class("-open")


async def test_a_wrong_filter_says_so_and_keeps_the_last() -> None:
    app = stage()
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("slash", *"state:failed")
        await pilot.press(*" nod:x colour:y")
        assert "There is no term colour:" in app.text().splitlines()[0]
        assert 0 == len(app.query_one(LiveStream).shown)
        for _ in " colour:y":
            await pilot.press("backspace")
        assert "of 70 match" in app.text().splitlines()[0]


async def test_filtered_jobs_leave_when_they_no_longer_match() -> None:
    app = stage()
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("slash", *"state:running", "enter")
        stream = app.query_one(LiveStream)
        assert 7 == len(stream.shown)
        job = app.live.jobs[5000]
        done = replace(job, state=JobState.DONE, ended=fixtures.NOW, number=61)
        app.live.apply(Delta(time=fixtures.NOW, ended=[done]))
        app.flush()
        assert 6 == len(stream.shown)


async def test_paused_it_holds_still_and_counts() -> None:
    app = stage()
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("f")
        before = app.text().splitlines()[2:]
        new = [replace(job, id=job.id + 1000, requested=fixtures.NOW) for job in app.live.jobs.values()]
        app.live.apply(Delta(time=fixtures.NOW, jobs=new))
        app.flush()
        await pilot.pause()
        assert "paused, 10 new since: f follows" in app.text().splitlines()[0]
        assert before == app.text().splitlines()[2:]
        await pilot.press("f")
        assert 80 == len(app.query_one(LiveStream).shown)


async def test_what_ends_while_a_filtered_stream_is_held_is_not_left_running() -> None:
    app = stage()
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("slash", *"state:running", "enter", "f")
        new = replace(app.live.jobs[5000], id=7000, requested=fixtures.NOW, begun=fixtures.NOW)
        app.live.apply(Delta(time=fixtures.NOW, jobs=[new]))
        app.flush()
        app.live.apply(
            Delta(time=fixtures.NOW, ended=[replace(new, state=JobState.DONE, ended=fixtures.NOW, number=61)])
        )
        app.flush()
        await pilot.press("f")
        stream = app.query_one(LiveStream)
        assert stream.following
        assert 7 == len(stream.shown)


def test_of_many_that_ended_the_newest_are_told() -> None:
    live = fixtures.live()
    news = NewJobs(live).news(lambda job: job.place is JobPlace.REMOTE, 5)
    assert 5 == sum(job.number > 0 for job in news)
    assert all(job.place is JobPlace.REMOTE for job in news)
    assert max(job.number for job in news) == 60
    assert [job.requested for job in news] == sorted(job.requested for job in news)


async def test_a_job_whose_end_nobody_tells_does_not_run_for_ever() -> None:
    app = stage()
    async with app.run_test(size=(80, 24)) as pilot:
        job = app.live.jobs[5000]
        app.query_one(LiveStream).move_to((job.id, job.requested))
        await pilot.press("enter")
        app.flush()
        app.live.apply(Delta(time=fixtures.NOW + 1, lost=[5000]))
        app.flush()
        await pilot.pause()
        assert isinstance(app.screen, JobDetail)
        assert "lost: the scheduler or the submitter disconnected" in app.text()


async def test_a_job_opens_and_goes_on() -> None:
    app = stage()
    async with app.run_test(size=(80, 24)) as pilot:
        stream = app.query_one(LiveStream)
        job = app.live.jobs[5000]
        stream.move_to((job.id, job.requested))
        await pilot.press("enter")
        app.flush()
        await pilot.pause()
        assert isinstance(app.screen, JobDetail)
        assert "running for 3s" in app.text()
        assert "node-a1 (10.0.0.11), slot 1" in app.text()
        done = replace(job, state=JobState.FAILED, ended=fixtures.NOW + 1, exit=118, number=61)
        app.live.apply(Delta(time=fixtures.NOW + 1, ended=[done]))
        app.flush()
        await pilot.pause()
        assert "failed: node unusable (118)" in app.text()
        await pilot.press("escape")
        assert not isinstance(app.screen, JobDetail)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (255, "The scheduler lost the node"),
        (118, "port 10245"),
        (107, "disconnected"),
        (137, "signal 9"),
        (1, "compiler failed"),
    ],
)
def test_says_why_a_job_failed(code: int, words: str) -> None:
    assert words in why_failed(replace(FAILED, exit=code))
    assert "" == why_failed(replace(FAILED, state=JobState.DONE))


def test_what_followed_a_failure_is_the_fallback_and_back() -> None:
    others = [*fixtures.ended(), FAILED, FALLBACK]
    after = related(FAILED, others)
    before = related(FALLBACK, others)
    assert FALLBACK is after.fallback
    assert FAILED is before.cause
    assert (
        Fact("then", "the submitter compiled it itself: ended after 3.0 s; submitters do not report the result")
        == related_facts(FAILED, after, 0.0)[0]
    )
    assert "had failed: node dropped (255)" in related_facts(FALLBACK, before, 0.0)[0].text
    alone = related(FAILED, [])
    assert "did not compile it itself" in related_facts(FAILED, alone, 0.0)[0].text


def test_sizes_say_what_compression_saved() -> None:
    said = {fact.label: fact.text for fact in facts(fixtures.ended()[0], fixtures.NOW)}
    assert "927.7 KiB, sent as 175.8 KiB (19 %)" == said["in"]
    assert "2.0 s user, 150 ms system (90 % of real)" == said["processor"]
    assert "12" == said["page faults"]
    pending = Job(1, JobState.PENDING, JobPlace.REMOTE, "a.c", requested=fixtures.NOW - 4)
    said = {fact.label: fact.text for fact in facts(pending, fixtures.NOW)}
    assert "pending: waiting for a node for 4s" == said["state"]
    assert "in" not in said
