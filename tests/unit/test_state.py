from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.scheduler import protocol
from farm.watch.activity import Tick
from farm.watch.events import (
    BOOT_STAGES,
    Beacon,
    BeaconLost,
    BeaconSeen,
    BootEvent,
    Event,
    Ordered,
    OrdersSeen,
    Remembered,
    SchedulerSaid,
    ServicesSeen,
    Stage,
    TelemetryLost,
    TelemetrySeen,
    WatchedService,
)
from farm.watch.node_telemetry import CompileTold, Memory, Processors, RolesTold, Telemetry
from farm.watch.state import (
    GUEST_SECONDS,
    MAX_GUESTS,
    MAX_NODES,
    MAX_READINGS,
    MAX_STRANGERS,
    Farm,
    Node,
    Reading,
    fold,
    initial,
)
from tests.scheduler_says import done, down, login, logout, stats, up

MAC = "52:54:00:00:00:01"
OTHER = "52:54:00:00:00:02"
ADDRESS = "10.77.0.57"
UPTIME = {"kernel": 1.0, "nic": 2.0, "root": 4.0, "agent": 9.0}
BEACON = Beacon("pc01._farm-node._tcp.local.", "lab", MAC, ADDRESS, 9105, "v1", "agent", "aa")
TELEMETRY = Telemetry(farm="lab", name="pc01", mac=MAC, uptime=20.0, image="v1", boot=UPTIME)
COMPILES = RolesTold(CompileTold(ready=True))
HOST = login(132.0)

BOOT: list[Event] = [
    BootEvent(Stage.POWERED, 100.0, MAC),
    BootEvent(None, 100.0, MAC, ADDRESS),
    BootEvent(Stage.POWERED, 104.0, MAC),
    BootEvent(Stage.LOADER, 105.5, MAC, ADDRESS, bytes=10),
    BootEvent(Stage.KERNEL, 107.0, MAC, ADDRESS, "v1", bytes=20),
    BootEvent(Stage.KERNEL, 108.0, MAC, ADDRESS, "v1", bytes=30, detail="initrd"),
    BootEvent(Stage.POWERED, 120.0, MAC),
    BootEvent(None, 120.0, MAC, ADDRESS),
    BootEvent(Stage.AGENT, 125.0, MAC, ADDRESS, uptime=UPTIME, bytes=40),
]
READY: list[Event] = [
    *BOOT,
    up(90.0),
    BeaconSeen(BEACON, 130.0),
    HOST,
    TelemetrySeen(MAC, ADDRESS, TELEMETRY, 136.0, COMPILES),
]


def after(*events: Event, farm: Farm | None = None) -> Farm:
    return reduce(fold, events, farm or initial("lab", {MAC: "pc01"}))


def node(farm: Farm) -> Node:
    return farm.nodes[MAC]


def test_a_node_comes_up_stage_by_stage() -> None:
    seen = []
    farm = after()
    for event in READY:
        farm = fold(farm, event)
        seen.append(node(farm).stage)
    expected = ["powered"] * 3 + ["loader"] + ["kernel"] * 4 + ["agent"] * 3 + ["registered", "ready"]
    assert expected == seen


def test_each_stage_has_the_time_it_was_first_reached() -> None:
    expected = {
        "powered": 100.0,
        "loader": 105.5,
        "kernel": 107.0,
        "root": 120.0,
        "agent": 125.0,
        "registered": 132.0,
        "ready": 136.0,
    }
    assert expected == node(after(*READY)).stages
    assert node(after(*READY)).since == 136.0
    assert node(after(*BOOT)).uptime == UPTIME
    assert (node(after(*BOOT)).fetched, node(after(*BOOT)).image) == (100, "v1")


def test_an_unknown_machine_is_named_by_its_mac() -> None:
    farm = after(*BOOT, farm=initial("lab", {}))
    assert (node(farm).name, node(farm).known) == ("node-000001", False)
    assert node(after(TelemetrySeen(MAC, ADDRESS, TELEMETRY, 136.0, COMPILES), farm=farm)).name == "pc01"


def test_files_fetched_by_tftp_are_joined_by_address() -> None:
    farm = after(
        *BOOT[:2], BootEvent(Stage.LOADER, 101.0, "", ADDRESS), BootEvent(Stage.LOADER, 101.0, "", "10.77.0.99")
    )
    assert Stage.LOADER is node(farm).stage
    assert list(farm.nodes) == [MAC]


