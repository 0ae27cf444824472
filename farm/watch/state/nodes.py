"""The table of nodes: which stage each is at, by all that is known of it, and which give way when it is full."""

from __future__ import annotations

from immutables import Map
from msgspec.structs import replace

from farm.watch.activity import Host
from farm.watch.events import BOOT_STAGES, Stage
from farm.watch.state.progress import reached, runs
from farm.watch.state.records import Farm, Node, login_keys

MAX_NODES = 2048
MAX_GUESTS = 256
"""Of these, the machines that have only asked for something: anybody can ask in any name."""
MAX_CLAIMS = 512
GUEST_SECONDS = 3600.0
"""So long after it last asked for something is such a machine forgotten."""
_BOOT_STAGES = frozenset(BOOT_STAGES)


def put(farm: Farm, node: Node, time: float) -> Farm:
    """Take over a changed node, and work out its stage from everything that is known of it."""
    host = _login(farm, node)
    key = None if host is None else host.key
    heard = node.heard or node.verified or host is not None
    if key != node.host or heard != node.heard:
        node = replace(node, host=key, heard=heard)
    stage = _stage(node, host)
    if stage != node.stage:
        node = replace(node, stage=stage, since=time)
    passed = {Stage.REGISTERED, Stage.READY} if stage is Stage.READY and host else {stage} & _BOOT_STAGES
    if missing := passed - node.stages.keys():
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
    if runs(node, host):
        return reached(node, host)
    if node.heard or Stage.REGISTERED in node.stages or Stage.READY in node.stages:
        # Also after farmd was started anew: that a node was there is no news of it now.
        return Stage.LOST
    return max(node.stages, key=lambda stage: stage.rank, default=Stage.OFF)


def at(farm: Farm, address: str) -> Node | None:
    """The node that has the address."""
    return farm.nodes.get(farm.addresses.get(address, ""))


def vacated(farm: Farm, address: str, time: float) -> Farm:
    """The farm when the machine at an address is there no longer.

    An address has one machine. If nothing but its own word vouched for the one before, it is a guest again: who
    calls itself by many names must not fill the table with them.
    """
    node = at(farm, address)
    if node is None:
        return farm
    node = replace(node, lease="") if node.leased else replace(node, heard=False, readings=())
    return put(farm, moved(node, ""), time)


def moved(node: Node, address: str) -> Node:
    """The node at another address: what was heard from the old one no longer counts."""
    return node if address == node.address else replace(node, address=address, beacon=None, telemetry=None)


def with_room(farm: Farm, *, leased: bool) -> Farm:
    """Room for one more machine: those that only asked give way to one another, and all that were never met to a lease.

    So nothing that somebody makes up costs a machine its place that is configured or was heard. Of those that asked,
    the last one from each address stays longest: who makes up many names pushes out their own.
    """
    if not leased and len(farm.guests) >= MAX_GUESTS:
        waiting = {claim.mac for claim in farm.claims.values()}
        while len(farm.guests) >= MAX_GUESTS:
            farm = _forget(farm, farm.nodes[min(farm.guests, key=lambda mac: (mac in waiting, farm.guests[mac]))])
    if len(farm.nodes) >= MAX_NODES:
        unmet = [node for node in farm.nodes.values() if not node.met and (leased or not node.address)]
        if unmet:
            return _forget(farm, min(unmet, key=lambda node: (bool(node.address), node.asked, node.since)))
    return farm


def without_old_guests(farm: Farm, now: float) -> Farm:
    """Forget the machines that have asked for nothing more for GUEST_SECONDS, and what was claimed before then."""
    for mac, last in farm.guests.items():
        if now - last > GUEST_SECONDS:
            farm = _forget(farm, farm.nodes[mac])
    for address, claim in farm.claims.items():
        if now - claim.time > GUEST_SECONDS:
            farm = replace(farm, claims=farm.claims.delete(address))
    return farm
