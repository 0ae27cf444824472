"""Daemons: their logins, and the connection that tells of them."""

from __future__ import annotations

from typing import NamedTuple

from immutables import Map
from msgspec.structs import replace

from farm.printable import printable
from farm.scheduler.control import ListedJob, ListedNode
from farm.scheduler.monitor import Connected, Seeded
from farm.scheduler.protocol import NodeForged, NodeOffline, NodeStats
from farm.watch.activity.jobs import MAX_ENDED, lose, lowest_free, shown_path, with_room
from farm.watch.activity.scheduler_records import NOBODY, Activity, Host, HostKey, Job, JobPlace, JobState, Listed

MAX_HOSTS = 4096
MAX_FORGED = 256
AT_ONCE_SECONDS = 1.0
FIGHT_SECONDS = 180.0
"""A daemon that was sent away comes back within a minute."""


def stats(activity: Activity, event: NodeStats, time: float) -> Activity:
    """A daemon logs in, or tells how it does.

    Of a login that nobody saw end (the machine was switched off, say) the scheduler tells the end after the new one.
    """
    key = (printable(event.name), printable(event.address))
    known = activity.hosts.get(key)
    ids = activity.ids
    if known is None:
        activity = _room_for_host(activity)
        if len(activity.hosts) >= MAX_HOSTS:
            return activity
        found = not activity.scheduler.settled
        host = Host(name=key[0], address=key[1], id=event.host, since=time, logins_missed=found, found=found)
    elif known.id == event.host and known.online:
        host = known
    else:
        evictions, evicted = _evictions(activity, known, time)
        activity = _lose_self_made(activity, key)
        known = activity.hosts[key]
        ids = ids.delete(known.id) if ids.get(known.id) == key else ids
        # Offline since our connection began: that it was there before is no news of a login. But the scheduler gives
        # each login an id of its own (pick_new_id in scheduler.cpp), and begins again at 1 when it is started again.
        found = not (activity.scheduler.settled or known.online) and known.since <= activity.scheduler.since
        host = replace(
            known,
            id=event.host,
            online=True,
            since=time,
            logins=known.logins + (not found or known.id != event.host),
            found=found,
            installing=0.0,
            evictions=evictions,
            evicted=evicted,
        )
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


def _evictions(activity: Activity, host: Host, time: float) -> tuple[int, float]:
    """How often in a row its name and address were taken over at once, now that they have logged in again.

    Once is a machine that came back before its last login was missed.
    """
    # When the connection begins, all daemons are told of.
    if not activity.scheduler.settled or not (host.online or time - host.since < AT_ONCE_SECONDS):
        return host.evictions, host.evicted
    return (host.evictions + 1 if time - host.evicted < FIGHT_SECONDS else 1), time


def _room_for_host(activity: Activity) -> Activity:
    if len(activity.hosts) < MAX_HOSTS:
        return activity
    gone = [host for host in activity.hosts.values() if not host.online]
    if not gone:
        return activity
    return replace(activity, hosts=activity.hosts.delete(min(gone, key=lambda host: host.since).key))


def offline(activity: Activity, event: NodeOffline, time: float) -> Activity:
    """A login has ended. One that is not known is that of a blocked daemon, or was followed by another already."""
    if event.host in activity.forged:
        return replace(activity, forged=activity.forged.delete(event.host))
    key = activity.ids.get(event.host)
    if key is None:
        return activity
    activity = _lose_self_made(replace(activity, ids=activity.ids.delete(event.host)), key)
    host = activity.hosts.get(key)
    if host is None:
        return activity
    gone = replace(host, online=False, since=time, installing=0.0)
    return replace(activity, hosts=activity.hosts.set(key, gone))


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
        idle = replace(host, running=0, taken=0, pending=0, local_running=0, installing=0.0, logins_missed=True)
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
    place = JobPlace.OWN if runs and node == submitter != NOBODY else JobPlace.REMOTE
    job = Job(listed.id, state, place, shown_path(listed.file), submitter, node if runs else NOBODY)
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


def from_list(listed: ListedNode) -> Host:
    """A daemon as the control port alone describes it."""
    return Host(
        name=printable(listed.name),
        address=printable(listed.address),
        slots=listed.max_jobs,
        platform=printable(listed.platform),
        port=listed.port,
        speed=listed.speed,
        load=listed.load,
        running=listed.jobs,
    )


def listed(activity: Activity, event: Listed, time: float) -> Activity:
    """What the control port says of environments and blocks."""
    hosts = activity.hosts
    for listed in event.nodes:
        host = hosts.get((printable(listed.name), printable(listed.address)))
        if host is None:
            continue
        installing = 0.0 if listed.installing is None else host.installing or time - listed.installing
        if (installing, listed.port) != (host.installing, host.port):
            hosts = hosts.set(host.key, replace(host, installing=installing, port=listed.port))
    blocked = tuple(sorted(map(printable, event.blocked)))
    scheduler = (
        activity.scheduler if blocked == activity.scheduler.blocked else replace(activity.scheduler, blocked=blocked)
    )
    return replace(activity, hosts=hosts, scheduler=scheduler)
