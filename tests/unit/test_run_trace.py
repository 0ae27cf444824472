import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from farm.watch.activity import Job, JobPlace, JobState
from farm.workstation.run.trace import THIS_MACHINE, lanes, trace

START = 1_700_000_000.0


def job(id: int, begun: float, ended: float, node: str = "pc01", place: JobPlace = JobPlace.REMOTE, **more: int) -> Job:
    times = {"requested": START + begun - 0.25, "begun": START + begun, "ended": START + ended}
    return Job(id, JobState.DONE, place, f"src/f{id}.c", node=(node, "10.77.0.9"), **times, **more)


def decoded(jobs: list[Job]) -> list[dict[str, Any]]:
    document = json.loads(trace(jobs, "desk", "make -j4", START, START + 10))
    assert document["displayTimeUnit"] == "ms"
    events: list[dict[str, Any]] = document["traceEvents"]
    check(events)
    return events


def check(events: list[dict[str, Any]]) -> None:
    """What the Trace Event Format asks of complete events and names; jobs in a lane follow one another."""
    by_lane = defaultdict(list)
    for event in events:
        assert event["ph"] in ("X", "M")
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert event["name"]
        if event["ph"] == "X":
            begin, length = event.get("ts", 0), event.get("dur", 0)
            assert begin >= 0
            assert length >= 0
            by_lane[event["pid"], event["tid"]].append((begin, begin + length))
        else:
            assert event["name"] in ("process_name", "process_sort_index", "thread_name", "thread_sort_index")
    for spans in by_lane.values():
        spans.sort()
        assert all(one[1] <= other[0] for one, other in pairwise(spans))


def named(events: list[dict[str, Any]], what: str) -> dict[tuple[int, int], str]:
    return {(each["pid"], each["tid"]): each["args"]["name"] for each in events if each["name"] == what}


def test_a_node_is_a_process_and_each_slot_a_thread() -> None:
    events = decoded(
        [
            job(1, 0, 2),
            job(2, 1, 3),
            job(3, 2, 4, exit=1),
            job(4, 1, 2, node="desk"),
            job(5, 1, 2, node="desk", place=JobPlace.LOCAL),
            job(6, 0, 9, node="pc02"),
        ]
    )
    assert {process: name for (process, _), name in named(events, "process_name").items()} == {
        0: THIS_MACHINE,
        1: "pc01",
        2: "pc02",
    }
    threads = named(events, "thread_name")
    assert [threads[0, lane] for lane in range(3)] == ["command", "own slot 1", "local 1"]
    assert [threads[1, lane] for lane in range(2)] == ["slot 1", "slot 2"]
    jobs = {each["args"]["job"]: each for each in events if each["ph"] == "X" and each["args"]}
    assert (jobs[1]["tid"], jobs[2]["tid"], jobs[3]["tid"]) == (0, 1, 0)
    assert (jobs[1]["name"], jobs[3]["cat"], jobs[5]["cat"]) == ("f1.c", "failed", "local")
    assert (jobs[2]["ts"], jobs[2]["dur"], jobs[2]["args"]["waited_ms"]) == (1_000_000, 2_000_000, 250)


def test_a_build_without_jobs() -> None:
    (command,) = [each for each in decoded([]) if each["ph"] == "X"]
    assert (command["name"], command["dur"]) == ("make -j4", 10_000_000)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), max_size=40))
def test_jobs_in_a_lane_do_not_overlap(spans: list[tuple[float, float]]) -> None:
    jobs = [job(id, begin, begin + length) for id, (begin, length) in enumerate(spans)]
    events = decoded(jobs)
    assert len([each for each in events if each["ph"] == "X"]) == len(jobs) + 1
    most = max((sum(a.begun <= b.begun < a.ended or a is b for a in jobs) for b in jobs), default=0)
    assert len({lane for lane, _ in lanes(jobs)}) <= max(1, most)
