"""What is wrong now, in sentences: what the overview says, and what follows from nodes and jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from farm.view.boot import booting, hanging, spans, usual
from farm.view.live import Live
from farm.view.status import NodeStatus
from farm.view.wording import NODE_LOST, NODE_UNUSABLE, count, duration, few
from farm.watch.activity import Job, JobPlace
from farm.watch.events import Stage
from farm.watch.state import NO_JOBS
from tui import state_words

NAMED_NODES = 3
"""So many nodes are named; the others are counted."""
RECENT_SECONDS = 60.0
REBOOT_SECONDS = 300.0
HARMLESS = ("nothing-queued", "next", "no-remote", "no-slots")
"""Reasons to be idle that are in order."""


def wrong(live: Live, now: float) -> list[str]:
    """One sentence each, the worst first; empty when all is well."""
    if live.overview is None:
        return []
    return [*live.overview.problems, *_nodes(live, now), *_jobs(live, now)]


def recent(live: Live, now: float, seconds: float = RECENT_SECONDS) -> Iterator[Job]:
    """Jobs that ended lately, the newest first."""
    for job in reversed(live.ended):
        if job.ended < now - seconds:
            return
        yield job


def named(nodes: Sequence[NodeStatus]) -> str:
    """Their names, a few at most."""
    return few([node.name for node in nodes], NAMED_NODES)


def _nodes(live: Live, now: float) -> Iterable[str]:
    nodes = live.nodes.values()
    lost = [node for node in nodes if node.mac and node.stage is Stage.LOST and not _as_told(node, now)]
    if lost:
        least = duration(now - max(node.since for node in lost))
        yield f"{count(len(lost), 'node is', 'nodes are')} lost: {named(lost)}, the last {least} ago."
    if live.overview is None or not live.overview.scheduler.up:
        return
    yield from _hanging(nodes, now)
    yield from _blocked(nodes, live.overview.scheduler.blocked)
    full = [n for n in nodes if n.host and n.host.online and n.host.slots and n.host.load >= NO_JOBS]
    # A node that is full for a moment is at work; one that stays full compiles nothing.
    full = [node for node in full if now - node.since > RECENT_SECONDS / 2]
    if full:
        yield f"{count(len(full), 'node says', 'nodes say')} that the load is 1000 and {_gets(full)}: {named(full)}."
    yield from _passed_over(live, now)


def _as_told(node: NodeStatus, now: float) -> bool:
    """It is gone because it was sent; a machine that reboots is back within minutes."""
    return node.order == "off" or (node.order == "reboot" and now - node.since < REBOOT_SECONDS)


def _hanging(nodes: Collection[NodeStatus], now: float) -> Iterable[str]:
    """Machines whose boot does not go on; of load 1000, at which it ends, is told apart."""
    if not any(node.mac and booting(node) for node in nodes):  # what boots take is worked out when one goes on only
        return
    boots = [(node, spans(node, now)) for node in nodes if node.mac]
    usually = usual(boot for _, boot in boots)
    hangs = ((node, hanging(node, boot, usually)) for node, boot in boots if node.stage is not Stage.REGISTERED)
    found = [(node, hang) for node, hang in hangs if hang]
    if len(found) == 1:
        [(node, hang)] = found
        yield f"{node.name} hangs: {hang.sentence}"
    elif found:
        yield f"{len(found)} nodes hang while booting: {named([node for node, _ in found])}. See the tab Boot."


def _blocked(nodes: Iterable[NodeStatus], entries: Sequence[str]) -> Iterable[str]:
    """Nodes that may not log in, and names and addresses of which no node is known."""
    blocked = [node for node in nodes if node.blocked]
    if blocked:
        yield f"{count(len(blocked), 'node is', 'nodes are')} blocked: {named(blocked)}. Unblock with u in Nodes."
    known = {word for node in blocked for word in (node.name, node.address)}
    known |= {word for node in blocked if node.host for word in node.host.key}
    unknown = [word for word in entries if word not in known]
    if unknown:
        verb = "is blocked and has" if len(unknown) == 1 else "are blocked and have"
        yield f"{few(unknown, NAMED_NODES)} {verb} not been seen. Unblock with u in Scheduler."


def _gets(nodes: Sequence[NodeStatus]) -> str:
    return "gets no jobs" if len(nodes) == 1 else "get no jobs"


def _passed_over(live: Live, now: float) -> Iterable[str]:
    waiting = sum(node.host.jobs_pending for node in live.nodes.values() if node.host and node.host.online)
    if not waiting:
        return
    reasons = state_words.Reasons(live, now)
    idle = [
        node
        for node in live.nodes.values()
        if state_words.state(node) == state_words.IDLE and node.host and node.host.slots
    ]
    found = [(node, reason) for node in idle if (reason := reasons.of(node)) and reason.code not in HARMLESS]
    by_code: dict[str, list[NodeStatus]] = {}
    for node, reason in found:
        if reason.code not in ("load-1000", "blocked"):
            by_code.setdefault(reason.code, []).append(node)
    for code, nodes in by_code.items():
        verb = count(waiting, "job waits", "jobs wait")
        yield f"{verb} while {count(len(nodes), 'node is', 'nodes are')} idle ({code}): {named(nodes)}."


def _jobs(live: Live, now: float) -> Iterable[str]:
    fallbacks = failed = lost = 0
    for job in recent(live, now):
        fallbacks += job.place is JobPlace.FALLBACK
        failed += job.exit == NODE_UNUSABLE
        lost += job.exit == NODE_LOST
    if failed:
        yield f"{count(failed, 'job has', 'jobs have')} failed in the last minute through a node, not the compiler."
    if lost:
        ran = count(lost, "job was on a node that was", "jobs were on nodes that were")
        yield f"{ran} lost or sent away in the last minute."
    if fallbacks:
        files = count(fallbacks, "file was compiled by its submitter", "files were compiled by their submitters")
        yield f"{files} after failing on a node."
