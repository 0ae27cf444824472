"""Machines that say themselves where they are: by the question for their settings, which comes by TCP.

A lease of ours says the same, and goes first. Where another DHCP server gives the addresses, and on a live stick, there
is none: then a machine's own word counts as soon as its agent answers farmd at that address with the same MAC and boot
id. Until then it is kept beside the table of nodes, one machine an address, and changes nothing in it.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from farm.watch.events import Stage, TelemetrySeen
from farm.watch.state.nodes import MAX_CLAIMS, at, moved, put, vacated
from farm.watch.state.records import Claim, Farm, Node


class Question(Struct, frozen=True):
    """A node whose agent may be expected to answer, where, and in which boot."""

    node: Node
    address: str
    boot: tuple[str, float]


def questions(farm: Farm) -> list[Question]:
    """Whom farmd may ask: nodes where they are, and where they say they are those that do not answer there."""
    placed = [
        Question(node, node.address, ("", node.started))
        for node in farm.nodes.values()
        if node.address and (node.verified or node.host is not None or Stage.AGENT in node.stages)
    ]
    claimed = [
        Question(node, address, (claim.boot_id, 0.0))
        for address, claim in farm.claims.items()
        if (node := farm.nodes.get(claim.mac)) is not None and not node.answers
    ]
    return placed + claimed


def claimed(farm: Farm, address: str, claim: Claim) -> Farm:
    """A machine says that it is at an address other than is known; nothing, if a lease of ours knows better."""
    holder = at(farm, address)
    if holder is not None and holder.leased:
        return farm
    claims = farm.claims
    if address not in claims and len(claims) >= MAX_CLAIMS:
        claims = claims.delete(min(claims, key=lambda each: claims[each].time))
    return replace(farm, claims=claims.set(address, claim))


def borne_out(farm: Farm, event: TelemetrySeen) -> Farm:
    """The farm with a node where it said it is, if its agent's answer bears that out.

    Of two machines with one MAC the one that answers keeps its place; the other has it when that one is silent.
    """
    node, claim, holder = farm.nodes[event.mac], farm.claims.get(event.address), at(farm, event.address)
    told = event.telemetry
    if claim is None or (claim.mac, claim.boot_id) != (node.mac, told.boot_id) or node.answers:
        return farm
    if holder is not None and holder.leased and holder.mac != node.mac:
        return farm
    if holder is not None and holder.mac != node.mac:
        farm = vacated(farm, event.address, event.time)
    farm = replace(farm, claims=farm.claims.delete(event.address))
    node = in_boot(moved(node, event.address), told.boot_id, event.time - told.uptime)
    return put(farm, node, event.time)


def in_boot(node: Node, boot_id: str, began: float) -> Node:
    """The node in the boot that it names, begun at Unix time ``began``; in another one than it ran in, all is new."""
    ran = Stage.AGENT in node.stages and node.boot_id not in ("", boot_id)
    return replace(restarted(node, began) if ran else node, boot_id=boot_id)


def restarted(node: Node, time: float) -> Node:
    """The node at the start of a new boot; what it said in the last one no longer counts (see Node.verified)."""
    stages = {Stage.POWERED: time} if node.asked == time else {}
    return replace(
        node, started=time, stages=stages, uptime={}, fetched=0, heard=False, silent=False, image="", order=None
    )
