"""Why a file of a build was slow, was compiled here, or failed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FarmError
from farm.history.build_records import Build, BuildDetail, FileTime
from farm.watch.activity import Job, JobPlace, JobState
from farm.workstation.explain.icecc_log import Call, CallOutcome
from farm.workstation.explain.last_run import MAX_JOBS, JobEnd, job_ends
from farm.workstation.explain.one_file import (
    Earlier,
    FileExplained,
    calls_for,
    explain_file,
    headline,
    in_history,
    went,
)


def call(file: str, outcome: CallOutcome = CallOutcome.NODE, job: int = 0, **milliseconds: int) -> Call:
    command = f"gcc -c {file} -o build/{file.rpartition('/')[2][:-1]}o"
    host = "10.77.0.3" if outcome in (CallOutcome.NODE, CallOutcome.AGAIN) else ""
    return Call(
        pid=1, time=0.0, command=command, file=file, outcome=outcome, host=host, job=job, milliseconds=milliseconds
    )


CALLS = [call("lib/a.c"), call("src/a.c"), call("src/b.c"), call("../src/deep/c.c"), call("b.c"), call("src/d.c")]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("src/a.c", ["src/a.c"]),
        ("b.c", ["b.c"]),
        ("c.c", ["../src/deep/c.c"]),
        ("./src/deep/c.c", ["../src/deep/c.c"]),
        ("/home/me/zstd/src/d.c", ["src/d.c"]),
        ("build/d.o", ["src/d.c"]),
    ],
)
def test_the_end_of_a_path_is_enough(word: str, found: list[str]) -> None:
    assert found == [call.file for call in calls_for(word, CALLS)]


def test_all_calls_for_a_file_are_meant() -> None:
    assert 2 == len(calls_for("a.c", [call("src/a.c"), call("src/a.c"), call("src/ba.c")]))


@pytest.mark.parametrize(
    ("word", "what", "why"),
    [
        ("a.c", "2 files of the last build end in a.c.", "They are lib/a.c, src/a.c."),
        ("x.c", "The last build has no compiler call for x.c.", "icecc's log has 6 calls"),
        ("", "no compiler call", ""),
        ("..", "no compiler call", ""),
    ],
)
def test_what_is_not_clear(word: str, what: str, why: str) -> None:
    with pytest.raises(FarmError) as raised:
        calls_for(word, CALLS)
    assert what in raised.value.what
    assert why in raised.value.why
    assert "farm explain " in raised.value.fix


@given(st.text(), st.text(max_size=20))
def test_any_names(word: str, file: str) -> None:
    with contextlib.suppress(FarmError):
        assert calls_for(word, [call(file), *CALLS])


def told(chosen: Call, end: JobEnd | None = None, usual: int = 400) -> FileExplained:
    others = [call(f"f{number}.c", node=usual) for number in range(9)]
    return explain_file(chosen, [chosen, *others], {chosen.job: end} if end else {}, "pc01")


def test_a_slow_file_and_where_its_time_went() -> None:
    found = told(call("a.c", job=3, preprocess=300, node=2500), JobEnd(0, 1200))
    assert (4000, 1, 10, 400, True) == (found.took_ms, found.rank, found.files, found.usual_ms, found.slow)
    assert [("node", 2500), ("wait", 1200), ("preprocess", 300)] == [(part.phase, part.ms) for part in found.parts]
    assert "pc01 compiled it" == found.parts[0].what
    assert "optimisation" in found.advice
    assert (
        "was compiled on pc01 in 4.0 s, longer than any other file: half of the 10 files took less than 400 ms."
        == headline(found, "pc01")
    )


@pytest.mark.parametrize(
    ("times", "waited", "advice"),
    [
        ({"node": 900}, 3000, "All nodes were busy."),
        ({"node": 300, "pack": 9000}, 0, "it happens once"),
        ({"node": 300, "environment": 2000}, 0, "it happens once"),
        ({"node": 300, "preprocess": 2000}, 0, "fewer jobs"),
        ({"node": 450}, 0, ""),
    ],
)
def test_what_would_help(times: dict[str, int], waited: int, advice: str) -> None:
    found = told(call("a.c", job=3, **times), JobEnd(0, waited) if waited else None)
    assert advice in found.advice
    assert bool(advice) == found.slow == bool(found.advice)


@pytest.mark.parametrize(
    ("outcome", "exit", "words"),
    [
        (CallOutcome.NODE, 1, "failed on pc01 in 500 ms: exit 1."),
        (CallOutcome.HERE, 0, "was not sent to a node; this machine did it in 500 ms"),
        (CallOutcome.AGAIN, 1, "went to pc01, then this machine did it again"),
        (CallOutcome.NOWHERE, 0, "was not compiled: icecc gave up."),
        (CallOutcome.UNFINISHED, 0, "did not finish"),
    ],
)
def test_how_it_ended(outcome: CallOutcome, exit: int, words: str) -> None:
    assert words in headline(told(call("a.c", outcome, job=3, node=500), JobEnd(exit, 0)), "pc01")


def test_what_earlier_builds_remember() -> None:
    def build(id: int, *slowest: FileTime, failures: tuple[FileTime, ...] = ()) -> BuildDetail:
        record = Build(id=id, submitter="ws01", address="", started=float(id), ended=9.0, open=False)
        return BuildDetail(build=record, nodes=[], slowest=list(slowest), failures=list(failures), waits=[])

    quick = FileTime("/home/me/zstd/src/a.c", "pc02", "remote", 700, 0, 5.0)
    failed = FileTime("/home/me/zstd/src/a.c", "pc03", "remote", 100, 1, 6.0)
    local = FileTime("/home/me/zstd/build/a.o", "ws01", "local", 50, 0, 6.0)
    builds = [build(4, quick, failures=(failed,)), build(3, quick), build(2), build(1, local)]
    assert [
        Earlier(4, 4.0, "pc03", 100, 1), Earlier(3, 3.0, "pc02", 700, 0), Earlier(1, 1.0, "ws01", 50, 0)
    ] == in_history(call("src/a.c"), builds)  # fmt: skip
    assert ["failed on pc03: exit 1", "took 700 ms on pc02", "took 50 ms on ws01"] == [
        went(each) for each in in_history(call("src/a.c"), builds)
    ]
    assert "then to this machine" in went(Earlier(1, 0.0, "pc01", 9, 118))


def test_what_is_kept_of_jobs() -> None:
    def job(id: int, waited: float, exit: int = 0) -> Job:
        return Job(id, JobState.DONE, JobPlace.REMOTE, "", requested=1.0, begun=1.0 + waited, exit=exit)

    assert {2: JobEnd(0, 500), 3: JobEnd(1, 0)} == job_ends([job(1, 0.0), job(2, 0.5), job(3, 0.0, 1)])
    many = job_ends([job(number, number / 100) for number in range(1, MAX_JOBS + 9)])
    assert (MAX_JOBS, True, False) == (len(many), MAX_JOBS + 8 in many, 1 in many)
