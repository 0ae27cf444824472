"""What is known of a farm, and how each event changes it: frozen records and pure functions.

``fold(farm, event)`` is the only way the state changes. Events come from strangers too (DHCP, HTTP requests,
multicast), so tables are bounded and claims are checked against what DHCP has given out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar, assert_never

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from farm.activity import NOBODY, Activity, Host, HostKey, Tick
from farm.activity import fold as fold_activity
from farm.config import Nodes
from farm.events import (
    BOOT_STAGES,
    Beacon,
    BeaconLost,
    BeaconSeen,
    BootEvent,
    CanarySeen,
    Event,
    Examined,
    Finding,
    Ordered,
    OrdersSeen,
    Remembered,
    SchedulerSaid,
    Service,
    ServicesSeen,
    Stage,
    StrangersRefused,
    Telemetry,
    TelemetryLost,
    TelemetrySeen,
)
from farm.refusals import Refusal, Refusals, answered, noted, recent
from farm.scheduler.monitor import Connected, Disconnected
from farm.scheduler.protocol import NodeOffline, NodeStats

Key = TypeVar("Key")
Value = TypeVar("Value")

MAX_NODES = 2048
MAX_GUESTS = 256
"""Of these, the machines that have only asked for something: anybody can ask in any name."""
GUEST_SECONDS = 3600.0
"""So long after it last asked for something is such a machine forgotten."""
MAX_STRANGERS = 64
MAX_READINGS = 180
"""A quarter of an hour, one every five seconds."""
TELEMETRY_PORT = Nodes().telemetry_port
"""As farm.yaml has it unless set."""
STALE_SECONDS = 120.0
"""A machine that asks DHCP again so long after it last did has been switched on anew."""
CLOCK_SECONDS = 10.0
"""How far apart two accounts of when a boot began may lie."""


ANSWERS = "answers"
"""The probe that asks every service what it would be asked by a client."""
NO_JOBS = 1000
"""The load at which the scheduler gives a node no jobs."""


class Reading(Struct, frozen=True):
    """What a node's agent measured, for graphs."""

    time: float
    cpu: float
    """Mean percent of its processors."""
    available: int
    """Memory, bytes."""
    overlay: int
    """Used, bytes."""
    received: int
    """Bytes since the kernel started, like ``sent``."""
    sent: int


class Node(Struct, frozen=True, kw_only=True):
    """A machine, keyed by the MAC it boots from."""

    mac: str
    name: str
    known: bool = False
    """farm.yaml or the virtual lab names it."""
    address: str = ""
    """As DHCP gave it."""
    image: str = ""
    stage: Stage = Stage.OFF
    since: float = 0.0
    """Unix time of the last change of ``stage``."""
    started: float = 0.0
    """Unix time at which this boot began, as far as is known."""
    asked: float = 0.0
    """Unix time of its last DHCPDISCOVER."""
    stages: dict[Stage, float] = {}
    """Unix time at which each stage was first reached in this boot."""
    uptime: dict[str, float] = {}
    """What the node itself noted: stage → seconds since its kernel started."""
    fetched: int = 0
    """Bytes of kernel, initrd and scripts sent to it in this boot."""
    heard: bool = False
    """Its agent was heard in this boot."""
    port: int = TELEMETRY_PORT
    """Where its agent answers."""
    beacon: Beacon | None = None
    beacon_time: float = 0.0
    telemetry: Telemetry | None = None
    telemetry_time: float = 0.0
    silent: bool = False
    """Its agent has stopped answering; zeroconf may keep its beacon for 19 minutes more."""
    readings: tuple[Reading, ...] = ()
    """The last MAX_READINGS, in this boot or before."""
    host: HostKey | None = None
    """Its login at the scheduler, in ``Farm.activity.hosts``."""
    order: Ordered | None = None
    """What it was told, until that is done."""

    @property
    def verified(self) -> bool:
        """Its agent was heard at the address that DHCP gave to this MAC, in this boot."""
        return self._beacon_counts or self._telemetry_counts

    @property
    def _beacon_counts(self) -> bool:
        return self.beacon is not None and self.beacon_time >= self.started

    @property
    def _telemetry_counts(self) -> bool:
        return self.telemetry is not None and self.telemetry_time >= self.started

    @property
    def guest(self) -> bool:
        """Nothing but requests vouches for it: it is not configured, has no lease of ours, and was never heard."""
        return not (self.address or self.met)

    @property
    def met(self) -> bool:
        """It is configured, or its agent was heard, in this boot or before."""
        return self.known or self.heard or bool(self.readings)

    @property
    def works(self) -> bool:
        """Its agent says that iceccd runs."""
        if self._telemetry_counts and self.telemetry is not None:
            return self.telemetry.iceccd
        return self._beacon_counts and self.beacon is not None and self.beacon.stage == Stage.READY


