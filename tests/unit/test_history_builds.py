from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.history import builds
from farm.history.build_records import NodeShare, Wait
from farm.history.builds import (
    MAX_BUILD_FAILURES,
    MAX_BUILD_NODES,
    MAX_CLOSED,
    MAX_OPEN,
    MAX_SLOWEST,
    Burst,
    Ledger,
    moment,
    peak,
)
from farm.history.node_hours import HOUR, MAX_NODE_HOURS, OTHERS
from farm.history.runs import QUIET_SECONDS
from farm.scheduler.monitor import Disconnected
from farm.watch.activity import NOBODY, Activity, Job, JobPlace, JobState, fold
from tests.unit.history_jobs import START, asked, begun, compiled, daemons, ended, local

WS01, WS02 = ("ws01", "10.77.0.1"), ("ws02", "10.77.0.2")


def recorded(activity: Activity, ledger: Ledger | None = None, before: int = 0) -> Ledger:
    """The ledger after all jobs beyond ``before``."""
    ledger = ledger or Ledger()
    for number in range(before + 1, activity.count + 1):
        ledger = builds.ended(ledger, activity.ended[number])
    return ledger


def quiet(ledger: Ledger, time: float) -> Ledger:
    """Nothing is in flight."""
    return moment(ledger, Activity(), Activity(), time - 1, time)


def job(
    number: int, name: str = "ws01", node: str = "pc01", *, real: int = 100, ended: float = START, **more: object
) -> Job:
    place = more.pop("place", JobPlace.REMOTE)
    state = more.pop("state", JobState.DONE)
    return Job(
        number,
        state,  # type: ignore[arg-type]
        place,  # type: ignore[arg-type]
        f"f{number}.cpp",
        (name, "10.0.0.1"),
        (node, "10.0.0.2"),
        requested=ended - 1,
        begun=ended - 1,
        ended=ended,
        real=real,
        **more,  # type: ignore[arg-type]
    )


def only(ledger: Ledger) -> Burst:
    (burst,) = ledger.open.values()
    return burst


def test_a_build_adds_up_its_jobs() -> None:
    activity = daemons("ws01", "pc01", "pc02")
    activity = compiled(activity, 1, 1, 2, START + 3)
    activity = compiled(activity, 2, 1, 3, START + 4)
    activity = compiled(activity, 3, 1, 3, START + 5, exit=1)
    activity = compiled(activity, 4, 1, 1, START + 6)
    activity = local(activity, 5, 1, START + 7)

    burst = only(recorded(activity))
    build = burst.build

    assert (1, *WS01, True) == (build.id, build.submitter, build.address, build.open)
    assert (START + 1, START + 7, 6.0) == (build.started, build.ended, build.seconds)
    assert (3, 1, 1, 0, 1, 5) == (build.remote, build.own, build.local, build.fallback, build.failed, build.jobs)
    assert (1400, 320, 4000) == (build.real_ms, build.user_ms, build.waited_ms)
    assert (4000, 8000) == (build.in_bytes, build.out_bytes)
    assert pytest.approx(1400 / 6000) == build.parallelism
    detail = burst.detail()
    assert [
        NodeShare("pc02", 2, 1, 200, 4000),
        NodeShare("ws01", 2, 0, 1100, 2000),
        NodeShare("pc01", 1, 0, 100, 2000),
    ] == detail.nodes
    assert [("f5.o", "local", 1000), ("src/f1.cpp", "remote", 100)] == [
        (file.file, file.place, file.real_ms) for file in detail.slowest[:2]
    ]
    assert [("src/f3.cpp", "pc02", 1)] == [(file.file, file.node, file.exit) for file in detail.failures]


def test_jobs_of_nobody_are_work_of_their_node_alone() -> None:
    activity = begun(begun(daemons("ws01", "pc01"), 1, 2, START), 2, 2, START)
    ledger = moment(recorded(ended(activity, 1, START + 1)), activity, activity, START, START + 1)

    assert not ledger.open
    assert [1] == [share.jobs for share in ledger.hours.values()]


def test_a_fallback_is_a_local_job_too() -> None:
    activity = compiled(daemons("ws01", "pc01"), 7, 1, 2, START + 3, exit=118)
    build = only(recorded(local(activity, 7, 1, START + 5))).build

    assert (1, 1, 1, 1) == (build.remote, build.failed, build.local, build.fallback)


def test_a_build_ends_when_it_has_been_quiet() -> None:
    ledger = recorded(compiled(daemons("ws01", "pc01"), 1, 1, 2, START))

    assert quiet(ledger, START + QUIET_SECONDS).open
    over = quiet(ledger, START + QUIET_SECONDS + 1)

    assert not over.open
    assert [(1, False, START)] == [(burst.build.id, burst.build.open, burst.build.ended) for burst in over.closed]


def test_the_next_burst_is_another_build_even_if_nobody_looked_meanwhile() -> None:
    activity = compiled(daemons("ws01", "pc01"), 1, 1, 2, START)
    ledger = recorded(compiled(activity, 2, 1, 2, START + 100))

    assert [1] == [burst.build.id for burst in ledger.closed]
    assert 2 == only(ledger).build.id


