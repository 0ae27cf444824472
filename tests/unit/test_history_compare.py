from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from farm.history.build_records import Build, BuildDetail, FileTime, NodeShare, Wait
from farm.history.compare import compare, ratio

EMPTY = BuildDetail(
    build=Build(id=1, submitter="ws01", address="10.0.0.1", started=100.0, ended=100.0, open=True),
    nodes=[],
    slowest=[],
    failures=[],
    waits=[],
)
SLOW = BuildDetail(
    build=Build(
        id=2,
        submitter="ws01",
        address="10.0.0.1",
        started=100.0,
        ended=300.0,
        open=False,
        remote=80,
        local=20,
        real_ms=400_000,
        most=4,
        out_bytes=1024,
    ),
    nodes=[NodeShare("pc01", 80, 0, 380_000, 1024), NodeShare("ws01", 20, 0, 20_000, 0)],
    slowest=[FileTime("a.cpp", "pc01", "remote", 9000, 0, 200.0)],
    failures=[],
    waits=[Wait("ws02", 3.0), Wait("ws03", 1.5)],
)


@pytest.mark.parametrize(
    ("a", "b", "text"), [(2, 1, "×0.50"), (1, 30, "×30"), (3, 3, "="), (0, 0, "="), (0, 5, ""), (5, 0, "×0.00")]
)
def test_ratio(a: float, b: float, text: str) -> None:
    assert text == ratio(a, b)


def test_builds_side_by_side() -> None:
    rows = {row.label: row[1:4] for row in compare(SLOW, SLOW)}

    assert ("3m20s", "3m20s", "=") == rows["took"]
    assert ("100", "100", "=") == rows["jobs"]
    assert ("2.0", "2.0", "=") == rows["at a time, on average"]
    assert ("4.0 s", "4.0 s", "=") == rows["time of a job"]
    assert ("4.5 s", "4.5 s", "=") == rows["for other submitters"]
    assert ("1", "1", "=") == rows["nodes used"]


def test_better_and_worse() -> None:
    faster = replace(SLOW, build=replace(SLOW.build, ended=200.0, remote=100, local=0, failed=2, out_bytes=4096))
    rows = {row.label: row for row in compare(SLOW, faster)}

    assert 1 == rows["took"].verdict == rows["jobs a second"].verdict
    assert -1 == rows["failed"].verdict
    assert 0 == rows["objects written"].verdict == rows["jobs"].verdict == rows["local"].verdict, "it may have had more"
    assert math.isinf(rows["failed"].change)
    assert math.isclose(rows["took"].change, compare(faster, SLOW)[0].change)
    assert rows["objects written"].change > rows["took"].change > rows["jobs"].change == 0


def test_small_differences_are_none() -> None:
    little = replace(SLOW, build=replace(SLOW.build, ended=SLOW.build.ended + 3))
    assert {0} == {row.verdict for row in compare(SLOW, little)}


def test_a_build_that_has_just_begun_can_be_compared() -> None:
    for one, other in ((EMPTY, SLOW), (SLOW, EMPTY), (EMPTY, EMPTY)):
        assert len(compare(one, other)) == len({row.label for row in compare(one, other)})
