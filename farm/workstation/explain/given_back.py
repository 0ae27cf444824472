"""Why the farm gave jobs back to this machine: what only the scheduler knows, at the moment at which it is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from msgspec import Struct

from farm.attach.direct import Direct
from farm.errors import FarmError
from farm.view.idle import idle_reason
from farm.view.roles import Idle
from farm.view.status import CompileStatus, HostStatus, NodeStatus, Overview, Status
from farm.watch.events import Stage
from farm.workstation.explain.reasons import farm_side
from farm.workstation.explain.reasons.record import GivenBack, NodeWhy
from farm.workstation.membership import Membership

MAX_NAMES = 5
"""Nodes named in a sentence."""
FREE = frozenset(("nothing-queued", "next", "passed-over"))
"""What `idle_reason` says of a node that could take a job."""


class SchedulerAnswer(Struct, frozen=True):
    """What the scheduler says at one moment; None with ``why`` when it does not answer."""

    status: Status | None
    why: str = ""

    @property
    def hosts(self) -> list[HostStatus]:
        """All daemons that are logged in."""
        if self.status is None:
            return []
        found = [*(node.host for node in self.status.nodes), *self.status.hosts]
        return [host for host in found if host is not None and host.online]


def ask_scheduler(membership: Membership) -> SchedulerAnswer:
    """Ask the farm's scheduler."""
    try:
        return SchedulerAnswer(asyncio.run(Direct(membership.scheduler, membership.port, membership.netname).status()))
    except FarmError as error:
        return SchedulerAnswer(None, f"{error.what} {error.why}".strip())


def node_names(seen: SchedulerAnswer) -> dict[str, str]:
    """Address → name of each daemon that is known."""
    return {host.address: host.name for host in seen.hosts}


def kept_here(
    seen: SchedulerAnswer,
    membership: Membership,
    settings: Mapping[str, str],
    *,
    elsewhere: bool = False,
    now: float | None = None,
) -> GivenBack:
    """Why the farm gave jobs back to this machine, as far as the scheduler shows it now.

    ``settings``: icecream's variables; ``elsewhere``: other jobs did go to nodes at that time.
    """
    if seen.status is None:
        return GivenBack(farm_side.NO_SCHEDULER, seen.why)
    own = next((host for host in seen.hosts if host.name == membership.submitter), None)
    if own is None:
        where = f"{membership.scheduler}:{membership.port}, network {membership.netname}"
        return GivenBack(
            farm_side.NOT_LOGGED_IN, f"{membership.submitter} is not logged in to the scheduler ({where})."
        )
    moment = time.time() if now is None else now
    any_platform = "ICECC_VERSION" in settings
    others = [(host, _obstacle(host, own, seen.status, moment, any_platform)) for host in seen.hosts if host != own]
    able = [host for host, idle in others if idle is None]
    kept = tuple(NodeWhy(host.name, host.address, idle.code, idle.why, idle.mend) for host, idle in others if idle)
    preferred = settings.get("ICECC_PREFERRED_HOST", "")
    if preferred and all(preferred not in host.key for host in able):
        return GivenBack(farm_side.PREFERRED_ABSENT, f"There is no node {preferred} that takes jobs.", kept)
    if not able:
        return GivenBack(
            farm_side.NO_ELIGIBLE_NODE, "" if others else "No other machine is logged in to the scheduler.", kept
        )
    if all(host.jobs_running >= host.slots for host in able):
        return GivenBack(farm_side.NODES_BUSY)
    if own.slots and not any_platform:
        why = "This machine's iceccd has --no-remote, but that refuses only jobs from others." if own.no_remote else ""
        return GivenBack(farm_side.OWN_SLOT, why)
    if elsewhere:
        return GivenBack(farm_side.NODES_BUSY)
    why = f"Free now: {', '.join(host.name for host in able[:MAX_NAMES])}."
    if own.slots:
        why += " But this machine offers slots too, so the scheduler may simply have chosen it (see iceccd -m 0)."
    return GivenBack(farm_side.PASSED_OVER, why, kept)


def _obstacle(host: HostStatus, own: HostStatus, overview: Overview, now: float, any_platform: bool) -> Idle | None:
    """What keeps a daemon from taking a job of ours."""
    node = NodeStatus(
        key=f"{host.name}@{host.address}",
        name=host.name,
        address=host.address,
        stage=Stage.READY,
        since=host.since,
        compile=CompileStatus(host),
    )
    idle = idle_reason(node, [node], overview, now)
    if idle is not None and idle.code not in FREE:
        return idle
    if host.platform != own.platform and not any_platform:
        return Idle(
            "platform",
            f"The node is {host.platform}, this machine {own.platform}, and there is no compiler for the node.",
        )
    return None
