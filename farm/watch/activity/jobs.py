"""Jobs: asked for, begun, ended, or lost."""

from __future__ import annotations

from typing import TypeVar

from immutables import Map
from msgspec.structs import replace

from farm.printable import printable
from farm.scheduler.protocol import JobBegun, JobDone, JobRequested, LocalBegun, LocalDone
from farm.watch.activity.scheduler_records import NOBODY, Activity, Host, HostKey, Job, JobPlace, JobState, stem

Key = TypeVar("Key")

MAX_JOBS = 65536
"""Jobs in flight that are kept; when there are more, the older half is given up as lost."""
MAX_ENDED = 16384
"""Ended jobs that are kept; a reader that looks after each batch of events misses none."""
FALLBACK_SECONDS = 120.0
"""So soon after a node failed does its submitter begin to compile the file itself."""
MAX_FAILURES = 4096
MAX_FILE = 256
"""Characters of a file's path: room for the longest name that a file can have."""
SELF_MADE = (JobPlace.LOCAL, JobPlace.FALLBACK)


def shown_path(path: str) -> str:
    """A path, fit to show; of one that is too long the end is kept, where the file's name stands."""
    return printable(path if len(path) <= MAX_FILE else "…" + path[1 - MAX_FILE :], MAX_FILE)


def requested(activity: Activity, event: JobRequested, time: float) -> Activity:
    """A submitter asks for a node."""
    submitter = activity.ids.get(event.submitter, NOBODY)
    job = Job(
        event.job,
        JobState.PENDING,
        JobPlace.REMOTE,
        shown_path(event.file),
        submitter,
        language=event.language,
        requested=time,
    )
    activity = with_room(activity, event.job)
    hosts = activity.hosts
    if host := hosts.get(submitter):
        hosts = hosts.set(submitter, replace(host, pending=host.pending + 1, submitted=host.submitted + 1))
    totals = replace(activity.totals, requested=activity.totals.requested + 1)
    return replace(activity, jobs=activity.jobs.set(event.job, job), hosts=hosts, totals=totals)


def begun(activity: Activity, event: JobBegun, time: float) -> Activity:
    """A node begins, perhaps one whose request was not seen."""
    key = activity.ids.get(event.host, NOBODY)
    asked = activity.jobs.get(event.job)
    if asked is None or asked.state is JobState.RUNNING:
        activity, asked = with_room(activity, event.job), None
    job = asked or Job(event.job, JobState.PENDING, JobPlace.REMOTE, "")
    hosts = activity.hosts
    if asked:
        hosts = _no_longer_pending(hosts, asked)
    slot = 0
    if host := hosts.get(key):
        slot = lowest_free(host.taken)
        hosts = hosts.set(key, replace(host, running=host.running + 1, taken=host.taken | 1 << slot, last=time))
    place = JobPlace.OWN if key == job.submitter and key != NOBODY else JobPlace.REMOTE
    job = replace(job, state=JobState.RUNNING, place=place, node=key, slot=slot, begun=time)
    totals = activity.totals
    totals = replace(
        totals, requested=totals.requested + (asked is None), begun=totals.begun + 1, waited=totals.waited + job.waited
    )
    return replace(activity, jobs=activity.jobs.set(event.job, job), hosts=hosts, totals=totals)