class Farm(Struct, frozen=True, kw_only=True):
    """All that is known."""

    name: str
    telemetry_port: int = TELEMETRY_PORT
    """Where agents answer unless their beacon says otherwise."""
    nodes: Map[str, Node] = Map()
    addresses: Map[str, str] = Map()
    """Address → MAC of the node that has it."""
    guests: Map[str, float] = Map()
    """MAC → Unix time of the last news, of nodes that have only asked for something."""
    activity: Activity = Activity()
    """What the scheduler tells: daemons and jobs."""
    strangers: dict[str, Beacon] = {}
    """Advertisements that nothing bears out, by instance."""
    refusals: Refusals = {}
    services: tuple[Service, ...] = ()
    services_why: str = "Not asked yet."
    findings: Map[str, tuple[Finding, ...]] = Map()
    """What farmd's probes find wrong, by probe."""

    refused: frozenset[str] = frozenset()
    """Addresses of strangers that farmd has had blocked."""

    def silent(self, service: str) -> str:
        """Why a service that runs does not answer; empty when it does."""
        found = (each for each in self.findings.get(ANSWERS, ()) if each.about == service)
        return next((each.what for each in found), "")

    def host(self, node: Node) -> Host | None:
        """A node's login at the scheduler."""
        return None if node.host is None else self.activity.hosts.get(node.host)

    def last_host(self, node: Node) -> Host | None:
        """A node's login, or else its last one, which has ended even if the scheduler has not noticed yet."""
        if (host := self.host(node)) is not None:
            return host
        known = (self.activity.hosts.get(key) for key in login_keys(node))
        last = max((host for host in known if host is not None), key=lambda host: host.since, default=None)
        return None if last is None else replace(last, online=False)


def default_name(mac: str) -> str:
    """What a node calls itself when the server gives it no name."""
    return "node-" + mac.replace(":", "")[-6:]


def login_keys(node: Node) -> tuple[HostKey, ...]:
    """By what a scheduler may know a node: its name or the one it makes up, each with its address."""
    return tuple((name, node.address) for name in dict.fromkeys((node.name, default_name(node.mac))))


def initial(name: str, known: Mapping[str, str], telemetry_port: int = TELEMETRY_PORT) -> Farm:
    """A farm of which only the configuration is known; ``known``: MAC → name."""
    nodes = {mac: Node(mac=mac, name=node, known=True, port=telemetry_port) for mac, node in known.items()}
    return Farm(name=name, telemetry_port=telemetry_port, nodes=Map(nodes))


def resumed(farm: Farm, nodes: Iterable[Node]) -> Farm:
    """The farm with machines as an earlier process knew them; names are as the configuration has them now."""
    for node in nodes:
        configured = farm.nodes.get(node.mac)
        name = configured.name if configured else default_name(node.mac) if node.known else node.name
        node = replace(node, known=configured is not None, name=name)
        if len(farm.nodes) < MAX_NODES or configured:
            farm = _put(farm, node, node.since)
    return farm


def addressed(farm: Farm, node: Node) -> Node:
    """Of a machine that was seen before this `farm up`, only its address is of use: it may have been left running."""
    return Node(mac=node.mac, name=node.name, known=node.known, address=node.address, port=farm.telemetry_port)