def test_submitters_have_builds_of_their_own() -> None:
    activity = compiled(daemons("ws01", "ws02", "pc01"), 1, 1, 3, START)
    ledger = recorded(compiled(activity, 2, 2, 3, START))

    assert {WS01: 1, WS02: 2} == {key: burst.build.id for key, burst in ledger.open.items()}


def test_a_job_in_flight_begins_a_build_and_keeps_it_open() -> None:
    activity = begun(asked(daemons("ws01", "pc01"), 1, 1, START), 1, 2, START + 1)
    ledger = moment(Ledger(), activity, activity, START + 1, START + 2)
    for second in range(3, 600):
        ledger = moment(ledger, activity, activity, START + second - 1, START + second)

    build = only(ledger).build
    assert (1, START, START + 599, 0, True) == (build.id, build.started, build.ended, build.jobs, build.open)
    ledger = recorded(ended(activity, 1, START + 600), ledger)
    assert (1, 1, START + 600) == ((build := only(ledger).build).id, build.jobs, build.ended)


def test_a_clock_set_back_closes_what_lies_in_the_future() -> None:
    ledger = recorded(compiled(daemons("ws01", "pc01"), 1, 1, 2, START))

    assert not quiet(ledger, START - 1e9).open
    assert 1 == len(quiet(ledger, START + 1e9).closed)


def test_a_local_job_over_which_the_clock_was_set_back_took_no_time() -> None:
    burst = only(recorded(local(daemons("ws01"), 1, 1, START, seconds=-3600.0)))

    assert (0, 1) == (burst.build.real_ms, burst.build.local)


def test_jobs_in_flight_stay_in_one_build_when_the_clock_is_set_back() -> None:
    activity = daemons("ws01", "pc01", slots=8)
    for number in range(5):
        activity = begun(asked(activity, number, 1, START), number, 2, START)
    ledger = moment(Ledger(), activity, activity, START, START + 1)
    for number in range(5):
        before, activity = activity, ended(activity, number, START - 1e6 + number)
        ledger = recorded(activity, ledger, before.count)
        ledger = moment(ledger, before, activity, START - 1e6 + number - 1, START - 1e6 + number)

    assert sum(burst.build.jobs for burst in (*ledger.closed, *ledger.open.values())) == 5
    assert len(ledger.closed) + len(ledger.open) <= 2


def test_jobs_without_an_end_are_lost() -> None:
    before = asked(asked(daemons("ws01", "pc01"), 1, 1, START), 2, 1, START)
    ledger = moment(Ledger(), before, before, START, START + 1)
    after = fold(ended(before, 2, START + 1.5), Disconnected("gone", 1.0), START + 2)
    ledger = moment(recorded(after, ledger), before, after, START + 1, START + 2)

    assert (1, 1) == (only(ledger).build.lost, only(ledger).build.jobs)