def done(activity: Activity, event: JobDone, time: float) -> Activity:
    """A job that the scheduler placed has ended; one that is not known means nothing."""
    job = activity.jobs.get(event.job)
    if job is None or job.place in SELF_MADE:
        return activity
    ok = event.exit == 0
    hosts = activity.hosts
    if job.state is JobState.PENDING:
        hosts = _no_longer_pending(hosts, job)
    elif host := hosts.get(job.node):
        hosts = hosts.set(job.node, _credited(host, job, event, time))
    old = activity.totals
    totals = replace(
        old,
        done=old.done + ok,
        failed=old.failed + (not ok),
        in_bytes=old.in_bytes + event.in_bytes,
        out_bytes=old.out_bytes + event.out_bytes,
        busy_ms=old.busy_ms + event.real,
    )
    job = replace(
        job,
        state=JobState.DONE if ok else JobState.FAILED,
        ended=time,
        exit=event.exit,
        real=event.real,
        user=event.user,
        system=event.system,
        page_faults=event.page_faults,
        in_compressed=event.in_compressed,
        in_bytes=event.in_bytes,
        out_compressed=event.out_compressed,
        out_bytes=event.out_bytes,
    )
    activity = replace(activity, hosts=hosts, totals=totals)
    if not ok and job.place is JobPlace.REMOTE:
        activity = _failed(activity, job, time)
    return _end(activity, job)


def _failed(activity: Activity, job: Job, time: float) -> Activity:
    """A node has failed: its submitter compiles the file itself, soon or, as this news may be late, already."""
    key = (job.submitter, stem(job.file))
    if ids := activity.local.get(key):
        other = activity.jobs[next(iter(ids))]
        jobs = activity.jobs.set(other.id, replace(other, place=JobPlace.FALLBACK))
        totals = replace(activity.totals, fallback=activity.totals.fallback + 1)
        hosts = activity.hosts
        if host := hosts.get(job.submitter):
            hosts = hosts.set(job.submitter, replace(host, fallback=host.fallback + 1))
        local = _without_id(activity.local, key, other.id)
        return replace(activity, jobs=jobs, totals=totals, hosts=hosts, local=local)
    failures = activity.failures if len(activity.failures) < MAX_FAILURES else Map()
    return replace(activity, failures=failures.set(key, time))


def _credited(host: Host, job: Job, event: JobDone, time: float) -> Host:
    ok = event.exit == 0
    return replace(
        host,
        running=max(0, host.running - 1),
        taken=host.taken & ~(1 << job.slot),
        done=host.done + ok,
        failed=host.failed + (not ok),
        busy_ms=host.busy_ms + event.real,
        in_bytes=host.in_bytes + event.in_bytes,
        out_bytes=host.out_bytes + event.out_bytes,
        last=time,
    )


def local_begun(activity: Activity, event: LocalBegun, time: float) -> Activity:
    """A submitter compiles by itself: without asking, or after a node has failed."""
    key, file = activity.ids.get(event.host, NOBODY), shown_path(event.file)
    failed = activity.failures.get((key, stem(file)))
    fallback = failed is not None and time - failed <= FALLBACK_SECONDS
    place = JobPlace.FALLBACK if fallback else JobPlace.LOCAL
    failures = activity.failures.delete((key, stem(file))) if failed is not None else activity.failures
    activity = with_room(activity, event.job)
    hosts, old = activity.hosts, activity.totals
    if host := hosts.get(key):
        host = replace(
            host, local=host.local + 1, fallback=host.fallback + fallback, local_running=host.local_running + 1
        )
        hosts = hosts.set(key, host)
    job = Job(event.job, JobState.RUNNING, place, file, key, key, requested=time, begun=time)
    totals = replace(old, local_begun=old.local_begun + 1, fallback=old.fallback + fallback)
    jobs = activity.jobs.set(event.job, job)
    made = _with_id(activity.made, key, event.job)
    local = activity.local if fallback else _with_id(activity.local, (key, stem(file)), event.job)
    return replace(activity, jobs=jobs, made=made, local=local, hosts=hosts, totals=totals, failures=failures)


def local_done(activity: Activity, event: LocalDone, time: float) -> Activity:
    """Fold in that a job which a daemon ran by itself has ended."""
    job = activity.jobs.get(event.job)
    if job is None or job.place not in SELF_MADE:
        return activity
    hosts = activity.hosts
    if host := hosts.get(job.node):
        hosts = hosts.set(job.node, replace(host, local_running=max(0, host.local_running - 1)))
    job = replace(job, state=JobState.DONE, ended=time, real=round(max(0.0, time - job.begun) * 1000))
    totals = replace(activity.totals, local=activity.totals.local + 1)
    return _end(replace(activity, hosts=hosts, totals=totals), job)


