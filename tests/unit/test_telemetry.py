"""Which nodes are asked when."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map
from msgspec.structs import replace

from farm.daemon.telemetry_polls import BOOTING_POLL_SECONDS, FAILURES, MAX_SURE, MAX_UNSURE, STEADY_POLL_SECONDS, Turns
from farm.errors import NOT_JSON
from farm.watch.events import Stage
from farm.watch.node_telemetry import CompileTold, HeldEnvironment, RolesTold, parse
from farm.watch.state import Farm, Node, Question, questions

QUESTION_SECONDS = 2.0
"""As long as one that nobody answers takes."""
TICK = 0.5


def node(number: int, stage: Stage = Stage.AGENT) -> Node:
    address = f"10.77.{number >> 8}.{number & 255}"
    return Node(mac=f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}", name=f"pc{number}", address=address,
                stage=stage, stages={Stage.AGENT: 1.0})  # fmt: skip


def ask(*nodes: Node) -> list[Question]:
    return questions(Farm(name="lab", nodes=Map({each.mac: each for each in nodes})))


def play(nodes: list[Node], answering: set[str], seconds: float) -> tuple[dict[str, list[float]], int]:
    """When each node was asked in so many (pretended) seconds, and how many were asked at a time at most."""
    turns, open_questions, most = Turns(), list[tuple[float, Question]](), 0
    asked: dict[str, list[float]] = {each.mac: [] for each in nodes}
    for tick in range(round(seconds / TICK)):
        now = tick * TICK
        for end, each in [question for question in open_questions if question[0] <= now]:
            open_questions.remove((end, each))
            turns.ended(each, each.node.mac in answering, now)
        for each in turns.take(ask(*nodes), now):
            asked[each.node.mac].append(now)
            open_questions.append((now + (0 if each.node.mac in answering else QUESTION_SECONDS), each))
        most = max(most, len(open_questions))
    return asked, most


@pytest.mark.parametrize("stage", [Stage.AGENT, Stage.LOST])
def test_a_room_that_is_off_takes_no_turn_from_who_is_on(stage: Stage) -> None:
    off = [node(number, stage) for number in range(200)]
    on = [node(300 + number, Stage.READY) for number in range(10)]
    asked, most = play([*off, *on], {each.mac for each in on}, 300)
    assert most <= MAX_SURE + MAX_UNSURE
    for each in on:
        # The first turn may have to wait for those that were never asked before; then it is as if they were not there.
        first, *later = asked[each.mac]
        assert first <= QUESTION_SECONDS * len(off) / MAX_UNSURE
        assert {STEADY_POLL_SECONDS + TICK} == {b - a for a, b in itertools.pairwise(later)}
    assert all(len(asked[each.mac]) >= 5 for each in off), "those that are off are forgotten"


@pytest.mark.parametrize("stage", [Stage.AGENT, Stage.READY])
def test_all_of_a_large_farm_are_asked_whoever_was_first(stage: Stage) -> None:
    nodes = [node(number, stage) for number in range(500)]
    asked, _ = play(nodes, {each.mac for each in nodes}, 60)
    assert all(asked[each.mac] and asked[each.mac][0] <= TICK * len(nodes) / MAX_UNSURE for each in nodes)
    assert all(asked[each.mac][-1] >= 60 - 2 * TICK * len(nodes) / MAX_SURE for each in nodes)


def test_a_node_that_comes_up_again_is_asked_at_once() -> None:
    turns, quiet = Turns(), node(1, Stage.LOST)
    (before,) = ask(quiet)
    for turn in range(10):
        turns.take([before], turn * 100.0)
        turns.ended(before, False, turn * 100.0)
    assert turns.take([before], 901.0) == []
    again = ask(replace(quiet, started=5.0, stage=Stage.AGENT))
    assert turns.take(again, 901.0) == again
    assert turns.take(again, 902.0) == [], "one question at a time"
    assert turns.ended(before, False, 903.0) == 0, "what was asked of the boot before says nothing of this one"


def test_one_that_stops_answering_is_soon_known_to_be_silent() -> None:
    turns, quiet = Turns(), ask(node(1, Stage.READY))
    assert turns.take(quiet, 0.0) == quiet
    assert turns.ended(quiet[0], True, 0.0) == 0
    now = STEADY_POLL_SECONDS
    for failures in range(1, FAILURES + 1):
        assert turns.take(quiet, now) == quiet
        assert turns.ended(quiet[0], False, now) == failures
        now += BOOTING_POLL_SECONDS
    assert turns.take(quiet, now) == [], "it has had its chances"


@given(st.lists(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=60), max_size=30))
def test_questions_are_bounded_whoever_answers(rounds: list[list[tuple[int, bool]]]) -> None:
    turns, nodes = Turns(), [node(number) for number in range(61)]
    asked: dict[str, Question] = {}
    for number, ends in enumerate(rounds):
        for each in turns.take(ask(*nodes), number * 20.0):
            assert each.node.mac not in asked
            asked[each.node.mac] = each
        assert len(asked) <= MAX_SURE + MAX_UNSURE
        for which, answered in ends:
            if ended := asked.pop(nodes[which].mac, None):
                turns.ended(ended, answered, number * 20.0)


TOLD = b'{"farm":"lab","name":"pc01","mac":"52:54:00:00:00:01","uptime":1,"iceccd":true,%b}'


@pytest.mark.parametrize(
    "extra",
    [b'"x":' + b"[" * 5000, b'"x":' + b'{"x":' * 5000, b'"slots":' + b"9" * 5000, b'"load":[NaN]', b'"load":[1e999]',
     b'"name":"pc01\\n"', b'"image":"\xff"', b'"x":"\\ud800"', b'"memory":{"total":99999999999999999999}'],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_what_cannot_be_is_one_of_the_known_errors(extra: bytes) -> None:
    with pytest.raises(NOT_JSON):
        parse(TOLD % extra)


@given(
    st.binary() | st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_any_bytes_are_telemetry_or_a_known_error(data: bytes) -> None:
    for whole in (data, TOLD % (b'"load":' + data)):
        try:
            parse(whole)
        except NOT_JSON:
            continue


BEFORE_ROLES = TOLD % (
    b'"schema":1,"version":"0.1.0","image":"v1","slots":4,"stage":"ready","boot":{"iceccd":9.5},"cpu":{"percent":[1]},'
    b'"environments":[{"name":"a","bytes":3}]'
)


def test_an_image_from_before_roles_compiles_and_says_at_the_top_how() -> None:
    telemetry, roles = parse(BEFORE_ROLES)
    assert ("pc01", "v1", {"iceccd": 9.5}) == (telemetry.name, telemetry.image, telemetry.boot)
    assert roles == RolesTold(CompileTold(ready=True, slots=4, environments=[HeldEnvironment("a", 3)]))
    assert ("compile",) == roles.names


@pytest.mark.parametrize(
    ("said", "roles"),
    [
        (b"{}", ()),
        (b'{"brew":{"ready":true,"user":"a"}}', ()),
        (b'{"compile":{"ready":false},"brew":{"ready":true}}', ("compile",)),
        (b'{"compile":{"ready":false},"session":{"ready":true,"users":[{"name":"a"}]}}', ("compile", "session")),
    ],
)
def test_a_machine_has_the_roles_that_it_tells_of_and_are_known_here(said: bytes, roles: tuple[str, ...]) -> None:
    told = parse(b'{"farm":"lab","name":"pc01","mac":"","uptime":1,"roles":%b}' % said)[1]
    assert roles == told.names
    assert told.compile is None or not told.compile.ready
