"""What is known of a farm, and how each event changes it: frozen records and pure functions.

``fold(farm, event)`` is the only way the state changes. Events come from strangers too (DHCP, HTTP requests,
multicast), so tables are bounded, and what somebody says counts when a lease or the machine's own answer bears it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import assert_never

from immutables import Map
from msgspec.structs import replace

from farm.node.ports import TELEMETRY_PORT
from farm.scheduler.monitor import Connected, Disconnected
from farm.scheduler.protocol import NodeOffline, NodeStats
from farm.watch.activity import NO_JOBS, NOBODY, Tick
from farm.watch.activity import fold as fold_activity
from farm.watch.events import (
    BeaconLost,
    BeaconSeen,
    BootEvent,
    CanarySeen,
    Event,
    Examined,
    OrdersSeen,
    Remembered,
    SchedulerSaid,
    ServicesSeen,
    StrangersRefused,
    TelemetryLost,
    TelemetrySeen,
)
from farm.watch.refusals import recent
from farm.watch.state import agents, boots
from farm.watch.state.agents import MAX_READINGS, MAX_STRANGERS
from farm.watch.state.claims import Question, questions
from farm.watch.state.nodes import GUEST_SECONDS, MAX_CLAIMS, MAX_GUESTS, MAX_NODES, at, put, without_old_guests
from farm.watch.state.records import (
    ANSWERS,
    Claim,
    Farm,
    Node,
    Reading,
    default_name,
    own_keys,
)

__all__ = [
    "ANSWERS",
    "GUEST_SECONDS",
    "MAX_CLAIMS",
    "MAX_GUESTS",
    "MAX_NODES",
    "MAX_READINGS",
    "MAX_STRANGERS",
    "NO_JOBS",
    "Claim",
    "Farm",
    "Node",
    "Question",
    "Reading",
    "addressed",
    "default_name",
    "fold",
    "initial",
    "own_keys",
    "questions",
    "resumed",
]


def initial(
    name: str,
    known: Mapping[str, str],
    telemetry_port: int = TELEMETRY_PORT,
    *,
    kind: str = "",
    kinds: Mapping[str, str] = MappingProxyType({}),
    root: str = "",
    roots: Mapping[str, str] = MappingProxyType({}),
) -> Farm:
    """A farm of which only the configuration is known; ``known``: MAC → name; ``kind`` to ``roots``: see `Farm`."""
    nodes = {mac: Node(mac=mac, name=node, known=True, port=telemetry_port) for mac, node in known.items()}
    return Farm(
        name=name,
        telemetry_port=telemetry_port,
        kind=kind,
        kinds=kinds,
        root=root,
        roots=roots,
        nodes=Map(nodes),
    )


def resumed(farm: Farm, nodes: Iterable[Node]) -> Farm:
    """The farm with machines as an earlier process knew them; names are as the configuration has them now."""
    for node in nodes:
        configured = farm.nodes.get(node.mac)
        name = configured.name if configured else default_name(node.mac) if node.known else node.name
        # Farms of before knew an address by a lease alone, and did not write down which it was.
        lease = node.lease if node.lease or node.boot_id else node.address
        node = replace(node, known=configured is not None, name=name, lease=lease)
        if len(farm.nodes) < MAX_NODES or configured:
            farm = put(farm, node, node.since)
    return farm


def addressed(farm: Farm, node: Node) -> Node:
    """Of a machine that was seen before this `farm up`, only where it is is of use: it may have been left running."""
    return Node(
        mac=node.mac,
        name=node.name,
        known=node.known,
        address=node.address,
        lease=node.lease,
        boot_id=node.boot_id,
        port=farm.telemetry_port,
    )


def fold(farm: Farm, event: Event) -> Farm:
    """The farm after an event."""
    match event:
        case BootEvent():
            return boots.boot(farm, event)
        case BeaconSeen():
            return agents.beacon_seen(farm, event)
        case BeaconLost():
            return agents.beacon_lost(farm, event)
        case TelemetrySeen():
            return agents.telemetry_seen(farm, event)
        case TelemetryLost():
            return agents.telemetry_lost(farm, event)
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
            return boots.remembered(farm, event)
        case _:
            assert_never(event)


def _said(farm: Farm, said: SchedulerSaid) -> Farm:
    before = farm.activity
    activity = fold_activity(before, said.event, said.time)
    if activity is before:
        return farm
    farm = replace(farm, activity=activity)
    match said.event:
        case NodeStats(address=address):
            node = at(farm, address)
            return farm if node is None else put(farm, node, said.time)
        case NodeOffline(host=host):
            node = at(farm, before.ids.get(host, NOBODY)[1])
            return farm if node is None else put(farm, node, said.time)
        case Tick():
            return without_old_guests(farm, said.time)
        case Connected() | Disconnected():
            for node in farm.nodes.values():
                if node.host is not None:
                    farm = put(farm, node, said.time)
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