def test_ready_needs_slots_and_a_running_daemon() -> None:
    stopped = RolesTold(CompileTold(ready=False))
    for event in (login(137.0, slots=0), TelemetrySeen(MAC, ADDRESS, TELEMETRY, 140.0, stopped)):
        assert Stage.REGISTERED is node(after(*READY, event)).stage
    assert Stage.REGISTERED is node(after(*BOOT, HOST)).stage
    ready = BeaconSeen(replace(BEACON, stage="ready"), 130.0)
    assert Stage.READY is node(after(*BOOT, HOST, ready)).stage


def test_a_discover_after_ready_is_a_new_boot() -> None:
    farm = after(*READY, BootEvent(Stage.POWERED, 500.0, MAC))
    assert (node(farm).stage, node(farm).stages, node(farm).verified) == (Stage.POWERED, {"powered": 500.0}, False)
    # The scheduler does not miss the old login for half a minute; it is not this boot's.
    farm = after(login(501.0, 2, address="10.77.0.99"), *BOOT[3:4], farm=farm)
    assert node(farm).host is None
    farm = after(login(540.0, 3), TelemetrySeen(MAC, ADDRESS, TELEMETRY, 540.0, COMPILES), farm=farm)
    assert Stage.READY is node(farm).stage


def test_the_booted_system_asks_dhcp_too() -> None:
    events: list[Event] = [BootEvent(Stage.POWERED, 126.0, MAC), BootEvent(None, 126.0, MAC, ADDRESS)]
    assert node(after(*BOOT, *events)).stages == node(after(*BOOT)).stages
    assert node(after(*READY, *events)).stage is Stage.READY


def test_a_machine_reset_as_soon_as_it_was_ready_starts_again_with_its_loader() -> None:
    events = [BootEvent(Stage.POWERED, 140.0, MAC), BootEvent(Stage.LOADER, 142.0, "", ADDRESS)]
    assert node(after(*READY, *events)).stages == {"powered": 140.0, "loader": 142.0}


def test_a_lease_renewed_changes_nothing() -> None:
    farm = after(*READY)
    assert node(farm) == node(after(BootEvent(None, 900.0, MAC, ADDRESS), farm=farm))


def test_a_discover_of_a_node_that_did_not_reboot_is_no_boot_for_long() -> None:
    farm = after(*READY, BootEvent(Stage.POWERED, 500.0, MAC))
    farm = after(TelemetrySeen(MAC, ADDRESS, replace(TELEMETRY, uptime=390.0), 506.0, COMPILES), farm=farm)
    assert Stage.READY is node(farm).stage
    assert {stage: time for stage, time in node(farm).stages.items() if stage in ("kernel", "root", "agent")} == {
        "kernel": 117.0,
        "root": 120.0,
        "agent": 125.0,
    }


def test_a_machine_reset_while_it_booted_starts_again() -> None:
    again = [BootEvent(Stage.POWERED, 200.0, MAC), BootEvent(Stage.LOADER, 202.0, MAC, ADDRESS)]
    farm = after(*BOOT[:6], *again)
    assert node(farm).stages == {"powered": 200.0, "loader": 202.0}
    farm = after(*BOOT[:4], BootEvent(Stage.POWERED, 900.0, MAC))
    assert node(farm).stages == {"powered": 900.0}


def test_a_node_that_falls_silent_is_lost_and_may_come_back() -> None:
    silence: list[Event] = [
        BeaconLost(BEACON.instance, 200.0),
        TelemetryLost(MAC, 210.0),
        logout(220.0),
    ]
    stages = [node(after(*READY, *silence[:count])).stage for count in range(4)]
    assert stages == ["ready", "ready", "registered", "lost"]
    farm = after(*READY, *silence, TelemetrySeen(MAC, ADDRESS, replace(TELEMETRY, uptime=110.0), 230.0, COMPILES))
    assert Stage.AGENT is node(farm).stage


def test_an_agent_that_stops_answering_says_more_than_its_beacon_that_lingers() -> None:
    silence: list[Event] = [TelemetryLost(MAC, 210.0), logout(220.0)]
    assert [node(after(*READY, *silence[:count])).stage for count in (1, 2)] == ["registered", "lost"]
    for sign in (
        TelemetrySeen(MAC, ADDRESS, replace(TELEMETRY, uptime=110.0), 230.0, COMPILES),
        BeaconSeen(replace(BEACON, stage="ready"), 230.0),
    ):
        assert node(after(*READY, *silence, sign)).stage == "agent"


