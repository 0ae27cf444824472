from farm.scheduler.monitor import Connected, Disconnected
from farm.scheduler.protocol import (
    Event,
    JobBegun,
    JobDone,
    JobRequested,
    LocalBegun,
    LocalDone,
    NodeForged,
    NodeOffline,
    NodeStats,
)
from farm.workstation.run.own_calls import HereCall, OwnCalls
from farm.workstation.run.tally import NodeTally, Now, Tally

ME, OTHER, PC01 = 1, 2, 3


def stats(host: int, name: str) -> NodeStats:
    return NodeStats(host, name, f"10.77.0.{host}", 2, False, "x86_64", 43, (), 0.0, 0)


def done(job: int, code: int = 0, real: int = 100) -> JobDone:
    return JobDone(job, code, real, real // 2, real // 4, 0, 0, 0, 0, 0, from_submitter=False)


def tally(*events: Event | Connected | Disconnected) -> Tally:
    """Each event comes a second after the one before."""
    result = Tally("submitter-lab")
    seen = (Connected("10.77.0.1", 8765, 43), stats(ME, "submitter-lab"), stats(OTHER, "desk"), stats(PC01, "pc01"))
    for time, event in enumerate((*seen, *events), start=-len(seen)):
        result.fold(event, float(time))
    return result


def test_jobs_on_a_node() -> None:
    result = tally(
        JobRequested(1, ME, "a.c", 0),
        JobBegun(1, PC01, 0),
        done(1, real=100),
        JobRequested(2, ME, "b.c", 0),
        JobBegun(2, PC01, 0),
        done(2, code=255, real=300),
    )
    counts = result.counts(None)
    assert counts.nodes == {"pc01": NodeTally(jobs=2, failed=1, mean_ms=200)}
    assert (counts.local, counts.failed, counts.fallen, counts.remote_cpu_ms) == (0, 1, None, 300)
    assert (result.open(None), result.ready, result.gaps) == (False, True, 0)
    first = next(result.jobs(None))
    assert (first.requested, first.begun, first.ended, first.real) == (0.0, 1.0, 2.0, 100)


def test_jobs_of_others_do_not_count() -> None:
    result = tally(
        JobRequested(1, OTHER, "a.c", 0),
        JobBegun(1, PC01, 0),
        done(1),
        LocalBegun(2, OTHER, 0, "a.o"),
        LocalDone(2),
    )
    counts = result.counts(None)
    assert (counts.nodes, counts.local, result.changes) == ({}, 0, 0)


def test_local_jobs_and_those_given_back_to_the_submitter() -> None:
    result = tally(
        LocalBegun(1, ME, 0, "a.out"),
        LocalDone(1),
        JobRequested(2, ME, "a.c", 0),
        JobBegun(2, ME, 0),
        done(2),
    )
    counts = result.counts(None)
    assert (counts.nodes, counts.local, counts.local_ms, result.open(None)) == ({}, 2, 1100, False)


def test_a_job_keeps_its_node_when_that_goes_away() -> None:
    result = tally(
        JobRequested(1, ME, "a.c", 0),
        JobBegun(1, PC01, 0),
        NodeOffline(PC01),
        NodeOffline(99),
        done(1, code=255),
    )
    assert result.counts(None).nodes["pc01"].failed == 1


def test_a_job_that_never_began_is_on_no_node() -> None:
    result = tally(JobRequested(1, ME, "a.c", 0), done(1, code=107))
    assert (result.counts(None).nodes, result.open(None)) == ({}, False)


def test_a_lost_connection_leaves_a_gap() -> None:
    result = tally(JobRequested(1, ME, "a.c", 0), Disconnected("gone", 1.0))
    assert (result.open(None), result.ready, result.gaps, result.connected) == (False, False, 1, False)
    for event in (Connected("10.77.0.1", 8765, 43), stats(7, "submitter-lab"), LocalBegun(9, 7, 0, "a.o")):
        result.fold(event)
    assert (result.open(None), result.ready, result.gaps) == (True, True, 1)


def test_what_runs_now() -> None:
    result = tally(
        JobRequested(1, ME, "a.c", 0),
        JobRequested(2, ME, "b.c", 0),
        JobRequested(3, ME, "c.c", 0),
        JobBegun(1, PC01, 0),
        JobBegun(2, ME, 0),
        LocalBegun(4, ME, 0, "a.out"),
    )
    assert result.now(None) == Now(remote=1, nodes=1, local=2, waiting=1)
    assert result.now(OwnCalls(remote={1: "10.77.0.3"})) == Now(remote=1, nodes=1, local=0, waiting=1)


def test_of_two_builds_on_a_machine_each_counts_its_own() -> None:
    result = tally(
        JobRequested(1, ME, "src/a.c", 0),
        JobRequested(2, ME, "other/b.c", 0),
        JobBegun(1, PC01, 0),
        JobBegun(2, PC01, 0),
        done(1),
        done(2),
        LocalBegun(3, ME, 0, "/home/me/src/prog"),
        LocalBegun(4, ME, 0, "/home/me/other/tool"),
        LocalDone(3),
        LocalDone(4),
        JobRequested(5, ME, "other/c.c", 0),
    )
    own = OwnCalls(remote={1: "10.77.0.3"}, here=1, here_ms=70, made=[HereCall("prog", 8.0)])
    counts = result.counts(own)
    assert counts.nodes == {"pc01": NodeTally(jobs=1, failed=0, mean_ms=100)}
    assert (counts.local, counts.local_ms, counts.fallen) == (1, 70, 0)
    assert [job.id for job in result.jobs(own)] == [1, 3]
    assert (result.open(own), result.open(None)) == (False, True)


def test_the_log_knows_jobs_of_which_the_scheduler_told_nothing() -> None:
    own = OwnCalls(remote={7: "10.77.0.3", 8: "10.77.0.3", 9: "10.77.0.99"}, fallen={9})
    counts = tally(done(7, real=40)).counts(own)  # its begin was before the connection
    assert counts.nodes == {"10.77.0.99": NodeTally(1, 1), "pc01": NodeTally(jobs=2, failed=0, mean_ms=40)}
    assert (counts.failed, counts.fallen) == (1, 1)


def test_a_load_that_is_told_again_and_the_jobs_of_others_are_passed_over() -> None:
    before = tally().activity
    after = tally(stats(PC01, "pc01"), JobRequested(1, OTHER, "a.c", 0), JobBegun(1, PC01, 0), done(1)).activity
    assert before == after


def test_a_file_with_a_long_path_is_known_by_its_name() -> None:
    file = "a" * 200 + "/" + "b" * 200 + "/prog"
    result = tally(LocalBegun(1, ME, 0, file), LocalDone(1), LocalBegun(2, ME, 0, "x" * 300), LocalDone(2))
    assert [1] == [job.id for job in result.jobs(OwnCalls(here=1, made=[HereCall("prog", 0.0)]))]


def test_a_node_that_cannot_be_believed_has_no_name() -> None:
    result = tally(NodeForged(9), JobRequested(1, ME, "a.c", 0), JobBegun(1, 9, 0), done(1))
    assert {"unknown": NodeTally(jobs=1, failed=0, mean_ms=100)} == result.counts(None).nodes


def test_of_two_files_of_one_name_each_build_has_its_own() -> None:
    """Two builds link `prog` at a time: the log says when, and how long it took."""
    result = tally(
        LocalBegun(1, ME, 0, "/home/me/one/prog"),
        LocalBegun(2, ME, 0, "/home/me/two/prog"),
        LocalDone(1),
        LocalDone(2),
        LocalBegun(3, ME, 0, "/home/me/one/prog"),
        LocalDone(3),
    )
    first = OwnCalls(here=2, made=[HereCall("prog", 0.0, 2000), HereCall("prog", 4.0, 1000)])
    second = OwnCalls(here=1, made=[HereCall("prog", 1.0, 2000)])
    assert [1, 3] == [job.id for job in result.jobs(first)]
    again = tally(*[LocalBegun(n, ME, 0, "prog") for n in (1, 2)], LocalDone(1), LocalDone(2))
    assert {2} == again.claims(second)
    assert set() == tally(LocalBegun(1, ME, 0, "prog")).claims(OwnCalls(made=[HereCall("prog", 50.0)]))


def test_what_another_run_has_claimed_before_is_given_up_for_the_next_one() -> None:
    events = [LocalBegun(1, ME, 0, "prog"), LocalBegun(2, ME, 0, "prog"), LocalDone(1), LocalDone(2)]
    result, own = tally(*events), OwnCalls(made=[HereCall("prog", 0.0, 2000)])
    assert {1} == result.claims(own)
    assert result.give_up({1})
    assert {2} == result.claims(own)
    assert not result.give_up({1})
    assert [2] == [job.id for job in result.jobs(own)]
    assert result.give_up({2})
    assert set() == result.claims(own)