def fold(farm: Farm, event: Event) -> Farm:
    """The farm after an event."""
    match event:
        case BootEvent():
            return _boot(farm, event)
        case BeaconSeen():
            return _beacon_seen(farm, event)
        case BeaconLost():
            return _beacon_lost(farm, event)
        case TelemetrySeen():
            return _telemetry_seen(farm, event)
        case TelemetryLost():
            node = farm.nodes.get(event.mac)
            return farm if node is None else _put(farm, replace(node, telemetry=None, silent=True), event.time)
        case SchedulerSaid():
            return _said(farm, event)
        case ServicesSeen():
            refusals = recent(farm.refusals, event.time)
            return replace(farm, services=event.services, services_why=event.why, refusals=refusals)
        case Examined():
            return replace(farm, findings=farm.findings.set(event.probe, event.findings))
        case CanarySeen():
            return _tried(farm, event)
        case StrangersRefused():
            return replace(farm, refused=event.addresses)
        case OrdersSeen():
            return _ordered(farm, event)
        case Remembered():
            return _remembered(farm, event)
        case _:
            assert_never(event)


def _put(farm: Farm, node: Node, time: float) -> Farm:
    """Take over a changed node, and work out its stage from everything that is known of it."""
    host = _login(farm, node)
    key = None if host is None else host.key
    heard = node.heard or node.verified or host is not None
    if key != node.host or heard != node.heard:
        node = replace(node, host=key, heard=heard)
    stage = _stage(node, host)
    if stage != node.stage:
        node = replace(node, stage=stage, since=time)
    reached = {Stage.REGISTERED, Stage.READY} if stage is Stage.READY else {stage} & set(BOOT_STAGES)
    if missing := reached - node.stages.keys():
        node = replace(node, stages={**node.stages, **dict.fromkeys(missing, time)})
    old = farm.nodes.get(node.mac)
    if old is node:
        return farm
    addresses, guests = farm.addresses, farm.guests
    if old is None or old.address != node.address:
        addresses = _without_address(addresses, old)
        addresses = addresses.set(node.address, node.mac) if node.address else addresses
    if node.guest:
        guests = guests.set(node.mac, time)
    elif node.mac in guests:
        guests = guests.delete(node.mac)
    return replace(farm, nodes=farm.nodes.set(node.mac, node), addresses=addresses, guests=guests)


def _without_address(addresses: Map[str, str], node: Node | None) -> Map[str, str]:
    return addresses.delete(node.address) if node and addresses.get(node.address) == node.mac else addresses


def _forget(farm: Farm, node: Node) -> Farm:
    guests = farm.guests.delete(node.mac) if node.mac in farm.guests else farm.guests
    addresses = _without_address(farm.addresses, node)
    return replace(farm, nodes=farm.nodes.delete(node.mac), addresses=addresses, guests=guests)


def _login(farm: Farm, node: Node) -> Host | None:
    """A node's login of this boot: the scheduler misses that of the last one late."""
    for key in login_keys(node):
        host = farm.activity.hosts.get(key)
        if host is not None and host.online and host.since >= node.started:
            return host
    return None


def _stage(node: Node, host: Host | None) -> Stage:
    if host is not None:
        # iceccd logs in with load 1000, at which no job is given; it tells its true load some 3 s later.
        open_for_jobs = host.load < NO_JOBS or Stage.READY in node.stages
        works = host.slots > 0 and not host.no_remote and node.works
        return Stage.READY if works and open_for_jobs else Stage.REGISTERED
    if node.verified and not node.silent:
        return Stage.AGENT
    if node.heard or Stage.REGISTERED in node.stages:
        # Also after farmd was started anew: that a node was there is no news of it now.
        return Stage.LOST
    return max(node.stages, key=lambda stage: stage.rank, default=Stage.OFF)


def _at(farm: Farm, address: str) -> Node | None:
    return farm.nodes.get(farm.addresses.get(address, ""))


