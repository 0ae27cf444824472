"""vblade behind the farm's filter: what a node may do, and what nobody may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from farm.config import Config
from farm.serve import firewall
from tests.aoe import FORCE_SET, IDENTIFY, READ, READ_EXT, SET, WRITE, WRITE_EXT, Initiator
from tests.bench.aoe import measure, start_vblade
from tests.lab import Namespace, namespaces, until

T = TypeVar("T")
NODE, ATTACKER = "02:00:00:00:00:01", "02:00:00:00:00:66"
SECTOR = bytes(range(256)) * 2
ROOT = SECTOR + b"second".ljust(512, b".") + bytes(1 << 20)
CONFIG = Config(name="test-lab")


class Lab:
    def __init__(self, server: Namespace, lab: Namespace, root: Path) -> None:
        self.server, self.lab, self.root = server, lab, root

    def protect(self) -> None:
        firewall.apply(CONFIG, self.server.interface, ["aoe"], prefix=["ip", "netns", "exec", self.server.name])

    def initiator(self, mac: str) -> Initiator:
        return self.lab.call(lambda: Initiator(self.lab.interface, mac=mac))


@pytest.fixture
def lab() -> Iterator[Lab]:
    with namespaces("10.96.0.1/24", "10.96.0.2/24") as (server, lab):
        root = server.folder / "root.squashfs"
        root.write_bytes(ROOT)
        start_vblade(server, root)
        yield Lab(server, lab, root)


def answered(question: Callable[[], T | None]) -> T:
    """What a question brings that is asked again and again, as initiators do; once is not enough on a busy machine."""
    found: list[T] = []

    def ask() -> bool:
        if (answer := question()) is not None:
            found.append(answer)
        return bool(found)

    until(ask, "there is no answer")
    return found[0]


def reserve(attacker: Initiator) -> None:
    attacker.reserve(ATTACKER)


def edit_macs(attacker: Initiator) -> None:
    attacker.allow_only(ATTACKER)


def reserve_by_priority_tag(attacker: Initiator) -> None:
    attacker.reserve(ATTACKER, vlans=[(0x8100, 0)])


def reserve_in_a_vlan(attacker: Initiator) -> None:
    attacker.reserve(ATTACKER, vlans=[(0x8100, 5)])


def reserve_in_a_provider_vlan(attacker: Initiator) -> None:
    attacker.reserve(ATTACKER, vlans=[(0x88A8, 5)])


def reserve_in_two_vlans(attacker: Initiator) -> None:
    attacker.reserve(ATTACKER, vlans=[(0x8100, 0), (0x8100, 5)])


LOCK_OUT = (
    reserve,
    edit_macs,
    reserve_by_priority_tag,
    reserve_in_a_vlan,
    reserve_in_a_provider_vlan,
    reserve_in_two_vlans,
)


@pytest.mark.parametrize("attack", LOCK_OUT)
def test_nobody_can_lock_a_node_out_of_its_root(lab: Lab, attack: Callable[[Initiator], None]) -> None:
    lab.protect()
    with lab.initiator(NODE) as node, lab.initiator(ATTACKER) as attacker:
        attack(attacker)

        assert SECTOR == answered(node.read)


@pytest.mark.parametrize("attack", LOCK_OUT)
def test_without_the_filter_the_same_frame_locks_nodes_out(lab: Lab, attack: Callable[[Initiator], None]) -> None:
    with lab.initiator(NODE) as node, lab.initiator(ATTACKER) as attacker:
        assert SECTOR == answered(node.read)

        attack(attacker)

        assert node.read() is None


def test_a_node_reads_and_asks_through_the_filter(lab: Lab) -> None:
    lab.protect()
    with lab.initiator(NODE) as node:
        assert SECTOR == answered(lambda: node.read(command=READ_EXT))
        assert SECTOR == answered(lambda: node.read(command=READ))
        assert b"second" == answered(lambda: node.read(1))[:6]
        assert answered(lambda: node.ata(IDENTIFY))
        assert b"" == answered(node.config_string)


@pytest.mark.parametrize("write", [WRITE, WRITE_EXT])
def test_a_write_is_not_even_answered(lab: Lab, write: int) -> None:
    lab.protect()
    with lab.initiator(ATTACKER) as attacker:
        assert attacker.ata(write, data=b"evil".ljust(512, b"!")) is None
        assert attacker.ata(write, data=b"evil".ljust(512, b"!"), vlans=[(0x8100, 0)]) is None

    assert ROOT == lab.root.read_bytes()


@pytest.mark.parametrize("text", [b"evil", b"sixteen letters.", b"x" * 256])
@pytest.mark.parametrize("subcommand", [SET, FORCE_SET])
def test_the_configuration_string_cannot_be_set(lab: Lab, subcommand: int, text: bytes) -> None:
    lab.protect()
    with lab.initiator(ATTACKER) as attacker:
        assert attacker.config(subcommand, text) is None
        assert b"" == answered(attacker.config_string)


def test_without_the_filter_it_can(lab: Lab) -> None:
    with lab.initiator(ATTACKER) as attacker:
        attacker.config(FORCE_SET, b"evil")

        assert b"evil" == answered(attacker.config_string)


def test_the_filter_can_be_put_in_force_again_and_goes_without_a_trace(lab: Lab) -> None:
    lab.protect()
    lab.protect()
    assert 2 == lab.server.run("nft", "list", "tables").stdout.count("farm_test_lab")

    for _ in range(2):
        firewall.remove(CONFIG, prefix=["ip", "netns", "exec", lab.server.name])

    assert "" == lab.server.run("nft", "list", "ruleset").stdout


def test_many_readers_of_one_export_are_all_served() -> None:
    fairness = measure(9000, readers=64, outstanding=4, seconds=2)

    assert 64 == len(fairness.rates)
    assert fairness.slowest > 0
