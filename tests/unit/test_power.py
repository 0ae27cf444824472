"""Orders to many nodes: some at a time, those side by side."""

from __future__ import annotations

import threading

import pytest

from farm.errors import FarmError, PartialError
from farm.nodes.power import batches, for_each
from tests.lab import PATIENCE

ROOM = [f"pc{number}" for number in range(1, 8)]


def groups(size: int, left: list[int]) -> list[list[str]]:
    return [list(names) for names in batches(ROOM, size, 0.0, left.append)]


def test_a_room_is_told_some_at_a_time_and_how_many_are_left() -> None:
    left: list[int] = []
    assert [ROOM[:3], ROOM[3:6], ROOM[6:]] == groups(3, left)
    assert [4, 1] == left
    assert [ROOM] == groups(7, left)
    assert [4, 1] == left, "nobody waits after the last ones"


def test_those_of_a_group_are_told_side_by_side_and_each_once() -> None:
    together = threading.Barrier(3)
    told: list[str] = []

    def act(name: str) -> None:
        together.wait(PATIENCE)
        told.append(name)

    for_each([ROOM[:3], ROOM[3:6]], act)

    assert (set(ROOM[:3]), set(ROOM[3:6])) == (set(told[:3]), set(told[3:]))


def test_one_that_fails_stops_no_other_and_is_named() -> None:
    told: list[str] = []

    def act(name: str) -> None:
        if name == "pc2":
            raise FarmError("Jobs are running: pc2 3 jobs.", "", "")
        told.append(name)

    with pytest.raises(PartialError) as caught:
        for_each(batches(ROOM, 2, 0.0, lambda left: None), act)

    assert "1 of 7 nodes did not get the order." == caught.value.what
    assert "pc2: Jobs are running: pc2 3 jobs." == caught.value.why
    assert {*ROOM} - {"pc2"} == {*told}
