"""One `farm run` is one build, whatever else its submitter does at the time."""

from __future__ import annotations

from contextlib import closing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.history import builds, stored_builds
from farm.history.build_history import BuildHistory
from farm.history.build_records import Build
from farm.history.builds import Ledger, moment, run_told
from farm.history.runs import MAX_CLAIMS, MAX_NAME, MAX_RUNS, QUIET_SECONDS, UNDECIDED_SECONDS, RunNews, Runs, told
from farm.watch.activity import Activity, Job, JobState
from tests.unit.history_jobs import START
from tests.unit.test_history_builds import job

A, B = "aaaaaaaa", "bbbbbbbb"


def news(run: str = A, *jobs: int, submitter: str = "ws01", **more: object) -> RunNews:
    return RunNews(submitter=submitter, run=run, name=f"name-{run[0]}", text="make", jobs=list(jobs), **more)  # type: ignore[arg-type]


def counted(ledger: Ledger) -> dict[str, int]:
    """Name → jobs, of the builds that are open or closed and not written."""
    bursts = (*ledger.open.values(), *ledger.closed)
    return {burst.build.name: burst.build.jobs for burst in bursts}


def after(ledger: Ledger, time: float, *running: Job) -> Ledger:
    """A second passes while these jobs run."""
    activity = Activity()
    for each in running:
        activity = replace(activity, jobs=activity.jobs.set(each.id, each))
    return moment(ledger, activity, activity, time - 1, time)


def test_a_run_is_a_build_with_a_name() -> None:
    ledger = run_told(Ledger(), news(), START - 5)
    assert {} == counted(ledger)
    ledger = builds.ended(builds.ended(ledger, job(1)), job(2, "ws02"))
    (mine,) = (burst.build for burst in ledger.open.values() if burst.build.name)
    assert ("name-a", "make", A, "ws01", 1) == (mine.name, mine.tag, mine.run, mine.submitter, mine.jobs)
    assert {"name-a": 1, "": 1} == counted(ledger)


def test_two_in_a_row_are_two_builds() -> None:
    ledger = builds.ended(run_told(Ledger(), news(), START - 5), job(1, ended=START))
    ledger = run_told(ledger, news(going=False), START + 1)
    ledger = builds.ended(ledger, job(2, ended=START + 3))  # something that it left behind
    ledger = run_told(ledger, news(B), START + 4)
    ledger = builds.ended(ledger, job(3, ended=START + 6))
    assert {"name-a": 2, "name-b": 1} == counted(ledger)
    assert {"name-a": 2, "name-b": 2} == counted(builds.ended(ledger, job(4, ended=START + 9)))


def test_of_two_at_a_time_each_has_its_own() -> None:
    ledger = run_told(run_told(Ledger(), news(), START - 9), news(B), START - 8)
    for number in range(1, 7):
        ledger = builds.ended(ledger, job(number))
    assert {} == counted(ledger)  # nobody has said yet whose they are
    ledger = run_told(ledger, news(A, 1, 3, 5, 6), START + 1)
    ledger = run_told(ledger, news(B, 2, 3), START + 1)
    assert {"name-a": 4, "name-b": 1} == counted(ledger)
    ledger = after(ledger, START + UNDECIDED_SECONDS + 1)
    assert {"name-a": 4, "name-b": 2} == counted(ledger)


def test_jobs_that_run_keep_open_the_build_whose_they_are() -> None:
    ledger = run_told(run_told(Ledger(), news(A, 1), START - 9), news(B), START - 8)
    running = [replace(job(number), state=JobState.RUNNING, ended=0.0) for number in (1, 2)]
    ledger = after(ledger, START + 1, *running)
    assert {"name-a": 0} == counted(ledger)
    assert START + 1 == next(iter(ledger.open.values())).build.ended


def test_a_run_that_compiles_nothing_for_long_stays_one_build() -> None:
    ledger = builds.ended(run_told(Ledger(), news(), START - 5), job(1))
    for second in range(1, 120, 10):
        ledger = after(run_told(ledger, news(), START + second), START + second + 1)
    ledger = builds.ended(ledger, job(2, ended=START + 120))
    assert {"name-a": 2} == counted(ledger)
    assert len(ledger.open) == 1
    ledger = run_told(ledger, news(going=False), START + 121)
    assert not after(ledger, START + 122 + QUIET_SECONDS).open


def test_a_run_that_was_killed_ends() -> None:
    ledger = builds.ended(run_told(Ledger(), news(), START - 5), job(1))
    ledger = after(after(ledger, START + 2 * QUIET_SECONDS), START + 2 * QUIET_SECONDS + 1)
    assert (0, Runs()) == (len(ledger.open), ledger.runs)


