"""What a scheduler tells, folded: jobs, daemons, totals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from msgspec.structs import replace

from farm.scheduler.control import ListedJob, ListedNode
from farm.scheduler.monitor import Connected, Disconnected, Seeded
from farm.scheduler.protocol import JobBegun, JobRequested, LocalBegun, LocalDone, NodeForged, NodeOffline
from farm.watch.activity import (
    MAX_SAMPLES,
    NOBODY,
    Activity,
    Host,
    Job,
    JobPlace,
    JobState,
    Listed,
    Said,
    Tick,
    fold,
    stem,
)
from farm.watch.activity import jobs as job_folds
from tests.scheduler_says import done, stats

PC01 = ("pc01", "10.77.0.57")
PC02 = ("pc02", "10.77.0.58")
SERVER = ("server", "10.77.0.1")
START: list[Said] = [
    Connected("10.77.0.1", 8765, 43),
    stats(1),
    stats(2, *PC02),
    stats(9, *SERVER, 0),
]
AGAIN: list[Said] = [Disconnected("", 1.0), Connected("10.77.0.1", 8765, 43)]


def after(*events: Said, activity: Activity | None = None, time: float = 100.0) -> Activity:
    """Each event a second after the one before."""
    folded = activity or reduce(lambda so_far, event: fold(so_far, event, time), START, Activity())
    for number, event in enumerate(events, start=1):
        folded = fold(folded, event, time + number)
    return folded


def last(activity: Activity) -> Job:
    return activity.ended[activity.count]


def asked(job: int, file: str = "lua/src/lapi.c", submitter: int = 9) -> JobRequested:
    return JobRequested(job, submitter, file, 0)


def test_a_job_is_asked_for_begun_and_done() -> None:
    activity = after(asked(7))
    assert (JobState.PENDING, SERVER) == (activity.jobs[7].state, activity.jobs[7].submitter)
    assert activity.hosts[SERVER].pending == 1
    activity = after(asked(7), JobBegun(7, 1, 0))
    assert (JobState.RUNNING, PC01, 1.0) == (activity.jobs[7].state, activity.jobs[7].node, activity.jobs[7].waited)
    assert (1, 0) == (activity.hosts[PC01].running, activity.hosts[SERVER].pending)
    activity = after(asked(7), JobBegun(7, 1, 0), done(7))
    expected = Job(
        7, JobState.DONE, JobPlace.REMOTE, "lua/src/lapi.c", SERVER, PC01, 0, 0, 101.0, 102.0, 103.0, 0, 100, 80, 10, 5,
        400, 1000, 900, 2000, 1,
    )  # fmt: skip
    assert expected == last(activity)
    assert not activity.jobs
    host, totals = activity.hosts[PC01], activity.totals
    assert (0, 1, 0, 100) == (host.running, host.done, host.failed, host.busy_ms)
    assert (1, 1, 1, 0, 1.0) == (totals.requested, totals.begun, totals.done, totals.failed, totals.waited)


def test_a_job_that_its_submitter_was_given_itself_is_no_remote_one() -> None:
    assert after(asked(7, submitter=1), JobBegun(7, 1, 0)).jobs[7].place is JobPlace.OWN


def test_jobs_take_the_lowest_free_lane_of_a_node() -> None:
    begun = [event for job in (1, 2, 3) for event in (asked(job), JobBegun(job, 1, 0))]
    activity = after(*begun, done(2), asked(4), JobBegun(4, 1, 0), asked(5), JobBegun(5, 1, 0))
    assert {1: 0, 3: 2, 4: 1, 5: 3} == {job.id: job.slot for job in activity.jobs.values()}
    assert activity.hosts[PC01].taken == 0b1111


def test_after_a_node_failed_its_submitter_compiles_the_file_itself() -> None:
    events = [asked(7), JobBegun(7, 1, 0), done(7, exit=255), LocalBegun(8, 9, 0, "/home/u/lua/src/lapi.o")]
    activity = after(*events, LocalDone(8), LocalBegun(9, 9, 0, "/home/u/lua/src/lapi.o"))
    assert (JobState.FAILED, 255) == (activity.ended[1].state, activity.ended[1].exit)
    assert (JobPlace.FALLBACK, JobState.DONE, 1000) == (last(activity).place, last(activity).state, last(activity).real)
    assert activity.jobs[9].place is JobPlace.LOCAL
    totals, host = activity.totals, activity.hosts[SERVER]
    assert (1, 1, 2, 1) == (totals.failed, totals.fallback, totals.local_begun, totals.local)
    assert (2, 1, 1) == (host.local, host.fallback, host.local_running)
    assert after(*events, time=100.0).jobs[8].place is JobPlace.FALLBACK


def test_the_news_that_a_node_failed_may_come_after_its_submitter_has_begun() -> None:
    activity = after(asked(7), JobBegun(7, 1, 0), LocalBegun(8, 9, 0, "/home/u/lua/src/lapi.o"), done(7, exit=1))
    assert activity.jobs[8].place is JobPlace.FALLBACK
    assert (1, 1, 0) == (activity.totals.fallback, activity.hosts[SERVER].fallback, len(activity.failures))


def test_a_failure_long_ago_explains_nothing() -> None:
    activity = after(asked(7), JobBegun(7, 1, 0), done(7, exit=1))
    activity = fold(activity, LocalBegun(8, 9, 0, "lapi.o"), 9999.0)
    assert activity.jobs[8].place is JobPlace.LOCAL


def test_a_job_whose_client_went_away_never_ran() -> None:
    activity = after(asked(7), done(7, exit=107))
    assert (JobState.FAILED, ("", "")) == (last(activity).state, last(activity).node)
    assert activity.hosts[SERVER].pending == 0


def test_news_of_jobs_and_hosts_that_nobody_knows_is_borne() -> None:
    activity = after(done(99), LocalDone(98), JobBegun(97, 55, 0), NodeOffline(77))
    assert [97] == list(activity.jobs)
    assert activity.count == 0


def test_a_daemon_keeps_its_identity_over_its_logins() -> None:
    activity = after(asked(7), JobBegun(7, 1, 0), done(7), NodeOffline(1))
    assert (False, 104.0) == (activity.hosts[PC01].online, activity.hosts[PC01].since)
    activity = fold(activity, stats(33), 200.0)
    host = activity.hosts[PC01]
    assert (True, 200.0, 2, 1) == (host.online, host.since, host.logins, host.done)


def test_a_daemon_that_logged_in_anew_does_not_go_with_its_old_login() -> None:
    assert after(stats(33), NodeOffline(1)).hosts[PC01].online


def test_local_jobs_of_a_daemon_that_is_gone_are_lost() -> None:
    activity = after(LocalBegun(8, 9, 0, "a.o"), asked(1), JobBegun(1, 1, 0), NodeOffline(9))
    assert ([1], 1) == (list(activity.jobs), activity.totals.lost)


def test_local_jobs_are_lost_with_a_login_whose_end_is_told_after_the_next() -> None:
    """A machine was switched off and on before the scheduler noticed: it tells of the new login first."""
    activity = after(LocalBegun(8, 9, 0, "a.o"), asked(1), stats(10, *SERVER, 0), NodeOffline(9), done(1, 255))
    server = activity.hosts[SERVER]
    assert ({}, 1) == (dict(activity.jobs), activity.totals.lost)
    assert (True, 0, 0, 2) == (server.online, server.local_running, server.pending, server.logins)


def test_when_the_connection_is_lost_nothing_in_flight_is_known_any_more() -> None:
    activity = after(asked(1), asked(2), JobBegun(2, 1, 0), Disconnected("gone", 1.0))
    assert (False, "gone") == (activity.scheduler.up, activity.scheduler.why)
    assert (0, 2) == (len(activity.jobs), activity.totals.lost)
    assert not any(host.online or host.running or host.pending for host in activity.hosts.values())
    # Totals go on, and ids start anew.
    again = after(*START, asked(1), JobBegun(1, 1, 0), done(1), activity=activity)
    assert (1, 3) == (again.totals.done, again.totals.requested)


def test_jobs_in_flight_before_the_connection_come_from_the_control_port() -> None:
    listed = (
        ListedJob(5, "COMP", "server", "pc01", "a/b/c.c"),
        ListedJob(6, "PEND", "server", None, "a/b/d.c"),
        ListedJob(7, "COMP", "server", "pc01", "a/b/e.c"),
    )
    activity = after(asked(7), JobBegun(7, 1, 0), done(7), Seeded(listed, ()), JobBegun(6, 2, 0), done(5), done(6))
    assert not activity.jobs
    assert [7, 5, 6] == [activity.ended[number].id for number in (1, 2, 3)]
    assert [0, 0, 0] == [host.running for host in activity.hosts.values()]
    seeded = after(Seeded(listed, ()))
    assert (2, 1) == (seeded.hosts[PC01].running, seeded.hosts[SERVER].pending)
    assert seeded.jobs[5].begun == 0.0


def test_the_control_port_may_be_faster_than_the_monitor() -> None:
    listed = (ListedJob(5, "COMP", "server", "pc01", "c.c"), ListedJob(6, "PEND", "server", None, "d.c"))
    activity = after(Seeded(listed), asked(5), JobBegun(5, 1, 0), asked(6))
    assert (1, 1, 0) == (activity.hosts[PC01].running, activity.hosts[SERVER].pending, activity.totals.lost)
    assert (JobState.RUNNING, JobState.PENDING) == (activity.jobs[5].state, activity.jobs[6].state)


def test_a_name_that_several_daemons_have_says_nothing_of_who_compiles() -> None:
    listed = (ListedJob(5, "COMP", "server", "pc01", "c.c"), ListedJob(6, "COMP", "server", "gone", "d.c"))
    activity = after(stats(3, "pc01", "10.77.0.99"), Seeded(listed))
    assert [JobState.RUNNING] * 2 == [job.state for job in activity.jobs.values()]
    assert [NOBODY] * 2 == [job.node for job in activity.jobs.values()]
    assert not any(host.running or host.pending for host in activity.hosts.values())


def test_the_control_port_tells_who_installs_and_who_is_blocked() -> None:
    node = ListedNode("pc01", PC01[1], 10245, "x86_64", 1.0, 0, 4, 0, installing=30)
    activity = after(Listed((node,), ("pc02",)), time=200.0)
    assert (171.0, ("pc02",)) == (activity.hosts[PC01].installing, activity.scheduler.blocked)
    assert after(Listed((node,), ("pc02",)), activity=activity, time=205.0).hosts[PC01].installing == 171.0
    assert after(Listed((), ()), Listed((node,), ()), activity=activity).scheduler.blocked == ()


def test_every_second_is_sampled() -> None:
    activity = after(asked(1), JobBegun(1, 1, 0), asked(2), LocalBegun(3, 9, 0, "x"), *([Tick()] * (MAX_SAMPLES + 3)))
    sample = activity.samples[-1]
    assert (8, 1, 1, 1) == (sample.slots, sample.busy, sample.pending, sample.local)
    assert (len(activity.samples), sample.totals.requested) == (MAX_SAMPLES, 2)


def test_hostile_text_is_cleaned_once() -> None:
    name = "evil\x1b]0;x\x07" + "a" * 300
    activity = after(stats(5, name, "10.77.0.66"), asked(1, "\x1b[31m" + "y" * 500), LocalBegun(2, 5, 0, "\r\n"))
    host = next(host for host in activity.hosts.values() if host.address == "10.77.0.66")
    assert host.name.isprintable()
    assert len(host.name) == 128
    assert all(job.file.isprintable() and len(job.file) <= 256 for job in activity.jobs.values())


def test_a_burst_of_local_jobs_that_never_end_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_folds, "MAX_JOBS", 100)
    monkeypatch.setattr(job_folds, "MAX_ENDED", 50)
    activity = after(*(LocalBegun(number, 9, 0, f"{number}.o") for number in range(1000)))
    assert len(activity.jobs) <= 100
    assert activity.hosts[SERVER].local_running == len(activity.jobs)
    activity = after(*(LocalDone(number) for number in range(1000)), activity=activity)
    assert (0, 1000) == (activity.hosts[SERVER].local_running, activity.totals.local + activity.totals.lost)
    assert len(activity.ended) <= 50


class Unread(Mapping[int, Job]):
    """Jobs of which each may be looked at, but not all."""

    def __init__(self, jobs: Map[int, Job]) -> None:
        self.jobs = jobs

    def __getitem__(self, id: int) -> Job:
        return self.jobs[id]

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("an event looks at all jobs in flight")

    def set(self, id: int, job: Job) -> Unread:
        return Unread(self.jobs.set(id, job))

    def delete(self, id: int) -> Unread:
        return Unread(self.jobs.delete(id))


def test_no_event_of_a_job_or_a_daemon_looks_at_all_jobs() -> None:
    activity = after(*(LocalBegun(number, 9, 0, f"{number % 7}.o") for number in range(100, 200)), asked(1), asked(2))
    activity = replace(activity, jobs=Unread(activity.jobs))  # type: ignore[arg-type]  # all that folds need of a Map
    activity = after(
        JobBegun(1, 1, 0), done(1, 1), JobRequested(3, 9, "x/3.c", 0), JobBegun(3, 2, 0), done(3, 1), LocalDone(100),
        LocalBegun(201, 9, 0, "lapi.o"), LocalBegun(202, 1, 0, "a.o"), stats(7), NodeOffline(2), Tick(),
        activity=activity,
    )  # fmt: skip
    assert activity.totals.fallback == 2, "3.o, which was local already, and lapi.o"
    assert (activity.totals.lost, len(activity.jobs)) == (1, 101)


def test_a_daemon_that_leaves_takes_its_own_jobs_alone() -> None:
    begun = [LocalBegun(number, 1 if number % 2 else 2, 0, "a.o") for number in range(10, 20)]
    activity = after(*begun, JobRequested(1, 1, "a.c", 0), JobBegun(1, 2, 0), NodeOffline(1))
    assert {1, *range(10, 20, 2)} == set(activity.jobs)
    assert activity.totals.lost == 5


def test_source_and_object_share_a_stem() -> None:
    assert {"f00"} == {stem(file) for file in ("src/f00.cpp", "f00.o", "x/f00.cpp.o", "f00")}


IDS = st.integers(0, 4)
NAMES = st.sampled_from("abcx")
EVENTS = st.one_of(
    st.builds(JobRequested, IDS, IDS, st.text(max_size=5), IDS),
    st.builds(JobBegun, IDS, IDS, st.just(0)),
    st.builds(done, IDS, IDS),
    st.builds(LocalBegun, IDS, IDS, st.just(0), st.text(max_size=5)),
    st.builds(LocalDone, IDS),
    st.builds(stats, IDS, st.sampled_from("abc"), st.sampled_from(["10.0.0.1", "10.0.0.2"]), IDS),
    st.builds(NodeOffline, IDS),
    st.builds(Connected, st.just("h"), st.just(1), st.just(43)),
    st.builds(Disconnected, st.just("why"), st.just(1.0)),
    st.builds(Tick),
    st.builds(
        lambda *jobs: Seeded(jobs),
        *[st.builds(ListedJob, IDS, st.sampled_from(["PEND", "WAIT", "COMP"]), NAMES, NAMES | st.none(), NAMES)] * 2,
    ),
)


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=60))
def test_whatever_comes_the_counts_agree_with_the_jobs(events: list[Said]) -> None:
    activity = after(*events, activity=Activity())
    totals = activity.totals
    in_flight = list(activity.jobs.values())
    local = (JobPlace.LOCAL, JobPlace.FALLBACK)

    def of(host: Host) -> tuple[int, int, int]:
        running = [job for job in in_flight if job.node == host.key and job.state is JobState.RUNNING]
        pending = [job for job in in_flight if job.submitter == host.key and job.state is JobState.PENDING]
        remote = [job for job in running if job.place not in local]
        return len(remote), len(running) - len(remote), len(pending)

    for host in activity.hosts.values():
        if host.online:
            assert of(host) == (host.running, host.local_running, host.pending)
            assert host.taken.bit_count() == host.running
    made = {(job.node, job.id) for job in in_flight if job.place in local}
    assert made == {(key, id) for key, ids in activity.made.items() for id in ids}
    plain = {(job.node, stem(job.file), job.id) for job in in_flight if job.place is JobPlace.LOCAL}
    assert plain == {(*key, id) for key, ids in activity.local.items() for id in ids}
    assert activity.count == totals.done + totals.failed + totals.local
    for number in range(1, activity.count + 1):
        assert activity.ended[number].number == number


def test_daemons_that_send_each_other_away_are_told_from_one_that_comes_back() -> None:
    start, fight = after(Seeded()), list[Said]()
    for id in (7, 8, 9):
        fight += [NodeOffline(id - 1 if id > 7 else 1), stats(id)]
    now = start
    assert (now.hosts[PC01].evictions, now.hosts[PC01].logins) == (0, 1)
    for number, event in enumerate(fight):
        now = fold(now, event, 200.0 + number // 2 * 30)
    assert (now.hosts[PC01].evictions, now.hosts[PC01].evicted) == (3, 260.0)
    back = fold(fold(start, NodeOffline(1), 200.0), stats(7), 230.0)
    assert back.hosts[PC01].evictions == 0, "its iceccd was started again"
    unseen = fold(start, stats(7), 200.0)
    assert unseen.hosts[PC01].evictions == 1, "it booted before its last login was missed"
    assert fold(unseen, stats(8), 900.0).hosts[PC01].evictions == 1


def test_a_daemon_whose_text_is_forged_is_known_to_be_there_and_no_more() -> None:
    activity = after(NodeForged(66), NodeForged(66))
    assert [66] == list(activity.forged)
    assert PC01 in activity.hosts
    assert not after(NodeOffline(66), activity=activity).forged
    assert not after(Disconnected("gone", 1.0), activity=activity).forged


def test_what_was_there_before_is_told_from_what_is_seen() -> None:
    listed = (ListedJob(5, "PENDING", "server", None, "a.c"), ListedJob(6, "COMP", "server", "pc01", "b.c"))
    activity = after(Seeded(listed), stats(3, "pc03", "10.77.0.59"))
    assert [True, True, False] == [activity.hosts[key].found for key in (PC01, PC02, ("pc03", "10.77.0.59"))]
    again = after(*AGAIN, stats(1), Seeded(()), activity=activity, time=300.0)
    assert (True, 1) == (again.hosts[PC01].found, again.hosts[PC01].logins), "our connection is no login of its"
    seen = after(NodeOffline(1), stats(8), activity=again, time=400.0)
    assert (False, 2) == (seen.hosts[PC01].found, seen.hosts[PC01].logins)


def test_logins_that_were_seen_are_counted_and_those_that_were_not_are_not_denied() -> None:
    def known(activity: Activity) -> tuple[int, bool]:
        return activity.hosts[PC01].logins, activity.hosts[PC01].logins_missed

    watched = after(Connected("10.77.0.1", 8765, 43), Seeded(()), stats(1), activity=Activity())
    assert (1, False) == known(watched)
    watched = after(NodeOffline(1), stats(2), NodeOffline(2), stats(3), activity=watched)
    assert (3, False) == known(watched), "all were seen"
    # One of the same id may be the login that was seen, or one at a scheduler that was started again.
    same = after(*AGAIN, stats(3), Seeded(()), activity=watched)
    assert (3, True) == known(same)
    other = after(*AGAIN, stats(4), Seeded(()), activity=watched)
    assert (4, True) == known(other), "another id is another login"
    assert (5, True) == known(after(NodeOffline(4), stats(5), activity=other)), "what was missed once stays missed"
    assert (4, True) == known(after(*AGAIN, Seeded(()), stats(3), activity=watched)), "and this one was seen"


@given(st.permutations([asked(5), JobBegun(5, 1, 0), done(5), JobBegun(6, 2, 0), done(6), asked(7)]), st.integers(0, 6))
def test_no_more_begin_than_were_asked_for(events: list[Said], at: int) -> None:
    listed = (ListedJob(5, "PENDING", "server", None, "a.c"), ListedJob(6, "COMP", "server", "pc02", "b.c"))
    activity = after(*events[:at], Seeded(listed), *events[at:])
    totals = activity.totals
    assert totals.requested >= totals.begun
    assert totals.requested == totals.done + totals.failed + totals.lost + len(activity.jobs)
