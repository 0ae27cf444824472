"""Builds from what the scheduler tells: ended jobs and moments, folded into a ledger by pure functions.

A submitter's jobs belong to one build until none of them has come or run for QUIET_SECONDS. Everything is bounded: a
flood of host names ends up in one build and one node called OTHERS.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from farm.history.build_records import Build, BuildDetail, Curve, FileTime, NodeShare, Wait
from farm.history.curve import rounded, with_job
from farm.printable import printable
from farm.watch.activity import NOBODY, Activity, HostKey, Job, JobPlace, JobState

QUIET_SECONDS = 30.0
LONGEST_MOMENT = 5.0
"""After a longer pause (of the process, of the clock) nobody is blamed for all of it."""
HOUR = 3600
MAX_OPEN = 256
MAX_CLOSED = 1000
"""Closed builds that wait to be written."""
MAX_SLOWEST = 20
MAX_BUILD_FAILURES = 100
MAX_BUILD_NODES = 1024
"""Nodes that are kept for one build."""
MAX_HOLDERS = 256
MAX_BLAMED = 32
"""At one moment; the rest are OTHERS."""
MAX_NODE_HOURS = 16_384
"""Hours of nodes that wait to be written."""
MAX_TAG = 200
OTHERS = "(others)"

_LOCAL = (JobPlace.LOCAL, JobPlace.FALLBACK)


class Burst(Struct, frozen=True):
    """A build as it grows."""

    build: Build
    last: float
    """When a job of it last came, ran or ended."""
    nodes: Map[str, NodeShare] = Map()
    slowest: tuple[FileTime, ...] = ()
    failures: tuple[FileTime, ...] = ()
    """The last files that failed to compile."""
    waits: Map[str, float] = Map()
    curve: Curve = Curve()

    def detail(self) -> BuildDetail:
        """All of it, in order."""
        waits = [Wait(holder, round(seconds, 1)) for holder, seconds in self.waits.items()]
        return BuildDetail(
            build=self.build,
            nodes=sorted(self.nodes.values(), key=lambda share: (-share.jobs, share.node)),
            slowest=list(self.slowest),
            failures=list(self.failures),
            waits=sorted(waits, key=lambda wait: (-wait.seconds, wait.holder)),
            curve=rounded(self.curve),
        )


class Ledger(Struct, frozen=True):
    """What is not in the database yet, or may still change there."""

    open: Map[HostKey, Burst] = Map()
    closed: tuple[Burst, ...] = ()
    """To be written, oldest first."""
    hours: Map[tuple[int, str], NodeShare] = Map()
    """What nodes did since it was last written."""
    next: int = 1
    """The id that the next build gets."""
    tags: Map[str, tuple[str, float]] = Map()
    """For submitters' next builds, and since when."""


# -- ended jobs


