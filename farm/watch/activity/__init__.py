"""What a scheduler's monitor tells of daemons and jobs, folded into frozen records.

``fold(activity, event, time)`` is the only way it changes. The tables are persistent maps, which share what did not
change: a fold costs the same with five nodes and with five hundred, and whoever keeps an older `Activity` can tell what
is new. Text from the network is cut and cleaned once, when it comes in, and every table is bounded.
"""

from __future__ import annotations

from msgspec.structs import replace

from farm.scheduler.monitor import Connected, Disconnected, Seeded
from farm.scheduler.protocol import (
    Event,
    JobBegun,
    JobDone,
    JobRequested,
    LocalBegun,
    LocalDone,
    NodeForged,
    NodeOffline,
    NodeStats,
)
from farm.watch.activity import daemons, jobs
from farm.watch.activity.scheduler_records import (
    NO_JOBS,
    NOBODY,
    Activity,
    Canary,
    Host,
    HostKey,
    Job,
    JobPlace,
    JobState,
    Listed,
    RivalsSeen,
    Sample,
    Scheduler,
    Tick,
    Totals,
    stem,
)

__all__ = [
    "MAX_SAMPLES",
    "NOBODY",
    "NO_JOBS",
    "Activity",
    "Canary",
    "Host",
    "HostKey",
    "Job",
    "JobPlace",
    "JobState",
    "Listed",
    "RivalsSeen",
    "Said",
    "Sample",
    "Scheduler",
    "Tick",
    "Totals",
    "fold",
    "sample",
    "stem",
]

MAX_SAMPLES = 900
"""A quarter of an hour, one a second."""

Said = Event | Connected | Disconnected | Seeded | Listed | RivalsSeen | Tick
"""What the state can be told of a scheduler: what its monitor and control ports say, and that time passes."""


def fold(activity: Activity, event: Said, time: float) -> Activity:
    """The activity after an event that came at Unix ``time``."""
    match event:
        case JobRequested():
            return jobs.requested(activity, event, time)
        case JobBegun():
            return jobs.begun(activity, event, time)
        case JobDone():
            return jobs.done(activity, event, time)
        case LocalBegun():
            return jobs.local_begun(activity, event, time)
        case LocalDone():
            return jobs.local_done(activity, event, time)
        case NodeStats():
            return daemons.stats(activity, event, time)
        case NodeForged():
            return daemons.forged(activity, event, time)
        case NodeOffline():
            return daemons.offline(activity, event, time)
        case Tick():
            return replace(activity, samples=(*activity.samples[1 - MAX_SAMPLES :], sample(activity, time)))
        case Seeded():
            return daemons.seeded(activity, event, time)
        case Listed():
            return daemons.listed(activity, event, time)
        case RivalsSeen():
            return replace(activity, scheduler=replace(activity.scheduler, rivals=event.rivals))
        case Connected():
            return daemons.connected(activity, event, time)
        case Disconnected():
            return daemons.disconnected(activity, event.why, time)
    return activity  # SchedulerEnd: the connection's end follows


def sample(activity: Activity, time: float) -> Sample:
    """What the farm does at this moment, in numbers for a graph."""
    slots = busy = pending = local = 0
    for host in activity.hosts.values():
        if host.online:
            busy += host.running
            pending += host.pending
            local += host.local_running
            slots += host.offered
    return Sample(time, slots, busy, pending, local, activity.totals)
