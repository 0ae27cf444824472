"""Builds from what the scheduler tells: ended jobs and moments, folded into a ledger by pure functions.

A `farm run` is a build; a submitter's other jobs belong to one until none of them has come or run for QUIET_SECONDS.
Everything is bounded: a flood of host names ends up in one build and one node called OTHERS.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from farm.history import runs
from farm.history.build_records import Build, BuildDetail, Curve, FileTime, NodeShare, Wait
from farm.history.curve import rounded, with_job
from farm.history.node_hours import OTHERS, Hours, share_with, with_hour
from farm.history.runs import MAX_TAG, QUIET_SECONDS, UNDECIDED_SECONDS, BuildKey, RunNews, Runs
from farm.printable import printable
from farm.watch.activity import NOBODY, Activity, HostKey, Job, JobPlace, JobState

LONGEST_MOMENT = 5.0
"""After a longer pause (of the process, of the clock) nobody is blamed for all of it."""
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
MAX_UNDECIDED = 4096
"""Ended jobs of which is not known to which build they belong."""

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

    open: Map[BuildKey, Burst] = Map()
    closed: tuple[Burst, ...] = ()
    """To be written, oldest first."""
    hours: Hours = Map()
    """What nodes did since it was last written."""
    next: int = 1
    """The id that the next build gets."""
    tags: Map[str, tuple[str, float]] = Map()
    """For submitters' next builds, and since when."""
    runs: Runs = Runs()
    undecided: tuple[Job, ...] = ()
    """Ended jobs that may be of several builds."""

    def last(self, key: BuildKey) -> float | None:
        """When a job of an open build was last seen; None when no such build is open."""
        burst = self.open.get(key)
        return None if burst is None else burst.last


# -- ended jobs


def ended(ledger: Ledger, job: Job) -> Ledger:
    """The ledger after a job's end. One that was asked for before the watching began may belong to nobody's build."""
    job = job if job.real >= 0 else replace(job, real=0)  # of a local job, when the clock was set back
    if job.place not in _LOCAL and job.node[0]:
        ledger = replace(ledger, hours=with_hour(ledger.hours, job))
    if job.submitter == NOBODY:
        return ledger
    key = runs.owner(ledger.runs, job, ledger.last, job.ended)
    if key is None:
        if len(ledger.undecided) < MAX_UNDECIDED:
            return replace(ledger, undecided=(*ledger.undecided, job))
        key = runs.likely_owner(ledger.runs, job, ledger.last, job.ended)
    return _put(ledger, key, job)


def _put(ledger: Ledger, key: BuildKey, job: Job) -> Ledger:
    """Count a job in."""
    began = min(job.requested or job.begun or job.ended, job.ended)
    ledger, key, burst = _burst(ledger, key, began)
    return replace(ledger, open=ledger.open.set(key, _counted(burst, job, began)))


def run_told(ledger: Ledger, news: RunNews, time: float) -> Ledger:
    """The ledger after a `farm run` has told something of itself at ``time``."""
    return _decided(replace(ledger, runs=runs.told(ledger.runs, news, time)), time)


def _decided(ledger: Ledger, time: float) -> Ledger:
    """Ended jobs find their builds: by a claim that has come since, or by likelihood when none has."""
    waiting, ledger = ledger.undecided, replace(ledger, undecided=())
    for job in waiting:
        key = runs.owner(ledger.runs, job, ledger.last, time)
        if key is None and abs(time - job.ended) > UNDECIDED_SECONDS:
            key = runs.likely_owner(ledger.runs, job, ledger.last, time)
        ledger = replace(ledger, undecided=(*ledger.undecided, job)) if key is None else _put(ledger, key, job)
    return ledger


def _burst(ledger: Ledger, key: BuildKey, time: float) -> tuple[Ledger, BuildKey, Burst]:
    """The open build to which what came at ``time`` belongs, begun if there is none."""
    if key not in ledger.open and len(ledger.open) >= MAX_OPEN:
        key = (OTHERS, "")
    burst = ledger.open.get(key)
    if burst is not None and time - burst.last > QUIET_SECONDS and not ledger.runs.going(key, time):
        ledger, burst = _close(ledger, key), None
    if burst is None:
        ledger, build = _begun(ledger, key, time)
        burst = Burst(build, time)
        ledger = replace(ledger, open=ledger.open.set(key, burst), next=ledger.next + 1)
    return ledger, key, burst


def _begun(ledger: Ledger, key: BuildKey, time: float) -> tuple[Ledger, Build]:
    """A build without jobs, with the name that its run has, or else the tag that waits for it."""
    run = ledger.runs.find(key)
    tag = run.text if run else ""
    if run is None:
        ledger, tag = _take_tag(ledger, key[0], time)
    build = Build(
        id=ledger.next,
        submitter=key[0],
        address=key[1],
        started=time,
        ended=time,
        open=True,
        tag=tag,
        name=run.name if run else "",
        run=key[2] if run else "",
    )
    return ledger, build


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
        nodes = nodes.set(name, share_with(share or NodeShare(name, 0, 0, 0, 0), job))
    slow = len(slowest) < MAX_SLOWEST or job.real > slowest[-1].real_ms
    if slow or failed:
        file = FileTime(job.file, job.node[0], job.place.value, job.real, job.exit, job.ended)
        if slow:
            slowest = tuple(sorted((*slowest, file), key=lambda each: -each.real_ms)[:MAX_SLOWEST])
        if failed:
            failures = (*failures[1 - MAX_BUILD_FAILURES :], file)
    curve = with_job(burst.curve, job.begun, job.ended)
    return Burst(build, max(burst.last, job.ended), nodes, slowest, failures, burst.waits, curve)


