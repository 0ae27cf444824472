"""A farm as it changes: a snapshot, then deltas, folded into a `Live` view by whoever watches.

The same messages go over farmd's WebSocket (as JSON) and from hand to hand when a scheduler is watched in-process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from farm.view.from_state import node_status, other_status, unseen_status
from farm.view.status import NodeStatus, Overview
from farm.watch.activity import MAX_SAMPLES, Activity, Host, HostKey, Job, Sample
from farm.watch.state import Farm, Node, own_keys

SNAPSHOT_ENDED = 2000
"""Ended jobs that a snapshot brings."""
MAX_ENDED_SHOWN = 20_000
"""Ended jobs that a `Live` keeps."""


class Snapshot(Struct, frozen=True, kw_only=True, tag="snapshot"):
    """All that is known at ``time`` (Unix); it replaces whatever was known before."""

    time: float
    overview: Overview
    nodes: list[NodeStatus]
    """Machines and every other daemon, submitters included."""
    jobs: list[Job]
    """Jobs that wait for a node or run on one."""
    ended: list[Job]
    """The last ones, oldest first."""
    samples: list[Sample]
    """One a second, oldest first."""


class Delta(Struct, frozen=True, kw_only=True, tag="delta", omit_defaults=True):
    """What has changed since the message before."""

    time: float
    overview: Overview | None = None
    nodes: list[NodeStatus] = []
    """Nodes that are new or have changed."""
    gone: list[str] = []
    """Keys of nodes that are forgotten."""
    jobs: list[Job] = []
    """In flight, new or changed."""
    ended: list[Job] = []
    lost: list[int] = []
    """Ids of jobs in flight that ended without news."""
    samples: list[Sample] = []


Update = Snapshot | Delta

_decoder = msgspec.json.Decoder(Update)
_encoder = msgspec.json.Encoder()


def encode(update: Update) -> bytes:
    """An update as JSON."""
    return _encoder.encode(update)


def decode(data: bytes | str) -> Update:
    """The update in a message; raises msgspec.DecodeError (or its child ValidationError)."""
    update: Update = _decoder.decode(data)
    return update


def snapshot(farm: Farm, overview: Overview, time: float) -> Snapshot:
    """All of a farm."""
    activity = farm.activity
    first = max(1, activity.count - SNAPSHOT_ENDED + 1)
    return Snapshot(
        time=time,
        overview=overview,
        nodes=[*_all_nodes(farm, overview)],
        jobs=list(activity.jobs.values()),
        ended=list(_ended(activity, first)),
        samples=list(activity.samples),
    )


def delta(old: Farm, new: Farm, old_overview: Overview, overview: Overview, time: float) -> Delta:
    """What leads from one state to a later one: whatever is not the very same record has changed."""
    before, after = old.activity, new.activity
    if old.activity.scheduler is after.scheduler and old_overview.images == overview.images:
        nodes = [*_changed_nodes(old, new, overview)]
    else:
        nodes = [*_all_nodes(new, overview)]
    ended = list(_ended(after, before.count + 1))
    over = {job.id for job in ended}
    last = before.samples[-1].time if before.samples else 0.0
    return Delta(
        time=time,
        overview=None if overview == old_overview else overview,
        nodes=nodes,
        gone=_gone(old, new),
        jobs=[job for id, job in after.jobs.items() if before.jobs.get(id) is not job],
        ended=ended,
        lost=[id for id in before.jobs if id not in over and id not in after.jobs],
        samples=[sample for sample in after.samples[-5:] if sample.time > last],
    )


def _ended(activity: Activity, first: int) -> Iterator[Job]:
    for number in range(first, activity.count + 1):
        job = activity.ended.get(number)
        if job is not None:
            yield job


def _all_nodes(farm: Farm, overview: Overview) -> Iterator[NodeStatus]:
    ours = _ours(farm)
    for node in farm.nodes.values():
        yield node_status(farm, node, overview.images)
    for key, host in farm.activity.hosts.items():
        if key not in ours:
            yield other_status(host, farm.activity.scheduler)
    yield from unseen_status(farm)


def _ours(farm: Farm) -> dict[HostKey, Node]:
    """The machines by what they log in as, whether they are logged in or not."""
    return {key: node for node in farm.nodes.values() for key in own_keys(node)}


def _changed_nodes(old: Farm, new: Farm, overview: Overview) -> Iterator[NodeStatus]:
    ours = _ours(new)
    changed = {mac: node for mac, node in new.nodes.items() if old.nodes.get(mac) is not node}
    others: list[Host] = []
    for key, host in new.activity.hosts.items():
        if old.activity.hosts.get(key) is host:
            continue
        if key in ours:
            changed[ours[key].mac] = ours[key]
        else:
            others.append(host)
    for node in changed.values():
        yield node_status(new, node, overview.images)
    for host in others:
        yield other_status(host, new.activity.scheduler)


def _keys(farm: Farm) -> set[str]:
    ours = _ours(farm)
    others = (key for key in farm.activity.hosts if key not in ours)
    unseen = (node.key for node in unseen_status(farm))
    return {*farm.nodes, *(f"{name}@{address}" for name, address in others), *unseen}


def _gone(old: Farm, new: Farm) -> list[str]:
    same = old.nodes is new.nodes and old.activity.scheduler.blocked == new.activity.scheduler.blocked
    if same and all(key in new.activity.hosts for key in old.activity.hosts):
        return []
    return sorted(_keys(old) - _keys(new))


class Live:
    """What a watcher knows: updates folded in place, since nobody else holds it. Empty until the first snapshot."""

    def __init__(self) -> None:
        self.time = 0.0
        """Unix time of the last update, by the clock of whoever sent it."""
        self.overview: Overview | None = None
        self.nodes: dict[str, NodeStatus] = {}
        self.by_host: dict[HostKey, str] = {}
        """Name and address of a login → key in ``nodes``."""
        self.jobs: dict[int, Job] = {}
        """Jobs that wait for a node or run on one, by id."""
        self.ended: deque[Job] = deque(maxlen=MAX_ENDED_SHOWN)
        """The last jobs that have ended, oldest first."""
        self.samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)

    def apply(self, update: Update) -> None:
        """Take an update in."""
        self.time = update.time
        if isinstance(update, Snapshot):
            self.nodes.clear()
            self.by_host.clear()
            self.jobs.clear()
            self.ended.clear()
            self.samples.clear()
        else:
            for key in update.gone:
                node = self.nodes.pop(key, None)
                for login in node.logins if node is not None else ():
                    if self.by_host.get(login.key) == key:
                        del self.by_host[login.key]
            for id in update.lost:
                self.jobs.pop(id, None)
        self.overview = update.overview or self.overview
        for node in update.nodes:
            self.nodes[node.key] = node
            for login in node.logins:
                self.by_host[login.key] = node.key
        for job in update.ended:
            self.jobs.pop(job.id, None)
            self.ended.append(job)
        for job in update.jobs:
            self.jobs[job.id] = job
        self.samples.extend(update.samples)
