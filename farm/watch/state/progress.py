"""How far a machine that runs has come, which its roles say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from farm.watch.activity import NO_JOBS, Host
from farm.watch.events import Stage
from farm.watch.state.records import Node

AGENT, REGISTERED, READY = Stage.AGENT, Stage.REGISTERED, Stage.READY
"""Each is looked up for every event of a node, and an enumeration's members are slow to look up."""


def runs(node: Node, host: Host | None) -> bool:
    """Whether a machine is up, by its agent or by a role's other witness; ``host``: its login at the scheduler."""
    return (host is not None and not _WITNESSES.keys().isdisjoint(node.roles)) or (node.verified and not node.silent)


def reached(node: Node, host: Host | None) -> Stage:
    """The stage of a machine that runs: as far as the role that is furthest behind; without roles it is ready."""
    stage = READY
    for role in node.roles:
        found = _WITNESSES.get(role, _agent)(role, node, host)
        if stage is READY or found.rank < stage.rank:
            stage = found
    return stage


def _agent(role: str, node: Node, host: Host | None) -> Stage:
    return READY if node.says_ready(role) else AGENT


def _compile(role: str, node: Node, host: Host | None) -> Stage:
    """The scheduler's word counts, too."""
    if host is None:
        return AGENT
    # iceccd logs in with load 1000, at which no job is given; it tells its true load some 3 s later.
    open_for_jobs = host.load < NO_JOBS or READY in node.stages
    # A machine at which people sit may offer nothing while they do.
    offers = host.slots > 0 or (node.told is not None and node.told.compile is not None and node.told.compile.in_use)
    works = offers and not host.no_remote and node.says_ready(role)
    return READY if works and open_for_jobs else REGISTERED


_WITNESSES: Mapping[str, Callable[[str, Node, Host | None], Stage]] = {"compile": _compile}
"""Roles of which others than the agent tell how far they are; for all others the agent's word is enough."""
