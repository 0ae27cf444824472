"""What is wrong now, and what to do: what the overview says, and what follows from nodes and jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from weakref import WeakKeyDictionary

from msgspec import Struct

from farm.view.boot import booting, hanging, spans, usual
from farm.view.live import Live
from farm.view.roles import Idle
from farm.view.status import NodeStatus, Overview
from farm.view.wording import NODE_LOST, NODE_UNUSABLE, count, duration, few
from farm.watch.activity import Job, JobPlace
from farm.watch.events import Finding, Stage
from farm.watch.state import NO_JOBS
from tui import state_words

NAMED_NODES = 3
"""So many nodes are named; the others are counted."""
RECENT_SECONDS = 60.0
REBOOT_SECONDS = 300.0
HARMLESS = ("nothing-queued", "next", "no-remote", "no-slots")
"""Reasons to be idle that are in order."""
TABS = {"rival-scheduler": "Scheduler", "scheduler-down": "Scheduler", "forged-login": "Scheduler"}
"""Code of a finding → the tab that shows more."""


FRESH_SECONDS = 1.0
"""What is wrong is not worked out more often."""


class FarmProblem(Struct, frozen=True):
    """Something that is wrong: a sentence, what to do, and what it is about."""

    key: str
    """Known by it for as long as it lasts."""
    what: str
    advice: str = ""
    nodes: tuple[str, ...] = ()
    """Keys of the nodes concerned."""
    jobs: tuple[Job, ...] = ()
    """The jobs concerned, the newest first."""
    tab: str = ""
    """The tab that shows more of it."""


_known: WeakKeyDictionary[Live, tuple[float, Overview, list[FarmProblem]]] = WeakKeyDictionary()


def wrong(live: Live, now: float) -> list[FarmProblem]:
    """All of it, the worst first; empty when all is well. Whoever asks again at once gets the same."""
    if live.overview is None:
        return []
    known = _known.get(live)
    if known is None or abs(now - known[0]) >= FRESH_SECONDS or known[1] is not live.overview:
        known = _known[live] = (now, live.overview, problems(live, now))
    return known[2]


def problems(live: Live, now: float) -> list[FarmProblem]:
    """The same, worked out."""
    if live.overview is None:
        return []
    return [*_told(live, live.overview), *_nodes(live, now), *_jobs(live, now)]


def _told(live: Live, overview: Overview) -> Iterable[FarmProblem]:
    """What whoever watches the farm has found."""
    if len(overview.findings) != len(overview.problems):  # from one that tells sentences only
        return [FarmProblem(sentence, sentence) for sentence in overview.problems]
    return [_finding(live, each) for each in overview.findings]


def _finding(live: Live, found: Finding) -> FarmProblem:
    about = [key for key, node in live.nodes.items() if found.about and found.about in (key, node.name)]
    return FarmProblem(f"{found.code} {found.about}", found.what, found.fix, tuple(about), tab=TABS.get(found.code, ""))


def recent(live: Live, now: float, seconds: float = RECENT_SECONDS) -> Iterator[Job]:
    """Jobs that ended lately, the newest first."""
    for job in reversed(live.ended):
        if job.ended < now - seconds:
            return
        yield job


def named(nodes: Sequence[NodeStatus]) -> str:
    """Their names, a few at most."""
    return few([node.name for node in nodes], NAMED_NODES)


def keys(nodes: Iterable[NodeStatus]) -> tuple[str, ...]:
    """By which they are found again."""
    return tuple(node.key for node in nodes)


def _nodes(live: Live, now: float) -> Iterable[FarmProblem]:
    nodes = live.nodes.values()
    lost = [node for node in nodes if node.mac and node.stage is Stage.LOST and not _as_told(node, now)]
    if lost:
        least = duration(now - max(node.since for node in lost))
        what = f"{count(len(lost), 'node is', 'nodes are')} lost: {named(lost)}, the last {least} ago."
        yield FarmProblem("lost", what, "Check power and network cable.", keys(lost))
    if live.overview is None or not live.overview.scheduler.up:
        return
    yield from _hanging(nodes, now)
    yield from _blocked(nodes, live.overview.scheduler.blocked)
    full = [n for n in nodes if n.host and n.host.online and n.host.slots and n.host.load >= NO_JOBS]
    # A node that is full for a moment is at work; one that stays full compiles nothing.
    full = [node for node in full if now - node.since > RECENT_SECONDS / 2]
    if full:
        what = f"{count(len(full), 'node says', 'nodes say')} that the load is 1000 and {_gets(full)}: {named(full)}."
        yield FarmProblem("full", what, "Look what else runs there, and at memory and disk.", keys(full))
    yield from _passed_over(live, now)


def _as_told(node: NodeStatus, now: float) -> bool:
    """It is gone because it was sent; a machine that reboots is back within minutes."""
    return node.order == "off" or (node.order == "reboot" and now - node.since < REBOOT_SECONDS)


def _hanging(nodes: Collection[NodeStatus], now: float) -> Iterable[FarmProblem]:
    """Machines whose boot does not go on; of load 1000, at which it ends, is told apart."""
    if not any(node.mac and booting(node) for node in nodes):  # what boots take is worked out when one goes on only
        return
    boots = [(node, spans(node, now)) for node in nodes if node.mac]
    usually = usual(boot for _, boot in boots)
    hangs = ((node, hanging(node, boot, usually)) for node, boot in boots if node.stage is not Stage.REGISTERED)
    found = [(node, hang) for node, hang in hangs if hang]
    if len(found) == 1:
        [(node, hang)] = found
        yield FarmProblem(
            "hang",
            f"{node.name} hangs: {hang.what}.",
            f"{hang.look[:1].upper()}{hang.look[1:]}",
            (node.key,),
            tab="Boot",
        )
    elif found:
        hung = [node for node, _ in found]
        what = f"{len(found)} nodes hang while booting: {named(hung)}."
        yield FarmProblem("hang", what, "See the tab Boot.", keys(hung), tab="Boot")


def _blocked(nodes: Iterable[NodeStatus], entries: Sequence[str]) -> Iterable[FarmProblem]:
    """Nodes that may not log in, and names and addresses of which no node is known."""
    blocked = [node for node in nodes if node.blocked]
    if blocked:
        what = f"{count(len(blocked), 'node is', 'nodes are')} blocked: {named(blocked)}."
        yield FarmProblem("blocked", what, "Unblock with u in Nodes.", keys(blocked))
    known = {word for node in blocked for word in (node.name, node.address)}
    known |= {word for node in blocked if node.host for word in node.host.key}
    unknown = [word for word in entries if word not in known]
    if unknown:
        verb = "is blocked and has" if len(unknown) == 1 else "are blocked and have"
        what = f"{few(unknown, NAMED_NODES)} {verb} not been seen."
        yield FarmProblem("blocked unknown", what, "Unblock with u in Scheduler.", tab="Scheduler")


def _gets(nodes: Sequence[NodeStatus]) -> str:
    return "gets no jobs" if len(nodes) == 1 else "get no jobs"


def _passed_over(live: Live, now: float) -> Iterable[FarmProblem]:
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
    by_code: dict[str, list[tuple[NodeStatus, Idle]]] = {}
    for node, reason in found:
        if reason.code not in ("load-1000", "blocked"):
            by_code.setdefault(reason.code, []).append((node, reason))
    for code, both in by_code.items():
        verb = count(waiting, "job waits", "jobs wait")
        passed = [node for node, _ in both]
        what = f"{verb} while {count(len(passed), 'node is', 'nodes are')} idle ({code}): {named(passed)}."
        yield FarmProblem(f"idle {code}", what, both[0][1].mend, keys(passed))


def _jobs(live: Live, now: float) -> Iterable[FarmProblem]:
    fallbacks: list[Job] = []
    failed: list[Job] = []
    lost: list[Job] = []
    for job in recent(live, now):
        if job.place is JobPlace.FALLBACK:
            fallbacks.append(job)
        if job.exit == NODE_UNUSABLE:
            failed.append(job)
        elif job.exit == NODE_LOST:
            lost.append(job)
    if failed:
        have = count(len(failed), "job has", "jobs have")
        what = f"{have} failed in the last minute through a node, not the compiler."
        yield FarmProblem("unusable", what, "Each job's page says why.", jobs=tuple(failed))
    if lost:
        ran = count(len(lost), "job was on a node that was", "jobs were on nodes that were")
        what = f"{ran} lost or sent away in the last minute."
        yield FarmProblem("dropped", what, "Check the nodes if nobody sent them away.", jobs=tuple(lost))
    if fallbacks:
        files = count(len(fallbacks), "file was compiled by its submitter", "files were compiled by their submitters")
        what = f"{files} after failing on a node."
        yield FarmProblem("fallback", what, "Check the nodes on which they failed.", jobs=tuple(fallbacks))
