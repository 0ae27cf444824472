"""Orders that a scheduler takes about a node: block, unblock, kick. Command line, dashboard and API give them here."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from farm.scheduler import control
from farm.view.status import IPV4, NodeStatus
from farm.watch.state import Farm, own_keys

Order = Literal["block", "unblock", "kick"]
PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
"""A name that came from the network as it is, and that the scheduler takes for one word."""
ORDERS: tuple[Order, ...] = ("block", "unblock", "kick")


def name_for_scheduler(node: NodeStatus, names: Collection[str] = (), blocked: Collection[str] = ()) -> str:
    """By what the scheduler is told of a node: the name it logged in with, or its address.

    A name is what a daemon says of itself, the address is what the scheduler sees: a name that could mean another
    daemon is not used. ``names``: those of all daemons and machines, this one's too. ``blocked``: what the scheduler
    refuses; what stands there already is what can be taken back, the surest first.
    """
    if len(node.logins) > 1 and node.address and node.name not in blocked:
        return node.address  # its two daemons have two names
    name = node.host.name if node.host else node.name
    for each in (node.address, name, node.name):
        if each and each in blocked:
            return each
    alone = sum(each == name for each in names) <= 1
    return name if not node.address or (PLAIN.fullmatch(name) and not IPV4.fullmatch(name) and alone) else node.address


def names(farm: Farm) -> list[str]:
    """What daemons and machines are called, each as often as it is."""
    ours = {key for node in farm.nodes.values() for key in own_keys(node)}
    hosts = (host.name for key, host in farm.activity.hosts.items() if key not in ours)
    return [*(node.name for node in farm.nodes.values()), *hosts]


async def give(order: Order, host: str, port: int, name: str) -> str:
    """Give an order to the scheduler at ``port``, and say what was done in a sentence. Raises FarmError."""
    match order:
        case "block":
            await control.block(host, port, name)
            return f"{name} is blocked: the scheduler has sent it away and refuses its log-in."
        case "unblock":
            await control.unblock(host, port, name)
            return f"{name} can log in again; its daemon tries within a minute."
        case "kick":
            await control.kick(host, port, name)
            return f"{name} was sent away; it logs in again by itself."
