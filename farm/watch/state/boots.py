"""How a machine boots, by what DHCP, TFTP and HTTP tell of it."""

from __future__ import annotations

from msgspec.structs import replace

from farm.watch.events import BootEvent, Remembered, Stage
from farm.watch.refusals import Refusal, answered
from farm.watch.refusals import noted as noted_refusal
from farm.watch.state.agents import noted, recognised
from farm.watch.state.claims import claimed, in_boot, restarted
from farm.watch.state.nodes import MAX_NODES, at, moved, put, vacated, with_room
from farm.watch.state.records import Claim, Farm, Node, default_name

STALE_SECONDS = 120.0
"""A machine that asks DHCP again so long after it last did has been switched on anew."""


def boot(farm: Farm, event: BootEvent) -> Farm:
    """A machine has asked for an address or a file, or was refused one."""
    node = farm.nodes.get(event.mac) if event.mac else at(farm, event.address)
    mac = node.mac if node else event.mac
    lease = event.stage is None and not event.boot_id
    if event.refused:
        refusal = Refusal(event.refused, event.time)
        return replace(farm, refusals=noted_refusal(farm.refusals, mac, refusal)) if mac else farm
    if mac in farm.refusals and event.stage is not Stage.POWERED:
        farm = replace(farm, refusals=answered(farm.refusals, mac, loader=not lease))
    if node is None:
        if not event.mac:
            return farm
        farm = with_room(farm, leased=lease)
        if len(farm.nodes) >= MAX_NODES:
            return farm
        node = Node(mac=event.mac, name=default_name(event.mac), port=farm.telemetry_port)
    if lease:
        return _lease(farm, node, event)
    if event.stage is Stage.POWERED:
        return put(farm, _asked(node, event.time), event.time)
    if event.boot_id and event.address != node.address:
        farm = claimed(farm, event.address, Claim(node.mac, event.boot_id, event.time))
    if event.boot_id and node.address in ("", event.address):
        node = in_boot(node, event.boot_id, event.time - event.uptime.get("agent", 0.0))
    if event.stage is None or _elsewhere(node, event):
        return put(farm, node, event.time)
    if event.stage is Stage.LOADER and Stage.KERNEL in node.stages:
        node = restarted(node, node.asked if node.asked > node.stages[Stage.KERNEL] else event.time)
    return put(farm, _came_to(node, event.stage, event), event.time)


def _elsewhere(node: Node, event: BootEvent) -> bool:
    """The request does not come from where the node is: somebody else's in its name, unless its agent bears it out.

    Another DHCP server may give firmware, loader and system an address each; then what boots is taken to be the node
    while that does not answer.
    """
    if not event.address or node.address in ("", event.address):
        return False
    return node.leased or node.answers or event.stage is Stage.AGENT


def _asked(node: Node, time: float) -> Node:
    """DHCPDISCOVER: sent by firmware and loader, then by the booting system; a lease's renewal sends none.

    One that is not a new boot for sure changes nothing yet: if it is one, the loader soon fetches its script.
    """
    waited = node.stage in (Stage.POWERED, Stage.LOADER) and time - node.asked > STALE_SECONDS
    ran = node.stage.rank >= Stage.AGENT.rank and time - node.stages.get(Stage.AGENT, 0.0) > STALE_SECONDS
    node = replace(node, asked=time)
    return restarted(node, time) if waited or ran or node.stage is Stage.OFF else node


def _came_to(node: Node, stage: Stage, event: BootEvent) -> Node:
    began = event.time - event.uptime.get("agent", 0.0)
    own = noted(event.uptime, began) if "agent" in event.uptime else {}
    stages = {**own, stage: event.time, **node.stages}
    return replace(
        node,
        started=node.started or began,
        stages=stages,
        uptime=event.uptime or node.uptime,
        image=event.image or node.image,
        fetched=node.fetched + event.bytes,
    )


def _lease(farm: Farm, node: Node, event: BootEvent) -> Farm:
    before = at(farm, event.address)
    if before is not None and before.mac != node.mac:
        farm = vacated(farm, event.address, event.time)
    if node.address not in ("", node.lease, event.address):
        # Somebody may have asked for it in its name: where it was by its own word, it is asked again.
        farm = claimed(farm, node.address, Claim(node.mac, node.boot_id, event.time))
    farm = put(farm, replace(moved(node, event.address), lease=event.address), event.time)
    return recognised(farm, node.mac, event.time)


def remembered(farm: Farm, event: Remembered) -> Farm:
    """Stages that an earlier farmd saw of the same boot."""
    node = farm.nodes.get(event.mac)
    if node is None or abs(node.started - event.started) > 1:
        return farm
    return put(farm, replace(node, stages={**node.stages, **event.stages}), event.started)
