"""Machines whose addresses another DHCP server gives: their own word, and who may be believed."""

from __future__ import annotations

from functools import reduce

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.config import Config
from farm.view.strangers import node_addresses
from farm.watch.activity import Tick
from farm.watch.events import (
    Beacon,
    BeaconSeen,
    BootEvent,
    Event,
    SchedulerSaid,
    Stage,
    TelemetryLost,
    TelemetrySeen,
)
from farm.watch.node_telemetry import CompileTold, RolesTold, Telemetry
from farm.watch.state import GUEST_SECONDS, MAX_CLAIMS, MAX_GUESTS, MAX_NODES, Farm, Node, fold, initial, questions

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
HERE, THERE = "192.168.1.57", "192.168.1.66"
FIRST, SECOND = "1" * 32, "2" * 32
UPTIME = {"kernel": 1.0, "nic": 2.0, "root": 4.0, "agent": 9.0}


def asks(time: float, address: str = HERE, boot_id: str = FIRST, mac: str = MAC) -> BootEvent:
    return BootEvent(Stage.AGENT, time, mac, address, uptime=UPTIME, boot_id=boot_id)


def repeats(time: float, address: str = HERE, boot_id: str = FIRST, mac: str = MAC) -> BootEvent:
    return BootEvent(None, time, mac, address, boot_id=boot_id)


def leased(time: float, address: str = HERE, mac: str = MAC) -> BootEvent:
    return BootEvent(None, time, mac, address)


def answers(
    time: float, address: str = HERE, boot_id: str = FIRST, mac: str = MAC, uptime: float = 20.0
) -> TelemetrySeen:
    told = Telemetry(farm="lab", name="pc01", mac=mac, uptime=uptime, image="v1", boot_id=boot_id)
    return TelemetrySeen(mac, address, told, time, RolesTold(CompileTold(ready=True)))


def advertises(time: float, address: str = HERE, boot_id: str = FIRST) -> BeaconSeen:
    return BeaconSeen(Beacon("pc01.x", "lab", MAC, address, 9105, "v1", "ready", boot_id), time)


def after(*events: Event, farm: Farm | None = None) -> Farm:
    return reduce(fold, events, farm or initial("lab", {}))


def node(farm: Farm, mac: str = MAC) -> Node:
    return farm.nodes[mac]


def asked_at(farm: Farm, mac: str = MAC) -> set[str]:
    return {question.address for question in questions(farm) if question.node.mac == mac}


def test_a_machine_that_got_its_address_elsewhere_is_asked_and_verified() -> None:
    farm = after(asks(125.0))
    assert (node(farm).stage, node(farm).address, node(farm).verified) == (Stage.AGENT, "", False)
    assert {HERE} == asked_at(farm)
    assert set() == node_addresses(farm), "its word alone does not make it a node"
    farm = after(answers(136.0), farm=farm)
    assert (node(farm).address, node(farm).verified, node(farm).leased) == (HERE, True, False)
    assert {Stage.KERNEL: 117.0, Stage.ROOT: 120.0, Stage.AGENT: 125.0}.items() <= node(farm).stages.items()
    assert ({HERE}, {HERE}, {}) == (node_addresses(farm), asked_at(farm), dict(farm.claims))


def test_an_answer_must_repeat_the_mac_and_boot_id_and_come_from_where_it_said() -> None:
    farm = after(asks(125.0))
    for wrong in (answers(136.0, THERE), answers(136.0, boot_id=SECOND), answers(136.0, boot_id="")):
        assert farm == after(wrong, farm=farm)
    for told in ({"mac": OTHER}, {"farm": "other"}):
        right = answers(136.0)
        assert farm == after(replace(right, telemetry=replace(right.telemetry, **told)), farm=farm)


def test_its_advertisement_counts_as_soon_as_its_agent_has_answered_and_in_this_boot_alone() -> None:
    farm = after(asks(125.0), advertises(130.0))
    assert (node(farm).verified, len(farm.strangers)) == (False, 1), "multicast bears nothing out"
    farm = after(answers(136.0), farm=farm)
    assert (node(farm).beacon is not None, farm.strangers) == (True, {})
    assert node(after(advertises(140.0, boot_id=SECOND), farm=farm)).beacon == node(farm).beacon