def _boot(farm: Farm, event: BootEvent) -> Farm:
    node = farm.nodes.get(event.mac) if event.mac else _at(farm, event.address)
    mac = node.mac if node else event.mac
    if event.refused:
        refusal = Refusal(event.refused, event.time)
        return replace(farm, refusals=noted(farm.refusals, mac, refusal)) if mac else farm
    if mac in farm.refusals and event.stage is not Stage.POWERED:
        farm = replace(farm, refusals=answered(farm.refusals, mac, loader=event.stage is not None))
    if node is None:
        if not event.mac:
            return farm
        farm = _with_room(farm, leased=event.stage is None)
        if len(farm.nodes) >= MAX_NODES:
            return farm
        node = Node(mac=event.mac, name=default_name(event.mac), port=farm.telemetry_port)
    if event.stage is None:
        return _lease(farm, node, event)
    if event.stage is Stage.POWERED:
        return _put(farm, _asked(node, event.time), event.time)
    if event.address and node.address and event.address != node.address:
        return farm  # someone else asks in its name
    if event.stage is Stage.LOADER and Stage.KERNEL in node.stages:
        node = _restarted(node, node.asked if node.asked > node.stages[Stage.KERNEL] else event.time)
    return _put(farm, _came_to(node, event.stage, event), event.time)


def _with_room(farm: Farm, *, leased: bool) -> Farm:
    """Room for one more machine: those that only asked give way to one another, and all that were never met to a lease.

    So nothing that somebody makes up costs a machine its place that is configured or was heard.
    """
    while not leased and len(farm.guests) >= MAX_GUESTS:
        farm = _forget(farm, farm.nodes[min(farm.guests, key=farm.guests.__getitem__)])
    if len(farm.nodes) >= MAX_NODES:
        unmet = [node for node in farm.nodes.values() if not node.met and (leased or not node.address)]
        if unmet:
            return _forget(farm, min(unmet, key=lambda node: (bool(node.address), node.asked, node.since)))
    return farm


def _without_old_guests(farm: Farm, now: float) -> Farm:
    for mac, last in farm.guests.items():
        if now - last > GUEST_SECONDS:
            farm = _forget(farm, farm.nodes[mac])
    return farm


def _restarted(node: Node, time: float) -> Node:
    """The node at the start of a new boot; what it said in the last one no longer counts (see Node.verified)."""
    stages = {Stage.POWERED: time} if node.asked == time else {}
    return replace(
        node, started=time, stages=stages, uptime={}, fetched=0, heard=False, silent=False, image="", order=None
    )


def _asked(node: Node, time: float) -> Node:
    """DHCPDISCOVER: sent by firmware and loader, then by the booting system; a lease's renewal sends none.

    One that is not a new boot for sure changes nothing yet: if it is one, the loader soon fetches its script.
    """
    waited = node.stage in (Stage.POWERED, Stage.LOADER) and time - node.asked > STALE_SECONDS
    ran = node.stage.rank >= Stage.AGENT.rank and time - node.stages.get(Stage.AGENT, 0.0) > STALE_SECONDS
    node = replace(node, asked=time)
    return _restarted(node, time) if waited or ran or node.stage is Stage.OFF else node


def _came_to(node: Node, stage: Stage, event: BootEvent) -> Node:
    stages = {stage: event.time, **node.stages}
    if "agent" in event.uptime:
        began = event.time - event.uptime["agent"]
        stages = {**_noted(event.uptime, began), **stages}
    return replace(
        node,
        started=node.started or event.time,
        stages=stages,
        uptime=event.uptime or node.uptime,
        image=event.image or node.image,
        fetched=node.fetched + event.bytes,
    )


def _noted(uptime: Mapping[str, float], began: float) -> dict[Stage, float]:
    """Unix times of the stages that a node noted itself, its kernel having begun at ``began``."""
    return {stage: began + uptime[stage] for stage in (Stage.KERNEL, Stage.ROOT, Stage.AGENT) if stage in uptime}


def _lease(farm: Farm, node: Node, event: BootEvent) -> Farm:
    before = _at(farm, event.address)
    if before is not None and before.mac != node.mac:
        farm = _put(farm, _moved(before, ""), event.time)
    farm = _put(farm, _moved(node, event.address), event.time)
    for beacon in farm.strangers.values():
        if beacon.mac == node.mac and beacon.address == event.address:
            return _beacon_seen(farm, BeaconSeen(beacon, event.time))
    return farm


def _moved(node: Node, address: str) -> Node:
    """The node at another address: what was heard from the old one no longer counts."""
    return node if address == node.address else replace(node, address=address, beacon=None, telemetry=None)


