"""How a machine boots, by what DHCP, TFTP and HTTP tell of it."""

from __future__ import annotations

from msgspec.structs import replace

from farm.watch.events import BeaconSeen, BootEvent, Remembered, Stage
from farm.watch.refusals import Refusal, answered
from farm.watch.refusals import noted as noted_refusal
from farm.watch.state.agents import beacon_seen, noted
from farm.watch.state.nodes import MAX_NODES, at, put, with_room
from farm.watch.state.records import Farm, Node, default_name

STALE_SECONDS = 120.0
"""A machine that asks DHCP again so long after it last did has been switched on anew."""


def boot(farm: Farm, event: BootEvent) -> Farm:
    """A machine has asked for an address or a file, or was refused one."""
    node = farm.nodes.get(event.mac) if event.mac else at(farm, event.address)
    mac = node.mac if node else event.mac
    if event.refused:
        refusal = Refusal(event.refused, event.time)
        return replace(farm, refusals=noted_refusal(farm.refusals, mac, refusal)) if mac else farm
    if mac in farm.refusals and event.stage is not Stage.POWERED:
        farm = replace(farm, refusals=answered(farm.refusals, mac, loader=event.stage is not None))
    if node is None:
        if not event.mac:
            return farm
        farm = with_room(farm, leased=event.stage is None)
        if len(farm.nodes) >= MAX_NODES:
            return farm
        node = Node(mac=event.mac, name=default_name(event.mac), port=farm.telemetry_port)
    if event.stage is None:
        return _lease(farm, node, event)
    if event.stage is Stage.POWERED:
        return put(farm, _asked(node, event.time), event.time)
    if event.address and node.address and event.address != node.address:
        return farm  # someone else asks in its name
    if event.stage is Stage.LOADER and Stage.KERNEL in node.stages:
        node = _restarted(node, node.asked if node.asked > node.stages[Stage.KERNEL] else event.time)
    return put(farm, _came_to(node, event.stage, event), event.time)


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
        stages = {**noted(event.uptime, began), **stages}
    return replace(
        node,
        started=node.started or event.time,
        stages=stages,
        uptime=event.uptime or node.uptime,
        image=event.image or node.image,
        fetched=node.fetched + event.bytes,
    )


def _lease(farm: Farm, node: Node, event: BootEvent) -> Farm:
    before = at(farm, event.address)
    if before is not None and before.mac != node.mac:
        farm = put(farm, _moved(before, ""), event.time)
    farm = put(farm, _moved(node, event.address), event.time)
    for beacon in farm.strangers.values():
        if beacon.mac == node.mac and beacon.address == event.address:
            return beacon_seen(farm, BeaconSeen(beacon, event.time))
    return farm


def _moved(node: Node, address: str) -> Node:
    """The node at another address: what was heard from the old one no longer counts."""
    return node if address == node.address else replace(node, address=address, beacon=None, telemetry=None)


def remembered(farm: Farm, event: Remembered) -> Farm:
    """Stages that an earlier farmd saw of the same boot."""
    node = farm.nodes.get(event.mac)
    if node is None or abs(node.started - event.started) > 1:
        return farm
    return put(farm, replace(node, stages={**node.stages, **event.stages}), event.started)