def test_without_the_scheduler_nobody_is_registered() -> None:
    begun = SchedulerSaid(protocol.JobBegun(1, 1, 0), 140.0)
    farm = after(*READY, begun, down(150.0), down(160.0, "still gone"))
    assert Stage.AGENT is node(farm).stage
    scheduler = farm.activity.scheduler
    assert (scheduler.up, scheduler.since, scheduler.why) == (False, 150.0, "still gone")
    assert not any(host.online for host in farm.activity.hosts.values())
    assert not farm.activity.jobs
    assert Stage.READY is node(after(up(170.0), login(171.0), farm=farm)).stage


@pytest.mark.parametrize(
    "stranger",
    [replace(BEACON, farm="other"), replace(BEACON, address="10.77.0.66"), replace(BEACON, mac=OTHER)],
    ids=["another farm", "another address", "unknown machine"],
)
def test_a_stranger_changes_nothing(stranger: Beacon) -> None:
    farm = after(*READY)
    changed = after(BeaconSeen(stranger, 150.0), farm=farm)
    assert farm.nodes == changed.nodes
    assert {stranger.instance: stranger} == changed.strangers


def test_a_stranger_whom_dhcp_then_knows_is_one_no_longer() -> None:
    farm = after(BeaconSeen(BEACON, 99.0), *BOOT[:2], farm=initial("lab", {}))
    assert node(farm).verified
    assert farm.strangers == {}


def test_requests_in_the_name_of_another_do_not_count() -> None:
    farm = after(*BOOT[:2], BootEvent(Stage.AGENT, 101.0, MAC, "10.77.0.66", uptime=UPTIME))
    assert Stage.POWERED is node(farm).stage


def test_telemetry_must_be_the_nodes_own() -> None:
    farm = after(*BOOT)
    assert farm == after(TelemetrySeen(MAC, "10.77.0.66", TELEMETRY, 140.0, COMPILES), farm=farm)
    for wrong in (replace(TELEMETRY, mac=OTHER), replace(TELEMETRY, farm="other")):
        assert farm == after(TelemetrySeen(MAC, ADDRESS, wrong, 140.0, COMPILES), farm=farm)
    assert farm == after(TelemetrySeen(OTHER, ADDRESS, TELEMETRY, 140.0, COMPILES), farm=farm)


def test_an_address_belongs_to_who_got_it_last() -> None:
    farm = after(*READY, BootEvent(Stage.POWERED, 200.0, OTHER), BootEvent(None, 200.0, OTHER, ADDRESS))
    assert (node(farm).address, farm.nodes[OTHER].address) == ("", ADDRESS)
    assert node(farm).host is None


def test_tables_are_bounded() -> None:
    beacons = [BeaconSeen(replace(BEACON, instance=f"x{number}"), 1.0) for number in range(MAX_STRANGERS + 9)]
    assert len(after(*beacons).strangers) == MAX_STRANGERS
    macs = [f"52:54:00:00:{number // 256:02x}:{number % 256:02x}" for number in range(1000, 1000 + MAX_NODES)]
    others = {mac: Node(mac=mac, name="x") for mac in macs[:-1]}
    full = replace(after(*READY), nodes=after(*READY).nodes.update(others))
    more = after(BootEvent(Stage.POWERED, 300.0, OTHER), farm=full)
    assert len(more.nodes) == MAX_NODES
    assert {MAC, OTHER} <= set(more.nodes)


def mac(number: int) -> str:
    return f"52:54:01:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


@pytest.mark.parametrize("stage", [Stage.POWERED, Stage.LOADER, Stage.KERNEL, Stage.AGENT])
def test_machines_that_are_made_up_are_few_and_cost_no_real_one_its_place(stage: Stage) -> None:
    leased = BootEvent(None, 100.0, OTHER, "10.77.0.90")
    asked = [BootEvent(stage, 200.0 + number, mac(number), "10.77.0.66") for number in range(3 * MAX_NODES)]
    farm = after(*READY, leased, *asked)
    assert len(farm.nodes) == 2 + MAX_GUESTS
    assert {MAC, OTHER, mac(3 * MAX_NODES - 1)} < set(farm.nodes), "the real ones and the latest remain"
    late = "52:54:00:00:00:77"
    farm = after(BootEvent(Stage.POWERED, 9000.0, late), BootEvent(None, 9000.0, late, "10.77.0.91"), farm=farm)
    assert farm.nodes[late].address == "10.77.0.91"
    passed = fold(farm, SchedulerSaid(Tick(), 200.0 + 3 * MAX_NODES + GUEST_SECONDS))
    assert set(passed.nodes) == {MAC, OTHER, late}


