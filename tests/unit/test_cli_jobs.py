from __future__ import annotations

import time

import pytest
from msgspec.structs import replace
from rich.console import Console

from farm.cli.jobs import JobFilter, happenings, jobs_table, line, where
from farm.view.live import Delta, Snapshot
from farm.view.status import Overview, SchedulerStatus
from farm.watch.activity import Job, JobPlace, JobState

DEV, PC01 = ("dev", "10.0.0.1"), ("pc01", "10.0.0.2")
PENDING = Job(1, JobState.PENDING, JobPlace.REMOTE, "src/a.cpp", DEV, requested=100.0)
RUNNING = replace(PENDING, state=JobState.RUNNING, node=PC01, begun=101.0)
DONE = replace(RUNNING, state=JobState.DONE, ended=103.0, real=1900, number=1)
FAILED = replace(DONE, state=JobState.FAILED, exit=255)
LOCAL = Job(2, JobState.RUNNING, JobPlace.FALLBACK, "a.o", DEV, DEV, begun=104.0)


def shown(*jobs: Job, width: int = 80) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(jobs_table(jobs, 105.0))
    return capture.get()


@pytest.mark.parametrize(
    ("chosen", "passing"),
    [
        (JobFilter(), [PENDING, RUNNING, DONE, FAILED, LOCAL]),
        (JobFilter(node="pc01"), [RUNNING, DONE, FAILED]),
        (JobFilter(node="10.0.0.2"), [RUNNING, DONE, FAILED]),
        (JobFilter(node="pc0"), []),
        (JobFilter(submitter="dev"), [PENDING, RUNNING, DONE, FAILED, LOCAL]),
        (JobFilter(states=frozenset([JobState.FAILED, JobState.PENDING])), [PENDING, FAILED]),
        (JobFilter(node="pc01", states=frozenset([JobState.PENDING])), []),
    ],
)
def test_filters(chosen: JobFilter, passing: list[Job]) -> None:
    assert passing == [job for job in (PENDING, RUNNING, DONE, FAILED, LOCAL) if chosen.passes(job)]


def test_what_an_update_tells_of_jobs() -> None:
    first = Snapshot(
        time=1.0,
        overview=Overview(farm="", farmd=False, scheduler=SchedulerStatus(True, "", "", 0.0, "")),
        nodes=[],
        jobs=[RUNNING],
        ended=[],
        samples=[],
    )
    assert [] == happenings(first, {}), "a snapshot tells what is, not what happens"
    assert [] == happenings(Delta(time=2.0, jobs=[PENDING]), {})
    assert [("begun", RUNNING)] == happenings(Delta(time=2.0, jobs=[RUNNING]), {1: PENDING})
    assert [] == happenings(Delta(time=2.0, jobs=[RUNNING]), {1: RUNNING}), "it has changed, not begun"
    both = Delta(time=3.0, jobs=[LOCAL], ended=[DONE])
    assert [("begun", LOCAL), ("ended", DONE)] == happenings(both, {1: RUNNING})
    assert [("lost", RUNNING)] == happenings(Delta(time=3.0, lost=[1, 9]), {1: RUNNING})


def test_what_had_begun_before_the_watching_is_no_news_and_has_no_time() -> None:
    seeded, waits = replace(RUNNING, requested=0.0, begun=0.0), replace(PENDING, requested=0.0)
    assert [] == happenings(Delta(time=3.0, jobs=[seeded, waits]), {})
    assert [("begun", RUNNING)] == happenings(Delta(time=3.0, jobs=[RUNNING]), {1: seeded})
    for job in (seeded, waits):
        assert "TIME" not in shown(job)
        assert [str(job.id), job.state, "dev", *([PC01[0]] * (job is seeded)), job.file] == shown(job).split()[5:]


def test_a_line_says_what_happened_to_a_job() -> None:
    at = time.mktime((2026, 3, 4, 12, 34, 56, 0, 0, -1))
    assert "12:34:56 begun 1 src/a.cpp  dev → pc01" == line("begun", RUNNING, at).plain
    assert "12:34:56 ended 1 src/a.cpp  dev → pc01 1.9 s" == line("ended", DONE, at).plain
    assert line("ended", FAILED, at).plain.endswith("1.9 s node dropped (255)")
    assert "12:34:56 begun 2 a.o  dev → (fallback)" == line("begun", LOCAL, at).plain


def test_the_table_tells_state_time_and_place() -> None:
    said = shown(PENDING, RUNNING, FAILED, LOCAL)
    assert "pending" in said
    assert "5s" in said
    assert "4s" in said
    assert "1.9 s" in said
    assert "node dropped (255)" in said
    assert "(fallback)" == where(LOCAL)
    assert all(len(each) <= 80 for each in said.splitlines())


def test_markup_in_a_file_name_is_just_text() -> None:
    job = replace(RUNNING, file="[bold]x[/nonsense].c")
    assert "[bold]x[/nonsense].c" in shown(job, width=120)
    assert "[bold]x[/nonsense].c" in line("begun", job, 0.0).plain
