from farm.scheduler.monitor import Connected, Disconnected
from farm.scheduler.protocol import (
    Event,
    JobBegun,
    JobDone,
    JobRequested,
    LocalBegun,
    LocalDone,
    NodeOffline,
    NodeStats,
)
from farm.workstation.tally import NodeTally, Tally

ME, OTHER, PC01 = 1, 2, 3


def stats(host: int, name: str) -> NodeStats:
    return NodeStats(host, name, f"10.77.0.{host}", 2, False, "x86_64", 43, (), 0.0, 0)


def done(job: int, code: int = 0, real: int = 100) -> JobDone:
    return JobDone(job, code, real, 0, 0, 0, 0, 0, 0, 0, from_submitter=False)


def tally(*events: Event | Connected | Disconnected) -> Tally:
    result = Tally("submitter-lab")
    for event in (Connected("10.77.0.1", 8765, 43), stats(ME, "submitter-lab"), stats(OTHER, "desk"), *events):
        result.fold(event)
    return result


def test_jobs_on_a_node() -> None:
    result = tally(
        stats(PC01, "pc01"),
        JobRequested(1, ME, "a.c", 0),
        JobBegun(1, PC01, 0),
        done(1, real=100),
        JobRequested(2, ME, "b.c", 0),
        JobBegun(2, PC01, 0),
        done(2, code=255, real=300),
    )
    assert result.nodes == {"pc01": NodeTally(jobs=2, failed=1, mean_ms=200)}
    assert (result.local, result.pending, result.ready, result.complete) == (0, set(), True, True)


def test_jobs_of_others_do_not_count() -> None:
    result = tally(
        stats(PC01, "pc01"),
        JobRequested(1, OTHER, "a.c", 0),
        JobBegun(1, PC01, 0),
        done(1),
        LocalBegun(2, OTHER, 0, "a.o"),
        LocalDone(2),
    )
    assert (result.nodes, result.local, result.changes) == ({}, 0, 0)


def test_local_jobs_and_those_given_back_to_the_submitter() -> None:
    result = tally(
        LocalBegun(1, ME, 0, "a.out"),
        LocalDone(1),
        JobRequested(2, ME, "a.c", 0),
        JobBegun(2, ME, 0),
        done(2),
    )
    assert (result.nodes, result.local, result.pending) == ({}, 2, set())


def test_a_job_keeps_its_node_when_that_goes_away() -> None:
    result = tally(
        stats(PC01, "pc01"),
        JobRequested(1, ME, "a.c", 0),
        JobBegun(1, PC01, 0),
        NodeOffline(PC01),
        NodeOffline(99),
        done(1, code=255),
    )
    assert result.nodes["pc01"].failed == 1


def test_a_job_that_never_began_is_on_no_node() -> None:
    result = tally(JobRequested(1, ME, "a.c", 0), done(1, code=107))
    assert (result.nodes, result.pending) == ({}, set())


def test_a_lost_connection_leaves_a_gap() -> None:
    result = tally(JobRequested(1, ME, "a.c", 0), Disconnected("gone", 1.0))
    assert (result.pending, result.ready, result.complete) == (set(), False, False)
    for event in (Connected("10.77.0.1", 8765, 43), stats(7, "submitter-lab"), LocalBegun(9, 7, 0, "a.o")):
        result.fold(event)
    assert (result.local, result.pending, result.ready, result.complete) == (1, {9}, True, False)