def ended(ledger: Ledger, job: Job) -> Ledger:
    """The ledger after a job's end. One that was asked for before the watching began may belong to nobody's build."""
    job = job if job.real >= 0 else replace(job, real=0)  # of a local job, when the clock was set back
    if job.place not in _LOCAL and job.node[0]:
        ledger = replace(ledger, hours=_with_hour(ledger.hours, int(job.ended // HOUR) * HOUR, job))
    if job.submitter == NOBODY:
        return ledger
    began = min(job.requested or job.begun or job.ended, job.ended)
    ledger, key, burst = _burst(ledger, job.submitter, began)
    return replace(ledger, open=ledger.open.set(key, _counted(burst, job, began)))


def _burst(ledger: Ledger, submitter: HostKey, time: float) -> tuple[Ledger, HostKey, Burst]:
    """The open build to which what came at ``time`` belongs, begun if there is none."""
    if submitter not in ledger.open and len(ledger.open) >= MAX_OPEN:
        submitter = (OTHERS, "")
    burst = ledger.open.get(submitter)
    if burst is not None and time - burst.last > QUIET_SECONDS:
        ledger, burst = _close(ledger, submitter), None
    if burst is None:
        ledger, tag = _take_tag(ledger, submitter[0], time)
        build = Build(
            id=ledger.next, submitter=submitter[0], address=submitter[1], started=time, ended=time, open=True, tag=tag
        )
        burst = Burst(build, time)
        ledger = replace(ledger, open=ledger.open.set(submitter, burst), next=ledger.next + 1)
    return ledger, submitter, burst


def _counted(burst: Burst, job: Job, began: float) -> Burst:
    old = burst.build
    failed = job.state is JobState.FAILED
    build = replace(
        old,
        started=min(old.started, began),
        ended=max(old.ended, job.ended),
        remote=old.remote + (job.place is JobPlace.REMOTE),
        own=old.own + (job.place is JobPlace.OWN),
        local=old.local + (job.place in _LOCAL),
        fallback=old.fallback + (job.place is JobPlace.FALLBACK),
        failed=old.failed + failed,
        real_ms=old.real_ms + job.real,
        user_ms=old.user_ms + job.user,
        waited_ms=old.waited_ms + round(job.waited * 1000),
        in_bytes=old.in_bytes + job.in_bytes,
        out_bytes=old.out_bytes + job.out_bytes,
        most=old.most or 1,
    )
    name = job.node[0]
    nodes, slowest, failures = burst.nodes, burst.slowest, burst.failures
    if name:
        share = nodes.get(name)
        if share is None and len(nodes) >= MAX_BUILD_NODES:
            name, share = OTHERS, nodes.get(OTHERS)
        nodes = nodes.set(name, _with_job(share or NodeShare(name, 0, 0, 0, 0), job))
    slow = len(slowest) < MAX_SLOWEST or job.real > slowest[-1].real_ms
    if slow or failed:
        file = FileTime(job.file, job.node[0], job.place.value, job.real, job.exit, job.ended)
        if slow:
            slowest = tuple(sorted((*slowest, file), key=lambda each: -each.real_ms)[:MAX_SLOWEST])
        if failed:
            failures = (*failures[1 - MAX_BUILD_FAILURES :], file)
    curve = with_job(burst.curve, job.begun, job.ended)
    return Burst(build, max(burst.last, job.ended), nodes, slowest, failures, burst.waits, curve)


def _with_job(share: NodeShare, job: Job) -> NodeShare:
    return NodeShare(
        share.node,
        share.jobs + 1,
        share.failed + (job.state is JobState.FAILED),
        share.real_ms + job.real,
        share.out_bytes + job.out_bytes,
    )


def _with_hour(hours: Map[tuple[int, str], NodeShare], hour: int, job: Job) -> Map[tuple[int, str], NodeShare]:
    key = hour, job.node[0]
    share = hours.get(key)
    if share is None:
        hours, key = _room_for_hour(hours, key)
        share = hours.get(key) or NodeShare(key[1], 0, 0, 0, 0)
    return hours.set(key, _with_job(share, job))


def _room_for_hour(
    hours: Map[tuple[int, str], NodeShare], key: tuple[int, str]
) -> tuple[Map[tuple[int, str], NodeShare], tuple[int, str]]:
    """Forget the oldest hour when there are too many; within one hour, names beyond the limit are OTHERS."""
    if len(hours) < MAX_NODE_HOURS:
        return hours, key
    oldest = min(hour for hour, _ in hours)
    if oldest >= key[0]:
        return hours, (key[0], OTHERS)
    return Map((each, share) for each, share in hours.items() if each[0] != oldest), key


def add_hours(
    hours: Map[tuple[int, str], NodeShare], more: Map[tuple[int, str], NodeShare]
) -> Map[tuple[int, str], NodeShare]:
    """The sum of two tables of hours and nodes."""
    for key, share in more.items():
        old = hours.get(key)
        if old is None:
            hours, key = _room_for_hour(hours, key)
            old = hours.get(key) or NodeShare(key[1], 0, 0, 0, 0)
        hours = hours.set(key, joined(old, share))
    return hours


def joined(first: NodeShare, second: NodeShare) -> NodeShare:
    """What one node did in both."""
    return NodeShare(
        first.node,
        first.jobs + second.jobs,
        first.failed + second.failed,
        first.real_ms + second.real_ms,
        first.out_bytes + second.out_bytes,
    )


# -- moments


def moment(ledger: Ledger, before: Activity, after: Activity, since: float, time: float) -> Ledger:
    """The ledger after the time from ``since`` (when ``before`` was) to ``time``: what ran, waited, is over."""
    first: dict[HostKey, float] = {}
    pending: Counter[HostKey] = Counter()
    holding: Counter[HostKey] = Counter()
    for job in after.jobs.values():
        key = job.submitter
        began = job.requested or job.begun or time
        first[key] = min(began, first.get(key, began))
        if job.state is JobState.PENDING:
            pending[key] += 1
        elif job.place not in _LOCAL:
            holding[key] += 1
    first.pop(NOBODY, None)
    for key, began in first.items():
        ledger = _running(ledger, key, min(began, time), time)
    if after.totals.lost != before.totals.lost:
        ledger = _count_lost(ledger, before, after)
    ledger = _count_peaks(ledger, before, after, since)
    ledger = _blame(ledger, pending, holding, min(max(0.0, time - since), LONGEST_MOMENT))
    return _close_quiet(ledger, time)


def _running(ledger: Ledger, submitter: HostKey, began: float, time: float) -> Ledger:
    ledger, key, burst = _burst(ledger, submitter, began)
    old = burst.build
    build = replace(old, started=min(old.started, began), ended=max(old.ended, time))
    return replace(ledger, open=ledger.open.set(key, replace(burst, build=build, last=time)))


def _ended_since(before: Activity, after: Activity) -> list[Job]:
    first = max(before.count, after.count - len(after.ended)) + 1
    return [job for number in range(first, after.count + 1) if (job := after.ended.get(number))]


def _count_lost(ledger: Ledger, before: Activity, after: Activity) -> Ledger:
    told = {job.id for job in _ended_since(before, after)}
    lost = Counter(job.submitter for id, job in before.jobs.items() if id not in after.jobs and id not in told)
    for key, number in lost.items():
        if burst := ledger.open.get(key):
            build = replace(burst.build, lost=burst.build.lost + number)
            ledger = replace(ledger, open=ledger.open.set(key, replace(burst, build=build)))
    return ledger


def _count_peaks(ledger: Ledger, before: Activity, after: Activity, since: float) -> Ledger:
    changes: defaultdict[HostKey, list[tuple[float, int]]] = defaultdict(list)
    ran: Counter[HostKey] = Counter()
    for job in _ended_since(before, after):
        if job.begun:
            changes[job.submitter].append((job.ended, -1))
            if job.begun > since:
                changes[job.submitter].append((job.begun, 1))
            else:
                ran[job.submitter] += 1
    for job in after.jobs.values():
        if job.state is JobState.RUNNING:
            if job.begun > since:
                changes[job.submitter].append((job.begun, 1))
            else:
                ran[job.submitter] += 1
    for key in changes.keys() | ran.keys():
        if (burst := ledger.open.get(key)) and (most := peak(ran[key], changes[key])) > burst.build.most:
            build = replace(burst.build, most=most)
            ledger = replace(ledger, open=ledger.open.set(key, replace(burst, build=build)))
    return ledger


def peak(running: int, changes: list[tuple[float, int]]) -> int:
    """How many ran at one time at most, when ``running`` did at first and then changed; who ends makes room first."""
    most = running
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most


def _blame(ledger: Ledger, pending: Counter[HostKey], holding: Counter[HostKey], seconds: float) -> Ledger:
    slots = holding.total()
    most = dict(holding.most_common(MAX_BLAMED))
    rest = slots - sum(most.values())
    for key, waiting in pending.items():
        burst = ledger.open.get(key)
        if burst is None or not slots:
            continue
        shares = Counter({OTHERS: rest if key in most else rest - holding[key]})
        for holder, held in most.items():
            if holder != key:
                name = holder[0] or OTHERS
                shares[name if name in burst.waits or len(burst.waits) < MAX_HOLDERS else OTHERS] += held
        waits = burst.waits.update(
            (name, burst.waits.get(name, 0.0) + waiting * seconds * held / slots)
            for name, held in shares.items()
            if held
        )
        ledger = replace(ledger, open=ledger.open.set(key, replace(burst, waits=waits)))
    return ledger


def _close_quiet(ledger: Ledger, time: float) -> Ledger:
    """Close what has been quiet, also what lies in the future since the clock was set back."""
    for key, burst in ledger.open.items():
        if abs(time - burst.last) > QUIET_SECONDS:
            ledger = _close(ledger, key)
    return ledger


def _close(ledger: Ledger, key: HostKey) -> Ledger:
    burst = ledger.open[key]
    burst = replace(burst, build=replace(burst.build, open=False))
    return replace(ledger, open=ledger.open.delete(key), closed=(*ledger.closed[1 - MAX_CLOSED :], burst))


# -- tags


def tagged(ledger: Ledger, submitter: str, text: str, time: float) -> Ledger:
    """The ledger after someone said at ``time`` what ``submitter`` (a name) is building.

    A build may get several: two may go on at once. The news of its first job may be slower than the tag.
    """
    text = printable(text, MAX_TAG, inert=" ").strip()
    keys = [key for key, burst in ledger.open.items() if key[0] == submitter and abs(time - burst.last) < QUIET_SECONDS]
    for key in keys:
        burst = ledger.open[key]
        build = replace(burst.build, tag=_with_tag(burst.build.tag, text))
        ledger = replace(ledger, open=ledger.open.set(key, replace(burst, build=build)))
    if keys:
        return ledger
    waiting = ledger.tags.get(submitter, ("", time))[0]
    tags = ledger.tags.set(submitter, (_with_tag(waiting, text), time))
    if len(tags) > MAX_OPEN:
        tags = tags.delete(min(tags, key=lambda name: tags[name][1]))
    return replace(ledger, tags=tags)


def _with_tag(old: str, text: str) -> str:
    known = old.split("; ") if old else []
    return old if text in known else "; ".join([*known, text])[:MAX_TAG]


def _take_tag(ledger: Ledger, submitter: str, time: float) -> tuple[Ledger, str]:
    """What waits for a submitter's next build; nothing when that was said too long ago."""
    if submitter not in ledger.tags:
        return ledger, ""
    text, since = ledger.tags[submitter]
    return replace(ledger, tags=ledger.tags.delete(submitter)), text if abs(time - since) < QUIET_SECONDS else ""


# -- what was written


def without_written(ledger: Ledger, written: Ledger) -> Ledger:
    """Those closed builds are in the database now."""
    ids = {burst.build.id for burst in written.closed}
    return replace(ledger, closed=tuple(burst for burst in ledger.closed if burst.build.id not in ids))


def renumbered(ledger: Ledger, last: int) -> Ledger:
    """All builds get ids beyond ``last``, which the database turned out to hold."""

    def moved(burst: Burst) -> Burst:
        return replace(burst, build=replace(burst.build, id=burst.build.id + last))

    return replace(
        ledger,
        open=Map((key, moved(burst)) for key, burst in ledger.open.items()),
        closed=tuple(map(moved, ledger.closed)),
        next=ledger.next + last,
    )


def resumed(ledger: Ledger, left: Iterable[BuildDetail], time: float) -> Ledger:
    """The ledger with builds that an earlier process left open, as far as they may go on at ``time``."""
    for detail in left:
        key = detail.build.submitter, detail.build.address
        if key in ledger.open or len(ledger.open) >= MAX_OPEN or abs(time - detail.build.ended) > QUIET_SECONDS:
            continue
        burst = Burst(
            replace(detail.build, open=True),
            detail.build.ended,
            Map((share.node, share) for share in detail.nodes),
            tuple(detail.slowest),
            tuple(detail.failures),
            Map((wait.holder, wait.seconds) for wait in detail.waits),
            detail.curve,
        )
        ledger = replace(ledger, open=ledger.open.set(key, burst))
    return ledger
