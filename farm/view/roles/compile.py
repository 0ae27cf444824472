"""The role compile, as it is shown: why a machine that takes jobs has none, and where it hangs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from farm.node.ports import ICECCD_PORT
from farm.view.desks import offer_words
from farm.view.from_state import host_status
from farm.view.roles import Idle, RoleView, absent, ordered
from farm.view.status import CompileStatus, NodeStatus, Overview
from farm.view.wording import count, duration
from farm.watch.events import Stage
from farm.watch.state import NO_JOBS, Farm, Node

PASSED_OVER_SECONDS = 60.0
"""So long may a free node get nothing while jobs wait; the scheduler probes each node's port once a minute."""
OLDEST_FEATURED = 42
"""From this protocol on, daemons tell which compressions of environments they understand (icecc 1.3)."""


class CompileView(RoleView):
    """What the scheduler tells goes before what the agent tells."""

    advice: ClassVar[Mapping[Stage, tuple[str, str]]] = {
        Stage.AGENT: ("not logged in to the scheduler", "check iceccd: farm node ssh {name} systemctl status iceccd"),
        Stage.REGISTERED: ("it takes no jobs (its load is 1000)", "check its memory and load: farm node show {name}"),
    }

    def section(self, farm: Farm, node: Node, *, has: bool) -> CompileStatus | None:
        """Whoever logs in at the scheduler compiles, whatever it is meant for."""
        host = farm.last_host(node)
        if host is None and not has:
            return None
        told = node.told if node.verified and node.telemetry is not None else None
        login = None if host is None else host_status(host, farm.activity.scheduler)
        spare = farm.spare(node)
        return CompileStatus(
            login,
            None if told is None else told.compile,
            None if spare is None else host_status(spare, farm.activity.scheduler),
        )

    def idle(self, node: NodeStatus, nodes: Iterable[NodeStatus], overview: Overview, time: float) -> Idle | None:
        """Why it compiles nothing."""
        host = node.host
        if host is not None and host.online and host.jobs_running:
            return None
        return _cannot(node, overview, time) or _gets_none(node, list(nodes), time)

    def behind(self, node: NodeStatus) -> bool:
        """It is not logged in, or is given no jobs."""
        return node.stage is Stage.REGISTERED or node.host is None or not node.host.online

    def held(self, node: NodeStatus) -> bool:
        """The scheduler does not let it log in."""
        return node.stage is Stage.AGENT and node.blocked


VIEW = CompileView()


def _cannot(node: NodeStatus, overview: Overview, time: float) -> Idle | None:
    """What keeps a node from taking any job."""
    host, name = node.host, node.name
    if not overview.scheduler.up:
        return Idle("scheduler-down", f"The scheduler does not answer. {overview.scheduler.why}", "farm logs scheduler")
    if name in overview.scheduler.blocked or node.address in overview.scheduler.blocked:
        return Idle("blocked", "The node is blocked: the scheduler refuses its log-in.", f"farm node unblock {name}")
    if host is None or not host.online:
        return ordered(node) or _not_registered(node) or absent(node, time)
    if node.order:
        return ordered(node)
    if host.no_remote:
        why = "was started with --no-remote, or not by root, so it cannot chroot"
        return Idle("no-remote", f"Its daemon takes no jobs from others: it {why}.")
    told = node.compile.agent if node.compile else None
    if not host.slots and told is not None and told.in_use:
        return Idle("in-use", f"Somebody uses the machine: it offers {offer_words(node)}.")
    if not host.slots:
        return Idle("no-slots", "Its daemon offers no slots (iceccd -m 0): it only submits.")
    if host.installing:
        since = duration(time - host.installing)
        return Idle("installing", f"The node has been receiving or unpacking an environment for {since}.")
    if host.load >= NO_JOBS:
        return Idle(
            "load-1000",
            "The node reports load 1000, so it gets no jobs: it has just logged in, is overloaded, or its "
            "environment folder has less than 25 MiB for each free slot.",
            f"farm node show {name}",
        )
    return None


def _not_registered(node: NodeStatus) -> Idle | None:
    if node.stage is not Stage.AGENT:
        return None
    told = node.compile.agent if node.compile else None
    why = "iceccd does not run on the node." if told and not told.ready else "Its iceccd has not logged in yet."
    return Idle("not-registered", why, f"farm node ssh {node.name} systemctl status iceccd")


def _gets_none(node: NodeStatus, nodes: list[NodeStatus], time: float) -> Idle:
    """Why a node that could take a job is given none."""
    submitters = [other.host for other in nodes if other.host and other.host.online and other.host.jobs_pending]
    host = node.host
    assert host is not None
    waiting = sum(submitter.jobs_pending for submitter in submitters)
    if not waiting:
        return Idle("nothing-queued", "No job is waiting for a node.")
    wait = count(waiting, "job is waiting", "jobs are waiting")
    platforms = {submitter.platform for submitter in submitters}
    if host.platform not in platforms:
        return Idle(
            "platform",
            f"The node is {host.platform}; the waiting submitters ({', '.join(sorted(platforms))}) may lack a "
            "compiler for it.",
        )
    newest = max(other.host.protocol for other in nodes if other.host and other.host.online)
    if host.protocol < newest and host.protocol < OLDEST_FEATURED:
        return Idle("version", f"Its daemon speaks protocol {host.protocol}, which is too old for some environments.")
    if time - max(host.last, host.since) > PASSED_OVER_SECONDS:
        return Idle(
            "passed-over",
            f"{wait}, but the node gets none: the scheduler may be unable to connect to "
            f"{host.address}:{ICECCD_PORT}, or no environment fits the node.",
            "Check that the server can reach that port: farm logs scheduler",
        )
    return Idle(
        "next",
        f"The node is free. {wait}: the scheduler assigns them to this or another free node.",
    )
