"""Daemons: their logins, and the connection that tells of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from immutables import Map
from msgspec.structs import replace

from farm.activity.jobs import MAX_ENDED, lose, lowest_free, with_room
from farm.activity.records import NOBODY, Activity, Host, HostKey, Job, JobState, Listed, Place
from farm.printable import printable
from farm.scheduler.control import ListedJob, ListedNode
from farm.scheduler.monitor import Connected, Seeded
from farm.scheduler.protocol import NodeForged, NodeOffline, NodeStats

MAX_HOSTS = 4096
MAX_FORGED = 256


def stats(activity: Activity, event: NodeStats, time: float) -> Activity:
    """A daemon logs in, or tells how it does.

    Of a login that nobody saw end (the machine was switched off, say) the scheduler tells the end after the new one.
    A login that speaks after the next of its name and address is that of a twin.
    """
    key = (printable(event.name), printable(event.address))
    known = activity.hosts.get(key)
    ids = activity.ids
    if known is None:
        activity = _room_for_host(activity)
        if len(activity.hosts) >= MAX_HOSTS:
            return activity
        host = Host(name=key[0], address=key[1], id=event.host, since=time, found=not activity.scheduler.settled)
    elif known.online and (known.id == event.host or ids.get(event.host) == key):
        twin_slots = max(0, known.slots + known.twin_slots - event.max_jobs) if known.twins else 0
        host = replace(known, id=event.host, twin_slots=twin_slots)
    else:
        activity = _lose_self_made(activity, key)
        known = activity.hosts[key]
        # Offline since our connection began: that it was there before is no news of a login.
        found = not (activity.scheduler.settled or known.online) and known.since <= activity.scheduler.since
        logins = known.logins + (not found)
        host = replace(known, id=event.host, online=True, since=time, logins=logins, found=found, installing=0.0)
    host = replace(
        host,
        slots=event.max_jobs,
        no_remote=event.no_remote,
        platform=printable(event.platform),
        protocol=event.protocol,
        features=event.features,
        speed=event.speed,
        load=event.load,
        load_averages=event.load_averages or host.load_averages,
        free_memory=host.free_memory if event.free_memory is None else event.free_memory,
    )
    if ids.get(event.host) != key:
        ids = ids.set(event.host, key)
    return replace(activity, hosts=activity.hosts.set(key, host), ids=ids)


def _room_for_host(activity: Activity) -> Activity:
    if len(activity.hosts) < MAX_HOSTS:
        return activity
    gone = [host for host in activity.hosts.values() if not host.online]
    if not gone:
        return activity
    return replace(activity, hosts=activity.hosts.delete(min(gone, key=lambda host: host.since).key))


def offline(activity: Activity, event: NodeOffline, time: float) -> Activity:
    """A login has ended. One that is not known is that of a blocked daemon."""
    if event.host in activity.forged:
        return replace(activity, forged=activity.forged.delete(event.host))
    key = activity.ids.get(event.host)
    if key is None:
        return activity
    activity = replace(activity, ids=activity.ids.delete(event.host))
    host = activity.hosts.get(key)
    if host is None or host.id != event.host:
        return activity  # another login of its name and address has followed
    activity = _lose_self_made(activity, key)
    twin = next((id for id, other in activity.ids.items() if other == key), None) if host.twins else None
    host = activity.hosts[key]
    if twin is not None:
        left = replace(host, id=twin, slots=host.twin_slots // host.twins)
        left = replace(left, twins=host.twins - 1, twin_slots=host.twin_slots - left.slots)
    else:
        left = replace(host, online=False, since=time, installing=0.0, twins=0, twin_slots=0)
    return replace(activity, hosts=activity.hosts.set(key, left))


def forged(activity: Activity, event: NodeForged, time: float) -> Activity:
    """A daemon of which nothing is believed but that it is there."""
    if event.host in activity.forged or len(activity.forged) >= MAX_FORGED:
        return activity
    return replace(activity, forged=activity.forged.set(event.host, time))


def _lose_self_made(activity: Activity, key: HostKey) -> Activity:
    """What a daemon compiled by itself is gone with its login; of its other jobs the scheduler reports the ends."""
    for id in activity.made.get(key, ()):
        activity = lose(activity, activity.jobs[id])
    return activity


def connected(activity: Activity, event: Connected, time: float) -> Activity:
    """Nothing that was known of logins and jobs in flight holds any more."""
    activity = disconnected(activity, "", time)
    address = f"{event.host}:{event.port}"
    scheduler = replace(
        activity.scheduler, up=True, address=address, since=time, protocol=event.protocol, why="", settled=False
    )
    return replace(activity, scheduler=scheduler)


def disconnected(activity: Activity, why: str, time: float) -> Activity:
    """Whoever was logged in is not known any more, nor how the jobs in flight end."""
    old = activity.scheduler
    since = old.since if not old.up and old.since else time
    scheduler = replace(old, up=False, since=since, why=printable(why), blocked=())
    hosts = activity.hosts.mutate()
    for key, host in activity.hosts.items():
        idle = replace(host, running=0, taken=0, pending=0, local_running=0, installing=0.0, twins=0, twin_slots=0)
        hosts[key] = replace(idle, online=False, since=time) if host.online else idle
    totals = replace(activity.totals, lost=activity.totals.lost + len(activity.jobs))
    return replace(
        activity,
        scheduler=scheduler,
        hosts=hosts.finish(),
        ids=Map(),
        forged=Map(),
        jobs=Map(),
        made=Map(),
        local=Map(),
        failures=Map(),
        totals=totals,
    )


def seeded(activity: Activity, event: Seeded, time: float) -> Activity:
    """Take over jobs that were in flight before the connection; those that have ended meanwhile are left out."""
    up_since = activity.scheduler.since
    over = set()
    for number in range(activity.count, max(0, activity.count - MAX_ENDED), -1):
        ended = activity.ended.get(number)
        if ended is None or ended.ended < up_since:
            break
        over.add(ended.id)
    activity = replace(activity, scheduler=replace(activity.scheduler, settled=True))
    names = _Names.of(activity)
    for job in event.jobs:
        if job.id not in activity.jobs and job.id not in over:
            activity = _seed(activity, job, names, time)
    return listed(activity, Listed(event.nodes, event.blocked), time)


class _Names(NamedTuple):
    """Whom the control port means by a name: nobody in particular when several daemons have it."""

    keys: dict[str, HostKey]

    @classmethod
    def of(cls, activity: Activity) -> _Names:
        keys: dict[str, HostKey] = {}
        for host in activity.hosts.values():
            if host.online:
                keys[host.name] = NOBODY if host.name in keys else host.key
        return cls(keys)

    def key(self, name: str | None) -> HostKey:
        return self.keys.get(printable(name or ""), NOBODY)


def _seed(activity: Activity, listed: ListedJob, names: _Names, time: float) -> Activity:
    submitter, node = names.key(listed.submitter), names.key(listed.node)
    runs = listed.state == "COMP"
    state = JobState.RUNNING if runs else JobState.PENDING
    place = Place.OWN if runs and node == submitter != NOBODY else Place.REMOTE
    job = Job(listed.id, state, place, printable(listed.file), submitter, node if runs else NOBODY)
    activity = with_room(activity, listed.id)
    hosts = activity.hosts
    if runs and (host := hosts.get(node)):
        slot = lowest_free(host.taken)
        job = replace(job, slot=slot)
        hosts = hosts.set(node, replace(host, running=host.running + 1, taken=host.taken | 1 << slot, last=time))
    if host := hosts.get(submitter):
        hosts = hosts.set(submitter, replace(host, submitted=host.submitted + 1, pending=host.pending + (not runs)))
    # It was asked for, and begun, before we could see that.
    totals = activity.totals
    totals = replace(totals, requested=totals.requested + 1, begun=totals.begun + runs)
    return replace(activity, jobs=activity.jobs.set(job.id, job), hosts=hosts, totals=totals)


def listed(activity: Activity, event: Listed, time: float) -> Activity:
    """What the control port says of environments, of daemons that share name and address, and of blocks."""
    hosts, logins = activity.hosts, Counter(activity.ids.values())
    for key, daemons in _by_key(event.nodes).items():
        host = hosts.get(key)
        if host is None:
            continue
        since = [listed.installing for listed in daemons.values() if listed.installing is not None]
        installing = host.installing or time - max(since) if since else 0.0
        twins = max(0, min(len(daemons), logins[key]) - 1)  # what a name makes of the list is no login
        slots = max(0, sum(listed.max_jobs for listed in daemons.values()) - host.slots) if twins else 0
        if (installing, twins, slots) != (host.installing, host.twins, host.twin_slots):
            hosts = hosts.set(key, replace(host, installing=installing, twins=twins, twin_slots=slots))
    blocked = tuple(sorted(map(printable, event.blocked)))
    scheduler = (
        activity.scheduler if blocked == activity.scheduler.blocked else replace(activity.scheduler, blocked=blocked)
    )
    return replace(activity, hosts=hosts, scheduler=scheduler)


def _by_key(nodes: Iterable[ListedNode]) -> dict[HostKey, dict[int, ListedNode]]:
    """Daemons by what they call themselves, and then by port: a login that has ended unseen has the same one."""
    found: dict[HostKey, dict[int, ListedNode]] = {}
    for listed in nodes:
        found.setdefault((printable(listed.name), printable(listed.address)), {})[listed.port] = listed
    return found
