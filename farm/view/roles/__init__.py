"""How a role is shown: a module here for each, which says where it hangs and why it is idle.

Its section of a machine's status is in `farm.view.status`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import ClassVar

from msgspec import Struct

from farm.view.status import NodeStatus, Overview
from farm.view.wording import duration
from farm.watch.events import Stage
from farm.watch.state import Farm, Node


class Idle(Struct, frozen=True):
    """A reason with a stable code, a sentence, and what to do about it (empty: nothing needs to be done)."""

    code: str
    why: str
    mend: str = ""


class RoleView:
    """A role of which nothing is to be said but that its agent is not ready; others say more instead."""

    advice: ClassVar[Mapping[Stage, tuple[str, str]]] = {}
    """Of the stages that the role comes to: what is missing there, and where to look ({name}: the machine)."""

    marks: ClassVar[tuple[str, ...]] = ()
    """What a machine notes that it has come to in the role, after the stages of its boot."""

    def section(self, farm: Farm, node: Node, *, has: bool) -> Struct | None:
        """Its section of the machine's status; None when it does not have the role (``has``), nor acts in it."""
        return None

    def idle(self, node: NodeStatus, nodes: Iterable[NodeStatus], overview: Overview, time: float) -> Idle | None:
        """Why the machine does nothing in this role at Unix ``time``; None when it does. ``nodes``: all of them."""
        return away(node, time)

    def behind(self, node: NodeStatus) -> bool:
        """Whether this role is what a machine waits for at its stage; of several the first counts."""
        return True

    def held(self, node: NodeStatus) -> bool:
        """Whether the machine is kept from coming further in this role, so that it does not hang."""
        return False

    def word(self, node: NodeStatus) -> str:
        """What a machine that is ready does in this role, in a word; empty when "ready" says it."""
        return ""


@cache
def load(name: str) -> RoleView:
    """How the role of that name is shown."""
    view: RoleView = importlib.import_module(f"{__name__}.{name}").VIEW
    return view


def stage_word(node: NodeStatus) -> str:
    """How far a machine has come, or what it does since it is ready."""
    words = (load(role).word(node) for role in node.roles) if node.stage is Stage.READY else ()
    return next(filter(None, words), str(node.stage))


def ordered(node: NodeStatus) -> Idle | None:
    """That it was told to do something else."""
    match node.order:
        case "drain":
            return Idle("draining", "The node is being drained: it finishes its jobs and gets no more.")
        case "reboot":
            return Idle("rebooting", "The node is rebooting, as it was told.")
        case "off" if node.stage in (Stage.LOST, Stage.AGENT, Stage.OFF):
            return Idle("off", "The node was powered off, as it was told.")
        case "off":
            return Idle("switching-off", "The node is powering off, as it was told.")
    return None


def away(node: NodeStatus, time: float) -> Idle | None:
    """Why it does nothing whatever its roles are; None when it is ready, and was told nothing else."""
    return ordered(node) or (None if node.stage is Stage.READY else absent(node, time))


def absent(node: NodeStatus, time: float) -> Idle:
    """Why it is not there, when it is not ready: it is off, was lost, or is on its way."""
    if node.stage is Stage.OFF:
        return Idle("off", "The node has not been seen yet: it is off, or does not boot from the network.")
    if node.stage is Stage.LOST:
        since = duration(time - node.since)
        mend = "Check its power and network cable."
        return Idle("unreachable", f"The node has not been heard of for {since}.", mend)
    return Idle("booting", f"The node is booting: {node.stage} for {duration(time - node.since)}.")