def test_leases_for_machines_that_are_made_up_cost_none_its_place_that_was_met() -> None:
    leases = [BootEvent(None, 200.0 + number, mac(number), f"10.{number >> 8}.0.{number & 255}")
              for number in range(MAX_NODES + 9)]  # fmt: skip
    known = {f"52:54:02:00:00:{number:02x}": f"pc{number}" for number in range(64)}
    farm = after(*leases, farm=after(*READY, farm=initial("lab", {MAC: "pc01", **known})))
    assert len(farm.nodes) == MAX_NODES
    assert {MAC, *known, leases[-1].mac} < set(farm.nodes)
    asked = after(BootEvent(Stage.LOADER, 9000.0, OTHER, "10.77.0.66"), farm=farm)
    assert asked.nodes == farm.nodes, "a mere request does not take a lease's place"


def test_a_node_that_lost_its_address_was_met_all_the_same() -> None:
    farm = after(*READY, BootEvent(Stage.POWERED, 900.0, MAC), BootEvent(None, 901.0, OTHER, ADDRESS),
                 farm=initial("lab", {}))  # fmt: skip
    farm = fold(farm, SchedulerSaid(Tick(), 901.0 + 2 * GUEST_SECONDS))
    assert set(farm.nodes) == {MAC, OTHER}


def test_a_new_load_is_no_new_login() -> None:
    farm = after(*READY, SchedulerSaid(stats(1, load=900), 200.0))
    host = farm.host(node(farm))
    assert host is not None
    assert (host.load, host.since, host.logins) == (900, 132.0, 1)


def test_readings_are_kept_for_graphs() -> None:
    told = replace(TELEMETRY, cpu=Processors([50.0, 100.0]), memory=Memory(8 << 30, 4 << 30))
    farm = after(*BOOT, *(TelemetrySeen(MAC, ADDRESS, told, 130.0 + n, COMPILES) for n in range(MAX_READINGS + 5)))
    assert len(node(farm).readings) == MAX_READINGS
    assert Reading(130.0 + MAX_READINGS + 4, 75.0, 4 << 30, 0, 0, 0) == node(farm).readings[-1]


def test_services_are_as_supervisord_says() -> None:
    farm = after(ServicesSeen((WatchedService("nginx", "RUNNING", 12),), 5.0))
    assert ((WatchedService("nginx", "RUNNING", 12),), "") == (farm.services, farm.services_why)


def test_what_an_earlier_farmd_saw_of_this_boot_counts() -> None:
    times = {Stage.REGISTERED: 131.0, Stage.READY: 131.5}
    for started, expected in ((100.0, 131.5), (50.0, 136.0)):
        farm = after(Remembered(MAC, started, times), farm=after(*READY))
        assert expected == node(farm).stages[Stage.READY]
    assert after() == after(Remembered(OTHER, 1.0, times))


def test_an_order_stands_until_it_is_taken_back_or_the_node_boots_anew() -> None:
    off = Ordered(MAC, "off", 140.0)
    told = after(OrdersSeen((off, Ordered(OTHER, "drain", 1.0))), farm=after(*READY))
    assert off == node(told).order
    assert node(after(OrdersSeen(()), farm=told)).order is None
    again = after(BootEvent(Stage.POWERED, 400.0, MAC), OrdersSeen((off,)), farm=told)
    assert (node(again).order, node(again).started) == (None, 400.0)
    assert list(told.nodes) == [MAC]


NO_ROLES = RolesTold()
AGENT: list[Event] = [*BOOT, BeaconSeen(BEACON, 130.0)]


def test_a_machine_that_does_not_compile_is_ready_when_its_agent_says_so() -> None:
    farm = after(*AGENT, TelemetrySeen(MAC, ADDRESS, TELEMETRY, 136.0, NO_ROLES))
    assert (Stage.READY, 136.0, ()) == (node(farm).stage, node(farm).since, node(farm).roles)
    assert {"powered", "loader", "kernel", "root", "agent", "ready"} == node(farm).stages.keys()
    assert node(farm).host is None