def test_a_node_of_an_older_image_is_known_by_its_lease() -> None:
    old: list[Event] = [asks(125.0, boot_id=""), answers(136.0, boot_id="")]
    assert not node(after(*old)).verified
    farm = after(leased(120.0), *old)
    assert (node(farm).verified, node(farm).address, dict(farm.claims)) == (True, HERE, {})


def test_a_stranger_cannot_take_the_name_of_a_machine_that_answers() -> None:
    """Not by another boot id, nor by the one that anybody may read at the real one's agent."""
    farm = after(asks(125.0), answers(136.0))
    for boot_id in (FIRST, SECOND):
        for evil in (asks(140.0, THERE, boot_id), repeats(140.0, THERE, boot_id)):
            claimed = after(evil, farm=farm)
            assert claimed.nodes == farm.nodes
            assert {HERE} == asked_at(claimed), "farmd does not even ask there"
            assert after(answers(141.0, THERE, boot_id), farm=claimed).nodes == farm.nodes
            assert after(BootEvent(Stage.LOADER, 140.0, MAC, THERE), farm=claimed).nodes == farm.nodes


def test_of_two_machines_with_one_mac_the_second_has_its_turn_when_the_first_is_silent() -> None:
    farm = after(asks(125.0), answers(136.0), asks(140.0, THERE, SECOND), TelemetryLost(MAC, 160.0))
    assert {HERE, THERE} == asked_at(farm)
    back = after(answers(162.0), farm=farm)
    assert (node(back).address, asked_at(back)) == (HERE, {HERE}), "the first has come back"
    taken = after(answers(162.0, THERE, SECOND, uptime=37.0), farm=farm)
    assert (node(taken).address, node(taken).started, node(taken).verified) == (THERE, 125.0, True)
    assert taken.nodes == after(answers(163.0), farm=taken).nodes


def test_a_machine_that_moves_while_it_runs_says_so() -> None:
    farm = after(asks(125.0), answers(136.0), repeats(200.0, THERE), TelemetryLost(MAC, 210.0))
    farm = after(answers(211.0, THERE, uptime=95.0), farm=farm)
    assert (node(farm).address, node(farm).started) == (THERE, 116.0), "that was no boot"
    assert node(farm).stages[Stage.AGENT] == 125.0


def test_a_reboot_shows_by_its_boot_id_alone() -> None:
    """As from a stick: neither DHCP nor a loader tells of it."""
    farm = after(asks(125.0), answers(136.0), asks(500.0, boot_id=SECOND))
    assert (node(farm).started, node(farm).verified, node(farm).stages[Stage.KERNEL]) == (491.0, False, 492.0)
    assert node(after(answers(501.0), farm=farm)).verified is False, "that answer is of the boot before"
    assert node(after(answers(501.0, boot_id=SECOND, uptime=10.0), farm=farm)).verified


def test_a_proxys_clients_may_boot_at_other_addresses_than_they_run_at() -> None:
    """Firmware and Linux call themselves differently, so a DHCP server may give each its own address."""
    loader = [BootEvent(Stage.LOADER, 100.0, MAC, THERE), BootEvent(Stage.KERNEL, 110.0, MAC, THERE, "v1")]
    farm = after(*loader, asks(125.0), answers(126.0))
    assert (node(farm).address, node(farm).stages[Stage.LOADER]) == (HERE, 100.0)
    again = [replace(event, time=event.time + 400) for event in loader]
    farm = after(TelemetryLost(MAC, 480.0), *again, asks(525.0, boot_id=SECOND), farm=farm)
    assert (node(farm).stage, node(farm).stages[Stage.LOADER]) == (Stage.AGENT, 500.0)
    assert node(after(answers(526.0, boot_id=SECOND, uptime=10.0), farm=farm)).stages[Stage.LOADER] == 500.0


def test_a_lease_of_ours_goes_before_a_word() -> None:
    farm = after(leased(100.0), asks(125.0), answers(136.0), asks(140.0, mac=OTHER))
    assert dict(farm.claims) == {}
    assert not node(after(answers(141.0, mac=OTHER), farm=farm), OTHER).address
    farm = after(asks(125.0), answers(136.0), leased(140.0, mac=OTHER))
    assert (node(farm).address, node(farm, OTHER).address) == ("", HERE)


