"""A snapshot and deltas lead a watcher to what is known."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.config import FIRST_KIND, Config
from farm.instance import Instance
from farm.nodes.blocking import name_for_scheduler
from farm.scheduler import protocol
from farm.view.from_state import bare_overview, build, build_bare, overview
from farm.view.live import Live, Update, decode, delta, encode, snapshot
from farm.view.status import Overview, Status
from farm.watch.activity import Listed, Tick, daemons
from farm.watch.events import BootEvent, Event, SchedulerSaid, Stage, TelemetrySeen
from farm.watch.node_telemetry import CompileTold, RolesTold, Telemetry
from farm.watch.state import Farm, fold, initial
from tests.scheduler_says import done, down, login, logout, stats, up

MAC = "52:54:00:00:00:01"
ADDRESS = "10.77.0.57"
RUNNING = Instance(
    config=Config(name="lab"), interface="farm0", images={FIRST_KIND: "v2"}, started=50.0, namespace="farm-lab"
)
TOLD = Telemetry(farm="lab", name="pc01", mac=MAC, uptime=20.0, image="v1")


def said(event: protocol.Event | Listed | Tick, time: float = 200.0) -> SchedulerSaid:
    return SchedulerSaid(event, time)


BUSY: list[Event] = [
    BootEvent(Stage.POWERED, 100.0, MAC),
    BootEvent(None, 100.0, MAC, ADDRESS),
    up(110.0),
    login(120.0),
    login(120.0, 2, "server", "10.77.0.1", 0),
    login(120.0, 3, "guest", "10.77.0.9", 2),
    TelemetrySeen(MAC, ADDRESS, TOLD, 121.0, RolesTold(CompileTold(ready=True))),
    said(protocol.JobRequested(1, 2, "a/b/c.c", 0)),
    said(protocol.JobRequested(2, 2, "a/b/d.c", 0)),
    said(protocol.JobBegun(1, 1, 0)),
    said(Tick(), 201.0),
    said(done(1)),
]


def after(*events: Event, farm: Farm | None = None) -> Farm:
    return reduce(fold, events, farm or initial("lab", {MAC: "pc01"}, kind=FIRST_KIND))


def of(farm: Farm) -> Overview:
    return overview(farm, RUNNING)


def follow(farms: list[Farm]) -> Live:
    """A watcher to whom the first state came as a snapshot and each later one as a delta, over the wire."""
    live = Live()
    updates: list[Update] = [snapshot(farms[0], of(farms[0]), 1.0)]
    for old, new in pairwise(farms):
        updates.append(delta(old, new, of(old), of(new), 2.0))
    for update in updates:
        live.apply(decode(encode(update)))
    return live


def known(live: Live) -> dict[str, object]:
    return {
        "overview": live.overview,
        "nodes": live.nodes,
        "jobs": live.jobs,
        "ended": list(live.ended),
        "samples": list(live.samples),
    }


def test_a_snapshot_holds_machines_and_all_other_daemons() -> None:
    live = follow([after(*BUSY)])
    assert {MAC, "server@10.77.0.1", "guest@10.77.0.9"} == set(live.nodes)
    assert (Stage.READY, "v1", True) == (live.nodes[MAC].stage, live.nodes[MAC].image, live.nodes[MAC].outdated)
    assert [2] == list(live.jobs)
    assert [1] == [job.id for job in live.ended]
    assert live.nodes[live.by_host["pc01", ADDRESS]].mac == MAC


def test_a_delta_holds_only_what_has_changed() -> None:
    old = after(*BUSY)
    new = after(said(protocol.JobBegun(2, 1, 0)), said(Tick(), 202.0), farm=old)
    change = delta(old, new, of(old), of(new), 3.0)
    assert {MAC, "server@10.77.0.1"} == {node.key for node in change.nodes}
    assert ([2], [], [], None) == ([job.id for job in change.jobs], change.ended, change.lost, change.overview)
    assert [202.0] == [sample.time for sample in change.samples]
    nothing = delta(new, new, of(new), of(new), 4.0)
    assert b'{"type":"delta","time":4.0}' == encode(nothing)


def test_another_image_makes_nodes_outdated_at_once() -> None:
    farm = after(*BUSY)
    other = overview(farm, replace(RUNNING, images={FIRST_KIND: "v1"}))
    change = delta(farm, farm, of(farm), other, 3.0)
    assert [False] == [node.outdated for node in change.nodes if node.mac]


EVENTS = st.one_of(
    st.sampled_from(BUSY),
    st.builds(login, st.just(300.0), st.integers(1, 4), st.sampled_from(["pc01", "guest"])),
    st.builds(logout, st.just(310.0), st.integers(1, 4)),
    st.sampled_from([down(320.0), up(330.0), said(Listed((), ("pc01",)))]),
    st.builds(lambda id: said(protocol.JobRequested(id, 2, "x", 0)), st.integers(1, 9)),
    st.builds(lambda id: said(protocol.JobBegun(id, 1, 0)), st.integers(1, 9)),
    st.builds(lambda id, code: said(done(id, code)), st.integers(1, 9), st.integers(0, 1)),
    st.builds(lambda time: said(Tick(), time), st.floats(400, 500)),
)


@settings(max_examples=100)
@given(st.lists(st.lists(EVENTS, max_size=6), min_size=1, max_size=6))
def test_whoever_follows_knows_what_a_newcomer_is_told(batches: list[list[Event]]) -> None:
    farms = [after(*BUSY)]
    for batch in batches:
        ticks = [event for event in batch if not (isinstance(event, SchedulerSaid) and isinstance(event.event, Tick))]
        farms.append(after(*ticks, farm=farms[-1]))
    assert known(follow(farms)) == known(follow(farms[-1:]))


def test_a_machine_that_is_logged_in_no_more_stays_one_node() -> None:
    blocked = after(*BUSY, logout(210.0), said(Listed((), ("pc01",)), 211.0))
    booting = after(*BUSY, BootEvent(Stage.POWERED, 310.0, MAC), BootEvent(Stage.LOADER, 311.0, MAC, ADDRESS))
    for farm, stage in ((blocked, Stage.AGENT), (booting, Stage.LOADER)):
        live = follow([after(*BUSY), farm])
        assert {MAC, "server@10.77.0.1", "guest@10.77.0.9"} == set(live.nodes)
        node = live.nodes[MAC]
        assert node.host is not None
        assert (stage, False, 1) == (node.stage, node.host.online, node.host.jobs_done)
        assert live.nodes[live.by_host["pc01", ADDRESS]] is node
        assert ["guest", "server"] == [host.name for host in build(farm, RUNNING).hosts]


def test_a_daemon_that_made_room_for_another_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons, "MAX_HOSTS", 2)
    farms = [after(*BUSY[2:5], farm=initial("lab", {}))]
    for number in range(3, 6):
        farms.append(after(logout(130.0, number - 2), login(140.0, number, f"dev{number}", "10.9.9.9"), farm=farms[-1]))
    live = follow(farms)
    assert {f"dev{number}@10.9.9.9" for number in (4, 5)} == set(live.nodes)
    assert {(f"dev{number}", "10.9.9.9") for number in (4, 5)} == set(live.by_host)


def test_a_scheduler_without_a_farm_has_nodes_too() -> None:
    farm = after(up(90.0), *BUSY[3:6], farm=initial("", {}))
    status = build_bare(farm, "lab")
    assert ["guest", "pc01"] == [node.name for node in status.nodes]
    assert [0.0, 0.0] == [node.since for node in status.nodes], "since when they are there nobody told"
    assert ["server"] == [host.name for host in status.hosts]
    assert ("", "10.77.0.1:8765", "lab") == (status.farm, status.scheduler.address, status.scheduler.netname)
    assert bare_overview(after(down(95.0, "gone"), farm=farm), "lab").problems == [
        "The scheduler does not answer. gone"
    ]


def test_a_blocked_node_is_said_to_be() -> None:
    farm = after(*BUSY, said(Listed((), ("guest", "10.77.0.57"))))
    status = build(farm, RUNNING)
    assert {"guest": True, "server": False} == {host.name: host.blocked for host in status.hosts}
    assert status.nodes[0].host is not None
    assert status.nodes[0].host.blocked
    assert stats(1).name == status.nodes[0].name


def test_what_was_blocked_before_the_watching_began_is_shown() -> None:
    farm = after(up(90.0), *BUSY[3:6], farm=initial("", {}))
    refused = after(said(Listed((), ("pc09", "10.77.0.66", "guest"))), farm=farm)
    shown = {node.key: node for node in build_bare(refused, "lab").nodes if node.blocked}
    assert {"guest@10.77.0.9", "pc09", "10.77.0.66"} == set(shown)
    assert (shown["pc09"].address, shown["10.77.0.66"].address) == ("", "10.77.0.66")
    assert (shown["pc09"].host, shown["pc09"].stage) == (None, Stage.LOST)
    newcomer = follow([refused])
    assert {"pc09", "10.77.0.66"} < set(newcomer.nodes)
    live = follow([farm, refused, after(said(Listed((), ())), farm=refused)])
    assert {"pc09", "10.77.0.66"}.isdisjoint(live.nodes)
    ours = build(after(*BUSY, said(Listed((), ("pc09", "pc01")))), RUNNING).nodes
    assert {"pc01": True, "pc09": True} == {node.name: node.blocked for node in ours}


def test_whatever_was_sent_away_is_named_until_it_is_let_in_again() -> None:
    gone = [said(protocol.NodeOffline(2), 205.0), said(protocol.NodeOffline(3), 205.0)]
    words = ("server", "10.77.0.9")
    farm = after(*BUSY, *gone, said(Listed((), words), 206.0))
    bare = after(up(90.0), *BUSY[3:6], *gone, said(Listed((), words), 206.0), farm=initial("", {}))
    keys = {"server@10.77.0.1", "guest@10.77.0.9"}
    assert keys == {node.key for node in build(farm, RUNNING).nodes if node.blocked}
    assert keys == {node.key for node in build_bare(bare, "lab").nodes if node.blocked}
    again = after(said(Listed((), ()), 207.0), farm=farm)
    assert [MAC] == [node.key for node in build(again, RUNNING).nodes]


def test_a_machine_carries_a_section_for_each_role_that_it_has() -> None:
    desk = TelemetrySeen(MAC, ADDRESS, TOLD, 121.0, RolesTold())
    events = [BootEvent(None, 100.0, MAC, ADDRESS), BootEvent(Stage.AGENT, 101.0, MAC, ADDRESS), desk]
    status = build(reduce(fold, events, initial("lab", {MAC: "pc01"})), RUNNING)
    plain = msgspec.to_builtins(status)
    assert 2 == plain["schema"]
    assert (None, "ready", ()) == (plain["nodes"][0]["compile"], plain["nodes"][0]["stage"], status.nodes[0].roles)
    assert "pc01" == plain["nodes"][0]["telemetry"]["name"]


def test_a_machine_with_two_daemons_is_one_node() -> None:
    offering = TelemetrySeen(MAC, ADDRESS, TOLD, 122.0, RolesTold(CompileTold(True, slots=4, offered=4)))
    events = [*BUSY, login(123.0, 4, "pc01.spare", ADDRESS, 3), offering, said(protocol.JobBegun(2, 4, 0), 202.0)]
    farm = after(*events)
    status = build(farm, RUNNING)
    node = next(each for each in status.nodes if each.mac)
    assert node.host is not None
    assert [4, 3] == [login.slots for login in node.logins]
    assert (7, 1) == (node.host.slots, node.host.jobs_running)
    assert "pc01.spare" not in [host.name for host in status.hosts]
    assert MAC == follow([after(*BUSY), farm]).by_host["pc01.spare", ADDRESS]
    assert ADDRESS == name_for_scheduler(node), "an order is for both"

    left = after(logout(204.0, 4), farm=farm)
    node = next(each for each in build(left, RUNNING).nodes if each.mac)
    assert node.host is not None
    assert 4 == node.host.slots


def test_a_machine_that_offers_nothing_while_it_is_used_is_ready() -> None:
    used = RolesTold(CompileTold(True, slots=4, offered=0, in_use=True))
    events = [BootEvent(Stage.POWERED, 100.0, MAC), BootEvent(None, 100.0, MAC, ADDRESS), up(110.0)]
    farm = after(*events, login(120.0, 1, "pc01", ADDRESS, 0), TelemetrySeen(MAC, ADDRESS, TOLD, 121.0, used))
    assert Stage.READY is farm.nodes[MAC].stage


def test_what_is_of_another_schema_is_not_taken_for_this_one() -> None:
    before = msgspec.to_builtins(build(initial("lab", {}), RUNNING)) | {"schema": 1}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(before, Status)
