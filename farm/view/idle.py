"""Why a node compiles nothing: the first reason that holds, the most fundamental first."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from farm.hints import hint
from farm.node.ports import ICECCD_PORT
from farm.view.status import NodeStatus, Overview
from farm.view.wording import count, duration
from farm.watch.events import Stage
from farm.watch.state import NO_JOBS

PASSED_OVER_SECONDS = 60.0
"""So long may a free node get nothing while jobs wait; the scheduler probes each node's port once a minute."""
OLDEST_FEATURED = 42
"""From this protocol on, daemons tell which compressions of environments they understand (icecc 1.3)."""


class Idle(Struct, frozen=True):
    """A reason with a stable code, a sentence, and what to do about it (empty: nothing needs to be done)."""

    code: str
    why: str
    mend: str = ""


def idle_reason(node: NodeStatus, nodes: Iterable[NodeStatus], overview: Overview, time: float) -> Idle | None:
    """Why ``node`` compiles nothing at Unix ``time``; None when it does. ``nodes``: all of them, submitters too."""
    host = node.host
    if host is not None and host.online and host.jobs_running:
        return None
    found = _cannot(node, overview, time) or _gets_none(node, list(nodes), time)
    return found and replace(found, mend=_mend(found.mend, overview))


def _mend(text: str, overview: Overview) -> str:
    """What to do, as it is typed: a scheduler without a farm is named, and its log is not to be seen from here."""
    if overview.farm:
        return hint(text)
    at = overview.scheduler.address
    if "farm logs" in text:
        return "Look at icecc-scheduler's log on its machine."
    return re.sub(r"\bfarm node (show|unblock)\b", rf"farm node \1 --scheduler {at}", text)


def _cannot(node: NodeStatus, overview: Overview, time: float) -> Idle | None:
    """What keeps a node from taking any job."""
    host, name = node.host, node.name
    if not overview.scheduler.up:
        return Idle("scheduler-down", f"The scheduler does not answer. {overview.scheduler.why}", "farm logs scheduler")
    if name in overview.scheduler.blocked or node.address in overview.scheduler.blocked:
        return Idle("blocked", "The node is blocked: the scheduler refuses its log-in.", f"farm node unblock {name}")
    if host is None or not host.online:
        return _told(node) or _absent(node, time)
    if node.order:
        return _told(node)
    if host.no_remote:
        why = "was started with --no-remote, or not by root, so it cannot chroot"
        return Idle("no-remote", f"Its daemon takes no jobs from others: it {why}.")
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


def _told(node: NodeStatus) -> Idle | None:
    """That it was ordered to do something else."""
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


def _absent(node: NodeStatus, time: float) -> Idle:
    if node.stage is Stage.OFF:
        return Idle("off", "The node has not been seen yet: it is off, or does not boot from the network.")
    if node.stage is Stage.LOST:
        since = duration(time - node.since)
        mend = "Check its power and network cable."
        return Idle("unreachable", f"The node has not been heard of for {since}.", mend)
    if node.stage is Stage.AGENT:
        told = node.telemetry
        why = "iceccd does not run on the node." if told and not told.iceccd else "Its iceccd has not logged in yet."
        return Idle("not-registered", why, f"farm node ssh {node.name} systemctl status iceccd")
    return Idle("booting", f"The node is booting: {node.stage} for {duration(time - node.since)}.")


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