def test_a_machine_with_an_old_lease_is_believed_elsewhere_once_it_answers_there() -> None:
    farm = after(leased(100.0, THERE), answers(136.0, THERE), TelemetryLost(MAC, 400.0), asks(500.0, HERE, SECOND))
    assert {HERE, THERE} == asked_at(farm)
    farm = after(answers(501.0, boot_id=SECOND, uptime=10.0), farm=farm)
    assert (node(farm).address, node(farm).lease, node(farm).verified) == (HERE, THERE, True)


def test_a_lease_for_a_machine_that_runs_elsewhere_does_not_lose_it() -> None:
    farm = after(asks(125.0), answers(136.0), leased(140.0, THERE))
    assert (node(farm).address, asked_at(farm)) == (THERE, {HERE, THERE})
    assert node(after(answers(142.0), farm=farm)).address == HERE
    assert node(after(answers(142.0, THERE), farm=farm)).verified, "it has moved there"


def mac(number: int) -> str:
    return f"52:54:01:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def test_made_up_machines_of_one_address_push_each_other_out_and_nobody_else() -> None:
    real = asks(100.0, HERE)
    flood = [asks(101.0 + number, THERE, mac=mac(number)) for number in range(3 * MAX_GUESTS)]
    farm = after(real, *flood)
    assert len(farm.guests) == MAX_GUESTS
    assert {HERE, THERE} == set(farm.claims)
    assert 2 == len(questions(farm)), "one question an address"
    assert node(after(answers(2000.0), farm=farm)).verified
    late = fold(farm, SchedulerSaid(Tick(), 101.0 + 3 * MAX_GUESTS + GUEST_SECONDS))
    assert ({}, {}) == (dict(late.nodes), dict(late.claims))


def test_who_answers_by_many_names_is_one_machine() -> None:
    farm = initial("lab", {OTHER: "pc02"})
    for number in range(MAX_NODES + 9):
        farm = after(
            asks(float(number), THERE, mac=mac(number)), answers(number + 0.5, THERE, mac=mac(number)), farm=farm
        )
    assert 1 == len(farm.addresses)
    assert len(farm.nodes) <= MAX_GUESTS + 2
    assert OTHER in farm.nodes


def test_claims_are_bounded_and_the_latest_stay() -> None:
    many = [asks(float(number), f"10.{number >> 8}.0.{number & 255}", mac=mac(number)) for number in range(1000)]
    farm = after(*many)
    assert len(farm.claims) == MAX_CLAIMS
    assert many[-1].address in farm.claims
    assert many[0].address not in farm.claims


def test_a_word_from_the_servers_side_makes_nothing_a_node() -> None:
    config = Config(address="192.168.1.1/24")
    farm = after(asks(125.0, config.server), asks(126.0))
    assert (set(), {HERE, config.server}) == (node_addresses(farm), asked_at(farm))
    assert node(after(answers(130.0), farm=farm)).address == HERE


MACS = st.sampled_from([MAC, OTHER])
PLACES = st.sampled_from([HERE, THERE])
BOOTS = st.sampled_from([FIRST, SECOND, ""])
TIMES = st.floats(0, 1000)


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.builds(asks, TIMES, PLACES, BOOTS, MACS),
            st.builds(repeats, TIMES, PLACES, BOOTS, MACS),
            st.builds(answers, TIMES, PLACES, BOOTS, MACS),
            st.builds(TelemetryLost, MACS, TIMES),
        ),
        max_size=30,
    ),
    st.sets(st.tuples(MACS, PLACES)),
)
def test_nothing_is_verified_that_did_not_ask_and_answer_from_one_address(
    events: list[Event], never: set[tuple[str, str]]
) -> None:
    """Whatever others say, a machine is not taken to be where it never asked from, or where nothing answers."""
    for kind in (BootEvent, TelemetrySeen):
        kept = [event for event in events if not (isinstance(event, kind) and (event.mac, event.address) in never)]
        # A repeat without a boot id is a lease: there is none here.
        kept = [event for event in kept if not (isinstance(event, BootEvent) and not event.stage and not event.boot_id)]
        farm = after(*kept)
        for each in farm.nodes.values():
            assert not each.address or (each.mac, each.address) not in never
