"""What nodes do for one build, or for all in one hour: sums by pure functions, within bounds."""

from __future__ import annotations

from immutables import Map

from farm.history.build_records import NodeShare
from farm.watch.activity import Job, JobState

HOUR = 3600
MAX_NODE_HOURS = 16_384
"""Hours of nodes that wait to be written."""
OTHERS = "(others)"

Hours = Map[tuple[int, str], NodeShare]
"""What each node did in each hour, which begins at that Unix time."""


def share_with(share: NodeShare, job: Job) -> NodeShare:
    """What the job's node did, that job included."""
    return NodeShare(
        share.node,
        share.jobs + 1,
        share.failed + (job.state is JobState.FAILED),
        share.real_ms + job.real,
        share.out_bytes + job.out_bytes,
    )


def with_hour(hours: Hours, job: Job) -> Hours:
    """The hours of nodes after a job's end."""
    key = int(job.ended // HOUR) * HOUR, job.node[0]
    share = hours.get(key)
    if share is None:
        hours, key = _room_for_hour(hours, key)
        share = hours.get(key) or NodeShare(key[1], 0, 0, 0, 0)
    return hours.set(key, share_with(share, job))


def _room_for_hour(hours: Hours, key: tuple[int, str]) -> tuple[Hours, tuple[int, str]]:
    """Forget the oldest hour when there are too many; within one hour, names beyond the limit are OTHERS."""
    if len(hours) < MAX_NODE_HOURS:
        return hours, key
    oldest = min(hour for hour, _ in hours)
    if oldest >= key[0]:
        return hours, (key[0], OTHERS)
    return Map((each, share) for each, share in hours.items() if each[0] != oldest), key


def add_hours(hours: Hours, more: Hours) -> Hours:
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