def test_what_was_asked_for_before_a_run_is_not_its() -> None:
    ledger = builds.ended(Ledger(), job(1, ended=START))
    ledger = run_told(ledger, news(), START + 4)
    early = replace(job(2, ended=START + 6), requested=START + 3)
    ledger = builds.ended(ledger, early)
    assert {"": 2} == counted(ledger)
    # Both go on now: the run says which are its own, and the others are not.
    ledger = builds.ended(ledger, job(3, ended=START + 7))
    ledger = builds.ended(run_told(ledger, news(A, 4), START + 7), job(4, ended=START + 7))
    ledger = after(ledger, START + 8 + UNDECIDED_SECONDS)
    assert {"": 3, "name-a": 1} == counted(ledger)


def test_a_run_without_a_log_gets_what_nobody_claims() -> None:
    ledger = run_told(run_told(Ledger(), news(A, claims=False), START - 9), news(B), START - 8)
    ledger = after(builds.ended(ledger, job(1)), START + UNDECIDED_SECONDS + 1)
    assert {"name-a": 1} == counted(ledger)


def test_nobody_claims_the_jobs_of_another_machine() -> None:
    ledger = run_told(Ledger(), news(A, 1, submitter="ws02"), START - 5)
    assert {"": 1} == counted(builds.ended(ledger, job(1)))


def test_a_job_is_the_first_runs_that_claims_it() -> None:
    with closing(BuildHistory(None)) as history:
        assert [] == history.run_told(news(A, 1, 2))
        assert [2] == history.run_told(news(B, 2, 3))
        assert [] == history.run_told(news(A, 1, 2))


def test_a_run_goes_on_in_a_later_process() -> None:
    ledger = builds.ended(run_told(Ledger(), news(), START - 5), job(1))
    details = [burst.detail() for burst in ledger.open.values()]
    again = stored_builds.resumed(Ledger(next=7), details, START + 3)
    again = builds.ended(again, job(2, ended=START + 4))
    again = builds.ended(run_told(again, news(), START + 5), job(3, ended=START + 7))
    (build,) = (burst.build for burst in again.open.values())
    assert (1, 3, "name-a") == (build.id, build.jobs, build.name)


def test_what_runs_tell_is_bounded_and_clean() -> None:
    runs = Runs()
    for number in range(MAX_RUNS + 9):
        runs = told(runs, news(f"{number:08x}"), START + number)
    assert MAX_RUNS == len(runs.known["ws01"])
    for first in range(0, MAX_CLAIMS + 400, 200):
        runs = told(runs, news(B, *range(first, first + 200)), START)
    assert MAX_CLAIMS >= len(runs.claimed) > MAX_CLAIMS // 2
    assert MAX_CLAIMS + 1 in runs.claimed
    for number in range(300):
        runs = told(runs, news(A, submitter=f"ws{number}"), START + number)
    assert 256 == len(runs.known)
    named = told(Runs(), RunNews(submitter="ws01", run=A, name="\x1b[1mx\n"), START)
    assert "[1mx" == named.known["ws01"][A].name


@pytest.mark.parametrize(
    "changes",
    [{"run": "../x"}, {"run": "A" * 8}, {"name": ""}, {"name": "x" * (MAX_NAME + 1)}, {"jobs": [-1]}, {"more": 1}],
)
def test_news_that_are_not_valid(changes: dict[str, object]) -> None:
    valid: dict[str, object] = {"submitter": "ws01", "run": A, "name": "zstd/make", "jobs": [1]}
    assert msgspec.convert(valid, RunNews)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**valid, **changes}, RunNews)


Step = tuple[str, int, bool]


@given(st.lists(st.tuples(st.sampled_from((A, B, "job", "tick")), st.integers(1, 12), st.booleans()), max_size=60))
def test_each_job_is_counted_once_whatever_comes_in_whichever_order(steps: list[Step]) -> None:
    ledger, time, jobs = Ledger(), START, 0
    for what, number, flag in steps:
        time += number / 4
        if what == "job":
            jobs += 1
            ledger = builds.ended(ledger, job(jobs, ended=time))
        elif what == "tick":
            ledger = after(ledger, time)
        else:
            ledger = run_told(ledger, news(what, jobs + number - 6 if jobs + number > 6 else 0, going=flag), time)
    ledger = after(ledger, time + UNDECIDED_SECONDS + 1)
    found: list[Build] = [burst.build for burst in (*ledger.open.values(), *ledger.closed)]
    assert jobs == sum(build.jobs for build in found)
    assert len({build.id for build in found}) == len(found)
