"""A desk whose RAM is nearly used up says so before something fails: when, to whom, how often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.scarcity import FILES, MEMORY, scarce
from farm.node.session.room_warning import Room, RoomWatch, room, sentence

GIB = 1 << 30
ENOUGH = Room(available=3 * GIB, total=4 * GIB, written=GIB // 2, space=3 * GIB)
LOW = ENOUGH._replace(available=300 << 20)
FULL = ENOUGH._replace(written=int(2.5 * GIB))


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (ENOUGH, set()),
        (LOW, {MEMORY}),
        (FULL, {FILES}),
        (LOW._replace(written=3 * GIB), {FILES, MEMORY}),
        (ENOUGH._replace(total=64 * GIB, available=GIB), set()),
        (ENOUGH._replace(total=64 * GIB, available=400 << 20), {MEMORY}),
        (Room(0, 0, 0, 0), set()),
    ],
)
def test_what_is_scarce(now: Room, found: set[str]) -> None:
    assert found == scarce(*now)


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40))
def test_what_is_scarce_stays_so_for_a_little_more(available: int, total: int, written: int, space: int) -> None:
    now = Room(available, total, written, space)
    assert scarce(*now) <= scarce(*now, frozenset({FILES, MEMORY}))


def test_each_shortage_is_told_once() -> None:
    told: list[str] = []
    looks = iter([ENOUGH, LOW, LOW, LOW._replace(available=450 << 20), FULL, ENOUGH, LOW])
    watch = RoomWatch(lambda: next(looks), told.append)
    for _ in range(7):
        watch.look()
    assert [sentence(MEMORY, LOW), sentence(FILES, FULL), sentence(MEMORY, LOW)] == told


def test_who_comes_next_is_told_again() -> None:
    told: list[str] = []
    watch = RoomWatch(lambda: LOW, told.append)
    watch.look()
    watch.forget()
    watch.look()
    assert 2 == len(told)
    assert "300 MB of 4,096 MB are left" in told[0]


def test_this_computer_has_memory() -> None:
    now = room("/")
    assert 0 < now.available <= now.total
    assert 0 < now.written <= now.space
    assert Room(0, 0, 0, 0) == room("/nowhere", "/nowhere")