def _beacon_seen(farm: Farm, event: BeaconSeen) -> Farm:
    beacon = event.beacon
    node = farm.nodes.get(beacon.mac)
    if node is not None and beacon.farm == farm.name and node.address and beacon.address == node.address:
        farm = replace(farm, strangers=_without(farm.strangers, beacon.instance))
        image = beacon.image or node.image
        node = replace(node, beacon=beacon, beacon_time=event.time, silent=False, port=beacon.port, image=image)
        return _put(farm, node, event.time)
    if beacon.instance not in farm.strangers and len(farm.strangers) >= MAX_STRANGERS:
        return farm
    return replace(farm, strangers={**farm.strangers, beacon.instance: beacon})


def _beacon_lost(farm: Farm, event: BeaconLost) -> Farm:
    farm = replace(farm, strangers=_without(farm.strangers, event.instance))
    for node in farm.nodes.values():
        if node.beacon is not None and node.beacon.instance == event.instance:
            return _put(farm, replace(node, beacon=None), event.time)
    return farm


def _telemetry_seen(farm: Farm, event: TelemetrySeen) -> Farm:
    node, told = farm.nodes.get(event.mac), event.telemetry
    if node is None or not node.address or node.address != event.address:
        return farm
    if told.mac != event.mac or told.farm != farm.name:
        return farm
    began = event.time - told.uptime
    if node.started - began > CLOCK_SECONDS:
        # It asked DHCP anew while it ran (its cable was out, say): that was no boot.
        node = replace(node, started=began, stages={})
    node = replace(
        node,
        started=node.started or began,
        stages={**_noted(told.boot, began), **node.stages},
        telemetry=told,
        telemetry_time=event.time,
        silent=False,
        name=told.name,
        image=told.image or node.image,
        uptime=told.boot or node.uptime,
        readings=(*node.readings[1 - MAX_READINGS :], _reading(told, event.time)),
    )
    return _put(farm, node, event.time)


def _reading(told: Telemetry, time: float) -> Reading:
    percent = told.cpu.percent
    cpu = sum(percent) / len(percent) if percent else 0.0
    network = told.network
    return Reading(time, cpu, told.memory.available, told.overlay.used, network.received, network.sent)


def _said(farm: Farm, said: SchedulerSaid) -> Farm:
    before = farm.activity
    activity = fold_activity(before, said.event, said.time)
    if activity is before:
        return farm
    farm = replace(farm, activity=activity)
    match said.event:
        case NodeStats(address=address):
            node = _at(farm, address)
            return farm if node is None else _put(farm, node, said.time)
        case NodeOffline(host=host):
            node = _at(farm, before.ids.get(host, NOBODY)[1])
            return farm if node is None else _put(farm, node, said.time)
        case Tick():
            return _without_old_guests(farm, said.time)
        case Connected() | Disconnected():
            for node in farm.nodes.values():
                if node.host is not None:
                    farm = _put(farm, node, said.time)
    return farm


def _tried(farm: Farm, event: CanarySeen) -> Farm:
    host = farm.activity.hosts.get(event.daemon)
    if host is None:
        return farm
    hosts = farm.activity.hosts.set(host.key, replace(host, canary=event.result))
    return replace(farm, activity=replace(farm.activity, hosts=hosts))


def _ordered(farm: Farm, event: OrdersSeen) -> Farm:
    orders = {order.mac: order for order in event.orders}
    for mac, node in farm.nodes.items():
        order = orders.get(mac)
        if order is not None and order.time < node.started:
            order = None  # it has booted since
        if order != node.order:
            farm = replace(farm, nodes=farm.nodes.set(mac, replace(node, order=order)))
    return farm


def _remembered(farm: Farm, event: Remembered) -> Farm:
    node = farm.nodes.get(event.mac)
    if node is None or abs(node.started - event.started) > 1:
        return farm
    return _put(farm, replace(node, stages={**node.stages, **event.stages}), event.started)


def _without(table: Mapping[Key, Value], key: Key) -> dict[Key, Value]:
    return {each: value for each, value in table.items() if each != key}