# -- moments


def moment(ledger: Ledger, before: Activity, after: Activity, since: float, time: float) -> Ledger:
    """The ledger after the time from ``since`` (when ``before`` was) to ``time``: what ran, waited, is over."""
    ledger = _decided(ledger, time)
    first: dict[BuildKey, float] = {}
    pending: Counter[BuildKey] = Counter()
    holding: Counter[HostKey] = Counter()
    for job in after.jobs.values():
        key = runs.owner(ledger.runs, job, ledger.last, time)
        if key is not None:
            began = job.requested or job.begun or time
            first[key] = min(began, first.get(key, began))
            pending[key] += job.state is JobState.PENDING
        if job.state is not JobState.PENDING and job.place not in _LOCAL:
            holding[job.submitter] += 1
    first.pop(NOBODY, None)
    for key, began in first.items():
        ledger = _running(ledger, key, min(began, time), time)
    if after.totals.lost != before.totals.lost:
        ledger = _count_lost(ledger, before, after, time)
    ledger = _count_peaks(ledger, before, after, since)
    ledger = _blame(ledger, pending, holding, min(max(0.0, time - since), LONGEST_MOMENT))
    ledger = _close_quiet(ledger, time)
    going_on = {(key[0], key[2]) for key in ledger.open if len(key) > 2}
    return replace(ledger, runs=runs.forgotten(ledger.runs, going_on, time))


def _running(ledger: Ledger, key: BuildKey, began: float, time: float) -> Ledger:
    ledger, key, burst = _burst(ledger, key, began)
    old = burst.build
    build = replace(old, started=min(old.started, began), ended=max(old.ended, time))
    return replace(ledger, open=ledger.open.set(key, replace(burst, build=build, last=time)))


def _ended_since(before: Activity, after: Activity) -> list[Job]:
    first = max(before.count, after.count - len(after.ended)) + 1
    return [job for number in range(first, after.count + 1) if (job := after.ended.get(number))]


def _count_lost(ledger: Ledger, before: Activity, after: Activity, time: float) -> Ledger:
    told = {job.id for job in _ended_since(before, after)}
    lost = Counter(
        runs.likely_owner(ledger.runs, job, ledger.last, time)
        for id, job in before.jobs.items()
        if id not in after.jobs and id not in told
    )
    for key, number in lost.items():
        if burst := ledger.open.get(key):
            build = replace(burst.build, lost=burst.build.lost + number)
            ledger = replace(ledger, open=ledger.open.set(key, replace(burst, build=build)))
    return ledger


def _count_peaks(ledger: Ledger, before: Activity, after: Activity, since: float) -> Ledger:
    changes: defaultdict[BuildKey, list[tuple[float, int]]] = defaultdict(list)
    ran: Counter[BuildKey] = Counter()
    running = [job for job in after.jobs.values() if job.state is JobState.RUNNING]
    for job in (*_ended_since(before, after), *running):
        if job.begun:
            key = runs.likely_owner(ledger.runs, job, ledger.last, since)
            if job.ended:
                changes[key].append((job.ended, -1))
            if job.begun > since:
                changes[key].append((job.begun, 1))
            else:
                ran[key] += 1
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


def _blame(ledger: Ledger, pending: Counter[BuildKey], holding: Counter[HostKey], seconds: float) -> Ledger:
    slots = holding.total()
    most = dict(holding.most_common(MAX_BLAMED))
    rest = slots - sum(most.values())
    for key, waiting in pending.items():
        burst = ledger.open.get(key)
        if burst is None or not slots or not waiting:
            continue
        submitter = key[0], key[1]
        shares = Counter({OTHERS: rest if submitter in most else rest - holding[submitter]})
        for holder, held in most.items():
            if holder != submitter:
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
        if abs(time - burst.last) > QUIET_SECONDS and not ledger.runs.going(key, time):
            ledger = _close(ledger, key)
    return ledger


def _close(ledger: Ledger, key: BuildKey) -> Ledger:
    burst = ledger.open[key]
    burst = replace(burst, build=replace(burst.build, open=False))
    return replace(ledger, open=ledger.open.delete(key), closed=(*ledger.closed[1 - MAX_CLOSED :], burst))


# -- tags


def tagged(ledger: Ledger, submitter: str, text: str, time: float) -> Ledger:
    """The ledger after someone said at ``time`` what ``submitter`` (a name) is building outside of `farm run`.

    A build may get several: two may go on at once. The news of its first job may be slower than the tag.
    """
    text = printable(text, MAX_TAG, inert=" ").strip()
    keys = [
        key
        for key, burst in ledger.open.items()
        if key[0] == submitter and not burst.build.run and abs(time - burst.last) < QUIET_SECONDS
    ]
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
