"""The filter line: what its terms mean, and that no text whatever breaks it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.errors import FarmError
from farm.watch.activity import Job, JobPlace, JobState
from tui.filter import parse, state_of

DONE = Job(
    7,
    JobState.DONE,
    JobPlace.REMOTE,
    "src/net/Socket.cpp",
    ("alice-pc", "10.0.0.1"),
    ("pc01", "10.0.0.2"),
    language=1,
    requested=100.0,
    begun=102.5,
    ended=110.0,
    real=7200,
)
FAILED = replace(DONE, id=8, state=JobState.FAILED, exit=1, file="moc_window.cpp")
PENDING = Job(9, JobState.PENDING, JobPlace.REMOTE, "a file.c", ("bob", "10.0.0.3"), requested=100.0)
LOST = replace(PENDING, id=10, ended=105.0)
JOBS = (DONE, FAILED, PENDING, LOST)


def matched(line: str) -> list[int]:
    predicate = parse(line)
    return [job.id for job in JOBS if predicate is None or predicate(job)]


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("", [7, 8, 9, 10]),
        ("  ", [7, 8, 9, 10]),
        ("socket", [7]),
        ("ALICE moc", [8]),
        ("node:pc", [7, 8]),
        ("node:=pc0", []),
        ("node:=PC01", [7, 8]),
        ("-node:pc01", [9, 10]),
        ("submitter:bob", [9, 10]),
        ("sub:bob", [9, 10]),
        ('file:"a file"', [9, 10]),
        ('"a fi', [9, 10]),
        ("state:failed", [8]),
        ("state:f,d", [7, 8]),
        ("state:lost", [10]),
        ("state:pending", [9]),
        ("place:remote state:done", [7]),
        ("exit:1", [8]),
        ("exit:0", [7]),
        ("exit:>0", [8]),
        ("lang:c++", [7, 8]),
        ("lang:c", []),
        ("took:>7", [7, 8]),
        ("took:8", []),
        ("took:<=7.2s", [7, 8]),
        ("waited:>2.5", []),
        ("waited:2.5", [7, 8]),
        ("-moc_ -state:pend,lost", [7]),
        ("node:", [7, 8, 9, 10]),
        ("a:", [7, 8, 9, 10]),
    ],
)
def test_terms(line: str, ids: list[int]) -> None:
    if line == "a:":
        with pytest.raises(FarmError, match="There is no term a:"):
            parse(line)
    else:
        assert ids == matched(line)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("nod:x colour:red", "no term colour:"),
        ("s:x", "no term s:"),
        ("state:sleeping", "no state 'sleeping'"),
        ("exit:bad", "exit:bad is not an exit code"),
        ("took:>soon", "took:>soon is not a number"),
        ("x" * 501, "too long"),
    ],
)
def test_says_what_is_wrong(line: str, what: str) -> None:
    with pytest.raises(FarmError, match=what):
        parse(line)


@given(st.one_of(st.text(max_size=60), st.text(alphabet="nodestakxi:,-<>='\"0123456789 .", max_size=40)))
def test_any_text_is_a_filter_or_an_error(line: str) -> None:
    try:
        predicate = parse(line)
    except FarmError:
        return
    for job in JOBS:
        assert predicate is None or predicate(job) in (True, False)


def test_a_job_whose_end_nobody_told_is_lost() -> None:
    assert ["done", "failed", "pending", "lost"] == [state_of(job) for job in JOBS]


def test_how_local_jobs_end_nobody_tells() -> None:
    predicate = parse("exit:0")
    assert predicate is not None
    assert not predicate(replace(DONE, place=JobPlace.LOCAL))
    assert predicate(DONE)