def _end(activity: Activity, job: Job) -> Activity:
    """Move a job from those in flight to those that have ended."""
    count = activity.count + 1
    ended = activity.ended.set(count, replace(job, number=count))
    if len(ended) > MAX_ENDED:
        ended = ended.delete(count - MAX_ENDED)
    return replace(_not_in_flight(activity, job), ended=ended, count=count)


def _not_in_flight(activity: Activity, job: Job) -> Activity:
    jobs = activity.jobs.delete(job.id)
    if job.place not in SELF_MADE:
        return replace(activity, jobs=jobs)
    made = _without_id(activity.made, job.node, job.id)
    local = _without_id(activity.local, (job.node, stem(job.file)), job.id)
    return replace(activity, jobs=jobs, made=made, local=local)


def _with_id(table: Map[Key, Map[int, None]], key: Key, id: int) -> Map[Key, Map[int, None]]:
    return table.set(key, table.get(key, Map[int, None]()).set(id, None))


def _without_id(table: Map[Key, Map[int, None]], key: Key, id: int) -> Map[Key, Map[int, None]]:
    ids = table.get(key)
    if ids is None or id not in ids:
        return table
    ids = ids.delete(id)
    return table.set(key, ids) if ids else table.delete(key)


def with_room(activity: Activity, id: int) -> Activity:
    """Ready for job ``id``: forget one of that id, and the oldest half when too many were never told to end."""
    if known := activity.jobs.get(id):
        # One without times is from the control port's list, which was faster than what the monitor tells of it.
        activity = lose(activity, known) if known.requested or known.begun else _unseeded(activity, known)
    if len(activity.jobs) < MAX_JOBS:
        return activity
    oldest = sorted(activity.jobs.values(), key=lambda job: job.begun or job.requested)[: MAX_JOBS // 2]
    for job in oldest:
        activity = lose(activity, job)
    return activity


def lose(activity: Activity, job: Job) -> Activity:
    """Forget a job in flight whose end nobody will tell."""
    totals = replace(activity.totals, lost=activity.totals.lost + 1)
    return replace(_without(activity, job), totals=totals)


def _unseeded(activity: Activity, job: Job) -> Activity:
    """Forget a job of the control port's list: the monitor has now told all of it itself."""
    activity = _without(activity, job)
    totals, hosts = activity.totals, activity.hosts
    if host := hosts.get(job.submitter):
        hosts = hosts.set(job.submitter, replace(host, submitted=max(0, host.submitted - 1)))
    begun = totals.begun - (job.state is JobState.RUNNING)
    return replace(activity, totals=replace(totals, requested=totals.requested - 1, begun=begun), hosts=hosts)


def _without(activity: Activity, job: Job) -> Activity:
    hosts = activity.hosts
    if job.state is JobState.PENDING:
        hosts = _no_longer_pending(hosts, job)
    elif host := hosts.get(job.node):
        if job.place in SELF_MADE:
            host = replace(host, local_running=max(0, host.local_running - 1))
        else:
            host = replace(host, running=max(0, host.running - 1), taken=host.taken & ~(1 << job.slot))
        hosts = hosts.set(job.node, host)
    return replace(_not_in_flight(activity, job), hosts=hosts)


def _no_longer_pending(hosts: Map[HostKey, Host], job: Job) -> Map[HostKey, Host]:
    host = hosts.get(job.submitter)
    return hosts if host is None else hosts.set(job.submitter, replace(host, pending=max(0, host.pending - 1)))


def lowest_free(taken: int) -> int:
    """The lowest lane whose bit is not set."""
    return (~taken & (taken + 1)).bit_length() - 1
