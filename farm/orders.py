"""Orders that a scheduler takes about a node: block, unblock, kick. Command line, dashboard and API give them here."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from farm.errors import FarmError
from farm.scheduler import control
from farm.view.status import NodeStatus

Order = Literal["block", "unblock", "kick"]
ORDERS: tuple[Order, ...] = ("block", "unblock", "kick")


def word(node: NodeStatus, blocked: Collection[str] = ()) -> str:
    """By what the scheduler is told of a node: the name it logged in with, or its address if that is no single word.

    ``blocked``: what the scheduler refuses; what stands there already is what can be taken back.
    """
    name = node.host.name if node.host else node.name
    words = [each for each in (name, node.name, node.address) if each]
    for each in words:
        if each in blocked:
            return each
    try:
        control.check_word(name)
    except FarmError:
        return node.address or name
    return name


async def give(order: Order, host: str, port: int, name: str) -> str:
    """Give an order to the scheduler at ``port``, and say what was done in a sentence. Raises FarmError."""
    match order:
        case "block":
            await control.block(host, port, name)
            return f"{name} is blocked: the scheduler sends it away, and refuses its log-in."
        case "unblock":
            await control.unblock(host, port, name)
            return f"{name} may log in again; its daemon tries within a minute."
        case "kick":
            await control.kick(host, port, name)
            return f"{name} is sent away; it logs in again by itself."
