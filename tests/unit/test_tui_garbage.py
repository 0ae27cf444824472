"""When the dashboard looks for garbage."""

import gc
from collections.abc import Iterator

import pytest

from tui.garbage import KEY_ANSWER_SECONDS, LEAST_SECONDS, MOST_SECONDS, NO_KEY_SECONDS, Collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One that has begun; what it changes in the interpreter is put back."""
    before = gc.get_threshold()
    found = Collector()
    found.begin()
    yield found
    gc.set_threshold(*before)
    gc.unfreeze()


def test_the_interpreter_is_left_alone_until_it_begins() -> None:
    assert not Collector().wanted(1000.0)
    assert not Collector().due(1000.0, 0.0)


def test_younger_generations_are_collected_as_ever(collector: Collector) -> None:
    youngest, young, old = gc.get_threshold()
    assert (700, 10) == (youngest, young)
    assert old > 100_000


def test_a_key_puts_it_off_but_not_for_ever(collector: Collector) -> None:
    assert collector.due(1000.0, NO_KEY_SECONDS)
    collector.collect(1000.0)
    assert not collector.due(1000.0 + LEAST_SECONDS / 2, 0.0)
    again = 1000.1 + LEAST_SECONDS
    assert collector.due(again, NO_KEY_SECONDS)
    collector.pressed(again)
    assert collector.wanted(again)
    assert not collector.due(again, KEY_ANSWER_SECONDS)
    assert collector.due(again + 0.1 + KEY_ANSWER_SECONDS, KEY_ANSWER_SECONDS)
    assert not collector.due(again + 0.1 + KEY_ANSWER_SECONDS, NO_KEY_SECONDS)
    assert collector.due(again + 0.1 + NO_KEY_SECONDS, NO_KEY_SECONDS)
    collector.pressed(1000.0 + MOST_SECONDS)
    assert collector.due(1000.1 + MOST_SECONDS, NO_KEY_SECONDS)


def test_what_goes_in_circles_is_collected(collector: Collector) -> None:
    class Circle:
        def __init__(self) -> None:
            self.itself = self

    for now in (1000.0, 2000.0):
        Circle()
        collector.collect(now)
        assert not [each for each in gc.get_objects() if type(each) is Circle]