def test_most_counts_what_ran_at_one_time_between_two_looks() -> None:
    before = daemons("ws01", "pc01", slots=8)
    activity = before
    for number in range(6):  # three at a time, all over within the second
        activity = begun(asked(activity, number, 1, START), number, 2, START + 0.3 * (number // 3) + 0.1)
        if number % 3 == 2:
            for each in range(number - 2, number + 1):
                activity = ended(activity, each, START + 0.3 * (number // 3) + 0.2)
    ledger = moment(recorded(activity), before, activity, START, START + 1)

    assert 3 == only(ledger).build.most


def test_most_counts_what_goes_on_from_look_to_look() -> None:
    first = begun(asked(daemons("ws01", "pc01"), 1, 1, START), 1, 2, START)
    second = begun(asked(first, 2, 1, START), 2, 2, START + 1.5)
    ledger = moment(Ledger(), first, first, START, START + 1)
    ledger = moment(ledger, first, second, START + 1, START + 2)

    assert 2 == only(ledger).build.most


def test_a_jobs_end_makes_room_for_the_next_begin() -> None:
    assert 1 == peak(1, [(2.0, 1), (2.0, -1)])


@given(st.integers(0, 5), st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20))))
def test_peak_is_the_most_at_any_time(running: int, spans: list[tuple[int, int]]) -> None:
    changes = [each for begin, long in spans for each in ((float(begin), 1), (float(begin + long), -1))]

    most = max((sum(begin <= time < begin + long for begin, long in spans) for time in range(41)), default=0)

    assert running + most == peak(running, changes)


# -- who waited for whom


def test_waiting_falls_to_those_who_hold_slots() -> None:
    activity = daemons("ws01", "ws02", "ws03", "pc01", slots=8)
    for number, submitter in enumerate((1, 2, 2, 3)):
        activity = begun(asked(activity, number, submitter, START), number, 4, START)
    activity = asked(asked(activity, 10, 1, START), 11, 1, START)

    ledger = moment(Ledger(), activity, activity, START, START + 1)
    ledger = moment(ledger, activity, activity, START + 1, START + 2)

    assert [Wait("ws02", 2.0), Wait("ws03", 1.0)] == ledger.open[WS01].detail().waits
    assert [] == ledger.open[WS02].detail().waits


def test_jobs_of_unknown_submitters_hold_slots_as_others() -> None:
    activity = begun(asked(daemons("ws01", "ws02", "pc01"), 1, 2, START), 1, 3, START)
    activity = replace(activity, jobs=activity.jobs.set(1, replace(activity.jobs[1], submitter=NOBODY)))
    activity = asked(activity, 2, 1, START)

    burst = moment(Ledger(), activity, activity, START, START + 1).open[WS01]

    assert [Wait(OTHERS, 1.0)] == burst.detail().waits


def test_who_is_alone_waits_for_nobody() -> None:
    activity = begun(asked(asked(daemons("ws01", "pc01"), 1, 1, START), 2, 1, START), 1, 2, START)

    assert [] == only(moment(Ledger(), activity, activity, START, START + 1)).detail().waits


def test_nobody_is_blamed_while_nothing_was_watched() -> None:
    activity = asked(begun(asked(daemons("ws01", "ws02", "pc01"), 1, 2, START), 1, 3, START), 2, 1, START)

    for time in (START + 1e9, START - 1e9):
        waits = moment(Ledger(), activity, activity, START, time).open[WS01].waits
        assert waits.get("ws02", 0.0) <= builds.LONGEST_MOMENT


def test_all_waiting_is_given_to_somebody() -> None:
    number = 100
    activity = daemons("pc01", *(f"ws{each:03}" for each in range(number)), slots=400)
    for each in range(number):
        activity = begun(asked(activity, each, each + 2, START), each, 1, START)
        activity = asked(activity, 1000 + each, each + 2, START)

    ledger = moment(Ledger(), activity, activity, START, START + 1)

    for burst in ledger.open.values():
        assert len(burst.waits) <= builds.MAX_BLAMED + 1
        assert pytest.approx((number - 1) / number) == sum(burst.waits.values())


# -- bounds


def test_lists_are_bounded() -> None:
    ledger = Ledger()
    for number in range(3 * MAX_BUILD_FAILURES):
        ledger = builds.ended(ledger, job(number, real=number, state=JobState.FAILED, exit=1))
    burst = only(ledger)

    assert list(range(299, 299 - MAX_SLOWEST, -1)) == [file.real_ms for file in burst.slowest]
    assert [f"f{number}.cpp" for number in range(200, 300)] == [file.file for file in burst.failures]
    assert 300 == burst.build.failed


def test_a_flood_of_submitters_ends_in_one_build() -> None:
    ledger = Ledger()
    for number in range(2 * MAX_OPEN):
        ledger = builds.ended(ledger, job(number, f"ws{number}"))

    assert MAX_OPEN + 1 == len(ledger.open)
    assert MAX_OPEN == ledger.open[OTHERS, ""].build.jobs


def test_a_flood_of_nodes_ends_in_one_share() -> None:
    ledger = Ledger()
    for number in range(MAX_BUILD_NODES + 50):
        ledger = builds.ended(ledger, job(number, node=f"pc{number}"))

    assert MAX_BUILD_NODES + 1 == len(only(ledger).nodes)
    assert 50 == only(ledger).nodes[OTHERS].jobs


def test_closed_builds_that_nobody_writes_are_bounded() -> None:
    ledger = Ledger()
    for number in range(MAX_CLOSED + 10):
        ledger = builds.ended(ledger, job(number, ended=START + 100 * number))

    assert MAX_CLOSED == len(ledger.closed)
    assert MAX_CLOSED + 9 == ledger.closed[-1].build.id


# -- hours


def test_hours_count_what_the_scheduler_placed() -> None:
    hour = int(START // HOUR) * HOUR
    ledger = builds.ended(Ledger(), job(1, ended=hour + 1.0))
    ledger = builds.ended(ledger, job(2, ended=hour + 2.0, state=JobState.FAILED, exit=1))
    ledger = builds.ended(ledger, job(3, ended=hour + 3.0, node="ws01", place=JobPlace.LOCAL))
    ledger = builds.ended(ledger, job(4, ended=hour + 3600.0))

    assert {
        (hour, "pc01"): NodeShare("pc01", 2, 1, 200, 0),
        (hour + HOUR, "pc01"): NodeShare("pc01", 1, 0, 100, 0),
    } == dict(ledger.hours)


def test_hours_that_nobody_writes_are_bounded() -> None:
    ledger = Ledger()
    for number in range(MAX_NODE_HOURS + 10):
        ledger = builds.ended(ledger, job(number, node=f"pc{number}"))
    assert MAX_NODE_HOURS + 1 == len(ledger.hours)
    assert 10 == sum(share.jobs for (_, node), share in ledger.hours.items() if node == OTHERS)

    ledger = builds.ended(ledger, job(1, ended=START + HOUR))
    assert 1 == len(ledger.hours)
