"""What nodes' agents tell, by zeroconf and by HTTP; what nothing bears out is a stranger's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from msgspec.structs import replace

from farm.watch.events import BeaconLost, BeaconSeen, Stage, TelemetryLost, TelemetrySeen
from farm.watch.node_telemetry import Telemetry
from farm.watch.state.claims import borne_out
from farm.watch.state.nodes import put
from farm.watch.state.records import Farm, Reading

Key = TypeVar("Key")
Value = TypeVar("Value")

MAX_STRANGERS = 64
MAX_READINGS = 180
"""A quarter of an hour, one every five seconds."""
CLOCK_SECONDS = 10.0
"""How far apart two accounts of when a boot began may lie."""


def beacon_seen(farm: Farm, event: BeaconSeen) -> Farm:
    """A beacon counts when it names the address where its MAC is known to be, and unless DHCP says so, its boot id."""
    beacon = event.beacon
    node = farm.nodes.get(beacon.mac)
    if node is not None and beacon.farm == farm.name and node.is_at(beacon.address, beacon.boot):
        farm = replace(farm, strangers=_without(farm.strangers, beacon.instance))
        image = beacon.image or node.image
        node = replace(node, beacon=beacon, beacon_time=event.time, silent=False, port=beacon.port, image=image)
        return put(farm, node, event.time)
    if beacon.instance not in farm.strangers and len(farm.strangers) >= MAX_STRANGERS:
        return farm
    return replace(farm, strangers={**farm.strangers, beacon.instance: beacon})


def recognised(farm: Farm, mac: str, time: float) -> Farm:
    """What was advertised before it was known that the node is there counts now."""
    node = farm.nodes[mac]
    for beacon in farm.strangers.values():
        if beacon.mac == mac and node.is_at(beacon.address, beacon.boot):
            return beacon_seen(farm, BeaconSeen(beacon, time))
    return farm


def beacon_lost(farm: Farm, event: BeaconLost) -> Farm:
    """An advertisement was withdrawn, or has run out."""
    farm = replace(farm, strangers=_without(farm.strangers, event.instance))
    for node in farm.nodes.values():
        if node.beacon is not None and node.beacon.instance == event.instance:
            return put(farm, replace(node, beacon=None), event.time)
    return farm


def telemetry_seen(farm: Farm, event: TelemetrySeen) -> Farm:
    """A node's agent has answered; an answer from another address, or of another machine, does not count."""
    node, told = farm.nodes.get(event.mac), event.telemetry
    if node is None or told.mac != event.mac or told.farm != farm.name:
        return farm
    if not node.is_at(event.address, told.boot_id):
        moved = borne_out(farm, event)
        return farm if moved is farm else recognised(telemetry_seen(moved, event), event.mac, event.time)
    began = event.time - told.uptime
    if node.started - began > CLOCK_SECONDS:
        # It asked DHCP anew while it ran (its cable was out, say): that was no boot.
        node = replace(node, started=began, stages={})
    node = replace(
        node,
        started=node.started or began,
        stages={**noted(told.boot, began), **node.stages},
        telemetry=told,
        telemetry_time=event.time,
        told=event.roles,
        roles=event.roles.names,
        silent=False,
        name=told.name,
        image=told.image or node.image,
        uptime=told.boot or node.uptime,
        readings=(*node.readings[1 - MAX_READINGS :], _reading(told, event.time)),
    )
    return put(farm, node, event.time)


def telemetry_lost(farm: Farm, event: TelemetryLost) -> Farm:
    """A node's agent has stopped answering."""
    node = farm.nodes.get(event.mac)
    return farm if node is None else put(farm, replace(node, telemetry=None, silent=True), event.time)


def _reading(told: Telemetry, time: float) -> Reading:
    percent = told.cpu.percent
    cpu = sum(percent) / len(percent) if percent else 0.0
    network = told.network
    return Reading(time, cpu, told.memory.available, told.overlay.used, network.received, network.sent)


def noted(uptime: Mapping[str, float], began: float) -> dict[Stage, float]:
    """Unix times of the stages that a node noted itself, its kernel having begun at ``began``."""
    return {stage: began + uptime[stage] for stage in (Stage.KERNEL, Stage.ROOT, Stage.AGENT) if stage in uptime}


def _without(table: Mapping[Key, Value], key: Key) -> dict[Key, Value]:
    return {each: value for each, value in table.items() if each != key}
