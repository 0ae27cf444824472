"""Desks: how many are in use, what they do beside a session, and how commands print that."""

import json

import pytest
from msgspec.structs import replace
from rich.console import Console

from farm.cli.session import _plain, sessions_table
from farm.cli.status import nodes_table, summary
from farm.view.desks import (
    desk_totals,
    desks_words,
    jobs_beside,
    memory_left,
    nearly_full,
    offer_words,
    session_kind_words,
)
from farm.view.status import CompileStatus, DeskTotals, NodeStatus, Status
from farm.watch.activity import Totals
from farm.watch.node_telemetry import CompileTold, Memory
from tests.unit import tui_fixtures as fixtures
from tui.node_detail import facts


def printed(shown: object) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(shown)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def told(agent: CompileTold) -> NodeStatus:
    return replace(fixtures.fat_desk(), compile=CompileStatus(None, agent))


def test_desks_are_counted_among_all_machines() -> None:
    assert DeskTotals(3, 2) == desk_totals([*fixtures.nodes(), *fixtures.desks()])
    assert "12 of 30 in use" == desks_words(DeskTotals(30, 12))
    assert "" == desks_words(desk_totals(fixtures.nodes()))


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (CompileTold(True, slots=8, offered=4, in_use=True), "4 of 8 slots, as somebody uses the machine"),
        (CompileTold(True, 8, offered=0, in_use=True, ending=1), "0 of 8 slots, as somebody uses the machine; 1 job"),
        (CompileTold(True, slots=8, offered=6), "6 of 8 slots"),
        (CompileTold(True, slots=8, offered=8, in_use=True), ""),
        (CompileTold(True, slots=8), ""),
    ],
)
def test_it_is_said_that_a_machine_in_use_offers_fewer_slots(agent: CompileTold, words: str) -> None:
    assert offer_words(told(agent)).startswith(words)
    assert bool(words) == bool(offer_words(told(agent)))


def test_a_desk_that_is_nearly_full_is_marked() -> None:
    desk = fixtures.fat_desk()
    assert desk.telemetry is not None
    low = replace(desk, telemetry=replace(desk.telemetry, memory=Memory(total=4 << 30, available=100 << 20)))
    assert (False, True) == (nearly_full(desk), nearly_full(low))
    assert ("memory", "100.0 MiB free of 4.0 GiB ▲ nearly used up") in facts(low, fixtures.NOW)


def test_a_machine_that_tells_nothing_shows_nothing() -> None:
    silent = fixtures.nodes()[5]
    assert ["", "", ""] == [jobs_beside(silent), memory_left(silent), offer_words(silent)]
    assert "hybrid" == session_kind_words("hybrid")


def test_the_commands_say_who_sits_where_and_what_is_compiled_beside() -> None:
    desks = fixtures.desks()
    lines = printed(sessions_table(desks, fixtures.NOW))
    assert "desk-3 session fat erin since 23:10 10.0.0.1 0.6 ms 2/4 47% 11.0 GiB" == lines[3].replace("2025-12-31 ", "")
    nodes = printed(nodes_table(desks))
    assert nodes[3].replace("2025-12-31 ", "").endswith("11.0 GiB erin since 23:10 (fat)")
    plain = _plain(desks[2])
    assert {"running": 2, "slots": 4} == plain["jobs"]
    assert 47.0 == plain["cpu_percent"]
    assert json.dumps(plain)
    assert _plain(desks[0])["jobs"] is None


def test_the_status_counts_desks_where_there_are_some() -> None:
    known = fixtures.overview()
    fields = {name: getattr(known, name) for name in known.__struct_fields__}
    status = Status(**fields, nodes=[], hosts=[], totals=Totals(), desks=DeskTotals(30, 12))
    assert "Desks 12 of 30 in use" in printed(summary(status, fixtures.NOW))
    assert not any("Desks" in line for line in printed(summary(replace(status, desks=DeskTotals()), fixtures.NOW)))