def test_a_machine_that_does_not_compile_is_lost_when_its_agent_is_silent() -> None:
    farm = after(*AGENT, TelemetrySeen(MAC, ADDRESS, TELEMETRY, 136.0, NO_ROLES), TelemetryLost(MAC, 200.0))
    assert Stage.LOST is node(farm).stage
    farm = after(TelemetrySeen(MAC, ADDRESS, TELEMETRY, 230.0, NO_ROLES), farm=farm)
    assert Stage.READY is node(farm).stage
    assert Stage.POWERED is node(after(BootEvent(Stage.POWERED, 500.0, MAC), farm=farm)).stage


def test_what_a_machine_is_for_stays_known_while_its_agent_is_silent() -> None:
    farm = after(*AGENT, TelemetrySeen(MAC, ADDRESS, TELEMETRY, 136.0, NO_ROLES), TelemetryLost(MAC, 200.0))
    assert () == node(farm).roles
    assert ("compile",) == node(after(TelemetrySeen(MAC, ADDRESS, TELEMETRY, 230.0, COMPILES), farm=farm)).roles


def test_somebodys_login_in_its_name_does_not_bring_a_machine_up_that_does_not_compile() -> None:
    farm = after(*AGENT, TelemetrySeen(MAC, ADDRESS, TELEMETRY, 136.0, NO_ROLES), up(140.0), login(141.0))
    assert Stage.READY is node(farm).stage
    farm = after(BeaconLost(BEACON.instance, 145.0), TelemetryLost(MAC, 150.0), farm=farm)
    assert Stage.LOST is node(farm).stage


MACS = st.sampled_from([MAC, OTHER, ""])
ADDRESSES = st.sampled_from([ADDRESS, "10.77.0.58", ""])
BOOT_IDS = st.sampled_from(["", "1", "2"])
TIMES = st.floats(0, 1000)
IDS = st.integers(0, 3)
ANY_EVENT = st.one_of(
    st.builds(
        BootEvent,
        st.sampled_from([None, *BOOT_STAGES[:5]]),
        TIMES,
        MACS,
        ADDRESSES,
        uptime=st.sampled_from([{}, UPTIME]),
        boot_id=BOOT_IDS,
    ),
    st.builds(
        BeaconSeen,
        st.builds(Beacon, st.sampled_from("ab"), st.sampled_from(["lab", "x"]), MACS, ADDRESSES, st.just(1)),
        TIMES,
    ),
    st.builds(BeaconLost, st.sampled_from("ab"), TIMES),
    st.builds(
        lambda boot_id, mac, address, time, roles: TelemetrySeen(
            mac, address, replace(TELEMETRY, mac=mac, boot_id=boot_id), time, roles
        ),
        BOOT_IDS,
        MACS,
        ADDRESSES,
        TIMES,
        st.sampled_from([COMPILES, RolesTold()]),
    ),
    st.builds(TelemetryLost, MACS, TIMES),
    st.builds(lambda mac, time: OrdersSeen((Ordered(mac, "off", time),)), MACS, TIMES),
    st.builds(login, TIMES, st.integers(0, 3), st.sampled_from(["pc01", "x"]), ADDRESSES, st.integers(0, 4)),
    st.builds(logout, TIMES, st.integers(0, 3)),
    st.builds(up, TIMES),
    st.builds(lambda time: SchedulerSaid(Tick(), 20 * time), TIMES),
    st.builds(down, TIMES),
    st.builds(lambda job, host, time: SchedulerSaid(protocol.JobBegun(job, host, 0), time), IDS, IDS, TIMES),
    st.builds(lambda job, time: SchedulerSaid(done(job), time), IDS, TIMES),
)


@settings(max_examples=60)
@given(st.lists(ANY_EVENT, max_size=40))
def test_whatever_happens_the_state_holds_together(events: list[Event]) -> None:
    farm = after(*events)
    addresses = [each.address for each in farm.nodes.values() if each.address]
    assert sorted(set(addresses)) == sorted(addresses)
    assert {each.address: each.mac for each in farm.nodes.values() if each.address} == dict(farm.addresses)
    assert {mac for mac, each in farm.nodes.items() if each.guest} == set(farm.guests)
    for each in farm.nodes.values():
        assert each.stage is Stage.OFF or each.stages or each.heard
        assert each.host is None or farm.activity.hosts[each.host].address == each.address
        assert not each.verified or each.address
        assert not each.address or each.leased or each.boot_id
