"""How many jobs of a build ran at a time."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.history.build_records import Build, BuildDetail, Curve, FileTime
from farm.history.curve import FIRST_STEP, MAX_STEPS, Gap, gaps, tail, with_job

BEGIN = 1_000_000.0
JOBS = st.tuples(st.floats(0, 5000), st.floats(0.01, 900))


def curve_of(*jobs: tuple[float, float]) -> Curve:
    curve = Curve()
    for begun, ended in jobs:
        curve = with_job(curve, BEGIN + begun, BEGIN + ended)
    return curve


def detail(curve: Curve, *slowest: FileTime, most: int = 8, open: bool = False) -> BuildDetail:
    end = curve.begin + curve.step * len(curve.running)
    build = Build(id=1, submitter="ws", address="", started=curve.begin, ended=end, open=open, most=most)
    return BuildDetail(build=build, nodes=[], slowest=list(slowest), failures=[], waits=[], curve=curve)


@given(st.lists(JOBS, min_size=1, max_size=40))
def test_no_time_of_a_job_is_lost_and_the_size_is_bounded(jobs: list[tuple[float, float]]) -> None:
    curve = curve_of(*((begun, begun + seconds) for begun, seconds in jobs))
    assert len(curve.running) <= MAX_STEPS
    assert math.isclose(sum(seconds for _, seconds in jobs), sum(curve.running) * curve.step, rel_tol=1e-6)
    assert curve.begin <= BEGIN + min(begun for begun, _ in jobs)
    assert all(each >= 0 for each in curve.running)


def test_steps_are_means() -> None:
    curve = curve_of((0, 2), (0.5, 1.25), (1, 2))
    assert (FIRST_STEP, (1.0, 2.0, 2.5, 2.0)) == (curve.step, curve.running)


def test_a_job_that_began_earlier_may_end_later() -> None:
    assert (1.0, 1.0, 2.0, 1.0) == curve_of((1, 1.5), (0, 2)).running


@pytest.mark.parametrize(("begun", "ended"), [(0.0, 5.0), (7.0, 7.0), (9.0, 8.0)])
def test_what_has_no_length_does_not_count(begun: float, ended: float) -> None:
    assert Curve() == with_job(Curve(), begun, ended)


def test_gaps_are_found_inside_only() -> None:
    found = gaps(detail(curve_of((0, 10), (15, 20), (20, 38), (40, 41))))
    assert [Gap(10.0, 5.0)] == found, "a gap of 2 s of 41 is none"


def test_the_tail_is_named_by_the_file_that_ran_then() -> None:
    many = [(0.0, 20.0 + i / 10) for i in range(8)]
    slow = FileTime("src/huge.cpp", "pc3", "remote", 40_000, 0, BEGIN + 45)
    other = FileTime("src/other.cpp", "pc3", "remote", 41_000, 0, BEGIN + 20)
    found = tail(detail(curve_of(*many, (5, 45)), other, slow))
    assert found is not None
    assert (24.0, slow) == (found.seconds, found.file), "the others ended at 20.7 s, in the step to 21 s"
    unnamed = tail(detail(curve_of(*many, (5, 45)), other))
    assert unnamed is not None and unnamed.file is None


def test_a_build_that_goes_on_or_has_no_others_has_no_tail() -> None:
    curve = curve_of((0, 20), (0, 20), (0, 20), (0, 40))
    assert tail(detail(curve, open=True)) is None
    assert tail(detail(curve, most=2)) is None
    assert tail(detail(Curve())) is None
    assert tail(detail(curve_of((0, 20), (0, 20), (0, 20.5)))) is None


def test_it_is_part_of_the_json() -> None:
    kept = detail(curve_of((0, 2)))
    assert kept == msgspec.json.decode(msgspec.json.encode(kept), type=BuildDetail)
