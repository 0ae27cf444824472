"""Desks: machines at whose screen people log in. How many are in use, and what else such a machine does meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from farm.node.scarcity import scarce
from farm.view.status import DeskTotals, NodeStatus
from farm.view.wording import count, size

KINDS = {"fat": "programs run on this machine", "thin": "programs run on the server"}
"""Kind of session → what it means."""


def desk_totals(nodes: Iterable[NodeStatus]) -> DeskTotals:
    """How many of the machines are desks, and how many of these are in use."""
    desks = [node for node in nodes if node.session is not None]
    return DeskTotals(len(desks), sum(bool(node.users) for node in desks))


def desks_words(desks: DeskTotals) -> str:
    """``12 of 30 in use``; empty where there is no desk."""
    return f"{desks.in_use} of {desks.known} in use" if desks.known else ""


def kind_of_session(node: NodeStatus) -> str:
    """The kind of session at a machine's screen, ``fat`` or ``thin``; empty when it does not say it."""
    return node.session.agent.kind if node.session and node.session.agent else ""


def session_kind_words(kind: str) -> str:
    """A kind of session and what it means: ``fat: programs run on this machine``."""
    return f"{kind}: {KINDS[kind]}" if kind in KINDS else kind


def jobs_beside(node: NodeStatus) -> str:
    """Jobs that it compiles, of those that it takes at the moment: ``1/2``; empty when it takes none."""
    host = node.host if node.host and node.host.online else None
    return f"{host.jobs_running}/{host.slots}" if host else ""


def offer_words(node: NodeStatus) -> str:
    """How many of its slots it offers while somebody uses it: ``2 of 4 slots, …``; empty when it offers all."""
    told = node.compile.agent if node.compile else None
    if told is None or told.offered is None or told.offered >= told.slots:
        return ""
    ending = f"; {count(told.ending, 'job')} still running in the others" if told.ending else ""
    return f"{told.offered} of {told.slots} slots" + ", as somebody uses the machine" * told.in_use + ending


def processor_percent(node: NodeStatus) -> float | None:
    """Percent of all its processors in use, as its agent says."""
    return fmean(node.telemetry.cpu.percent) if node.telemetry and node.telemetry.cpu.percent else None


def nearly_full(node: NodeStatus) -> bool:
    """Whether its RAM is nearly used up, by programs or by what is written to its root."""
    told = node.telemetry
    return told is not None and bool(
        scarce(told.memory.available, told.memory.total, told.overlay.used, told.overlay.total)
    )


def memory_left(node: NodeStatus) -> str:
    """Memory that programs can still have, with a unit; empty when its agent does not say it."""
    told = node.telemetry.memory if node.telemetry else None
    return size(told.available) if told and told.total else ""
