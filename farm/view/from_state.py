"""The status made from the state: of a farm, and of any scheduler that is watched without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from farm.image.kinds import KINDS
from farm.instance import Instance
from farm.node.contract import ROLES
from farm.printable import printable
from farm.view.desks import desk_totals
from farm.view.problems import bare_problems, problems
from farm.view.roles import load
from farm.view.status import (
    IPV4,
    CompileStatus,
    HostStatus,
    NodeStatus,
    Overview,
    SchedulerStatus,
    ServiceStatus,
    Status,
    StrangerStatus,
)
from farm.view.unverified import unverified_images
from farm.watch.activity import Host, Scheduler, Totals
from farm.watch.events import Stage, WatchedService
from farm.watch.state import NO_JOBS, Farm, Node, own_keys


def build(farm: Farm, instance: Instance, farmd_why: str = "") -> Status:
    """The status of a farm. ``farmd_why``: why farmd could not be asked; only the services are known then."""
    nodes = (node_status(farm, node, instance.images) for node in farm.nodes.values())
    ours = {key for node in farm.nodes.values() for key in own_keys(node)}
    scheduler = farm.activity.scheduler
    others = [host for key, host in sorted(farm.activity.hosts.items()) if key not in ours]
    refused = (other_status(host, scheduler) for host in others if _is_kept_out(host, scheduler))
    return _status(
        overview(farm, instance, farmd_why),
        [*sorted(nodes, key=lambda node: node.name), *refused, *unseen_status(farm)],
        [host_status(host, scheduler) for host in others if host.online],
        farm.activity.totals,
    )


def build_bare(farm: Farm, netname: str) -> Status:
    """The status of a scheduler that was reached just now: every daemon with slots counts as a node.

    Since when those are logged in, it does not tell.
    """
    hosts = [host for _, host in sorted(farm.activity.hosts.items())]
    scheduler = farm.activity.scheduler
    return _status(
        bare_overview(farm, netname),
        [
            *(_found(other_status(host, scheduler)) for host in hosts if host.offered or _is_kept_out(host, scheduler)),
            *unseen_status(farm),
        ],
        [host_status(host, scheduler) for host in hosts if host.online and not host.offered],
        farm.activity.totals,
    )


def _found(node: NodeStatus) -> NodeStatus:
    return replace(node, since=0.0) if node.host and node.host.online else node


def _status(of: Overview, nodes: list[NodeStatus], hosts: list[HostStatus], totals: Totals) -> Status:
    fields = {name: getattr(of, name) for name in of.__struct_fields__}
    return Status(**fields, nodes=nodes, hosts=hosts, totals=totals, desks=desk_totals(nodes))


def overview(farm: Farm, instance: Instance, farmd_why: str = "") -> Overview:
    """A farm of ours, without nodes and jobs."""
    machines = {machine.name for machine in instance.machines}
    services = [_service(service, machines, farm.silent(service.name)) for service in farm.services]
    config = instance.config
    scheduler = _scheduler(farm, f"{config.scheduler_host}:{config.scheduler.port}", config.netname)
    found = problems(farm, instance, farmd_why)
    return Overview(
        farm=config.name,
        farmd=not farmd_why,
        started=instance.started,
        interface=instance.interface,
        namespace=instance.namespace,
        server=config.server,
        image=instance.images.get(config.image_of(None), ""),
        images=instance.images,
        unverified=[*unverified_images(farm, instance)],
        services=services,
        scheduler=scheduler,
        strangers=[
            StrangerStatus(
                printable(beacon.instance), printable(beacon.farm), printable(beacon.mac), printable(beacon.address)
            )
            for beacon in farm.strangers.values()
        ],
        problems=[each.sentence for each in found],
        findings=found,
    )


def bare_overview(farm: Farm, netname: str) -> Overview:
    """Any scheduler, without a farm."""
    scheduler = _scheduler(farm, farm.activity.scheduler.address, netname)
    found = bare_problems(farm, netname)
    return Overview(
        farm="", farmd=False, scheduler=scheduler, problems=[each.sentence for each in found], findings=found
    )


def _scheduler(farm: Farm, address: str, netname: str) -> SchedulerStatus:
    scheduler, silent = farm.activity.scheduler, farm.silent("scheduler")
    return SchedulerStatus(
        up=scheduler.up and not silent,
        address=address,
        netname=netname,
        since=scheduler.since,
        why=scheduler.why or silent,
        protocol=scheduler.protocol,
        rivals=scheduler.rivals,
        blocked=scheduler.blocked,
    )


def _service(service: WatchedService, machines: set[str], silent: str) -> ServiceStatus:
    up = service.state == "RUNNING"
    machine = service.name in machines
    return ServiceStatus(
        service.name, service.state, up, machine, service.pid, service.since, printable(service.detail), silent
    )


def host_status(host: Host, scheduler: Scheduler) -> HostStatus:
    """A daemon as the scheduler knows it."""
    return HostStatus(
        name=host.name,
        address=host.address,
        online=host.online,
        since=host.since,
        logins=host.logins,
        logins_missed=host.logins_missed,
        found=host.found,
        slots=host.offered,
        canary=host.canary,
        no_remote=host.no_remote,
        load=host.load,
        speed=host.speed,
        platform=host.platform,
        protocol=host.protocol,
        features=host.features,
        load_averages=host.load_averages,
        free_memory=host.free_memory,
        installing=host.installing,
        blocked=_blocked(scheduler, *host.key),
        jobs_running=host.running,
        jobs_done=host.done,
        jobs_failed=host.failed,
        jobs_local=host.local,
        jobs_pending=host.pending,
        jobs_submitted=host.submitted,
        jobs_fallback=host.fallback,
        local_running=host.local_running,
        busy_ms=host.busy_ms,
        last=host.last,
    )


def node_status(farm: Farm, node: Node, images: Mapping[str, str]) -> NodeStatus:
    """A machine of ours; ``images``: what next boots get, by the name of the image."""
    kind = farm.kind_of(node)
    host = farm.last_host(node)
    roles = _roles(node, kind)
    sections: dict[str, Any] = {role: load(role).section(farm, node, has=role in roles) for role in ROLES}
    return NodeStatus(
        key=node.mac,
        name=node.name,
        mac=node.mac,
        address=node.address,
        stage=node.stage,
        since=node.since,
        stages={stage: node.stages[stage] for stage in Stage if stage in node.stages},
        uptime=node.uptime,
        fetched=node.fetched,
        verified=node.verified,
        known=node.known,
        blocked=_blocked(farm.activity.scheduler, node.name, node.address, host.name if host else ""),
        image=printable(node.image),
        kind=kind,
        root=farm.root_of(node),
        outdated=bool(node.image) and node.image != images.get(kind),
        order=node.order.order if node.order else "",
        ordered=node.order.time if node.order else 0.0,
        telemetry=node.telemetry if node.verified else None,
        **sections,
    )


def _roles(node: Node, kind: str) -> tuple[str, ...]:
    """What a machine is for, as its agent told; before it tells, what the image that it boots is for."""
    return KINDS[kind].roles if node.told is None and kind in KINDS else node.roles


def other_status(host: Host, scheduler: Scheduler) -> NodeStatus:
    """A daemon that is no machine of ours."""
    stage = Stage.LOST if not host.online else Stage.READY if host.load < NO_JOBS else Stage.REGISTERED
    return NodeStatus(
        key=f"{host.name}@{host.address}",
        name=host.name,
        address=host.address,
        stage=stage,
        since=0.0 if host.online and host.found else host.since,
        blocked=_blocked(scheduler, *host.key),
        compile=CompileStatus(host_status(host, scheduler)),
    )


def _blocked(scheduler: Scheduler, *words: str) -> bool:
    return any(word in scheduler.blocked for word in words if word)


def _is_kept_out(host: Host, scheduler: Scheduler) -> bool:
    """A daemon that was sent away, whatever it was: only what is named can be let in again."""
    return not host.online and _blocked(scheduler, *host.key)


def unseen_status(farm: Farm) -> list[NodeStatus]:
    """What the scheduler refuses without telling of it: daemons that were sent away before the watching began."""
    blocked = farm.activity.scheduler.blocked
    if not blocked:
        return []
    known = {word for key in farm.activity.hosts for word in key}
    known |= {word for node in farm.nodes.values() for word in (node.name, node.address)}
    return [
        NodeStatus(
            key=word,
            name=word,
            address=word if IPV4.fullmatch(word) else "",
            stage=Stage.LOST,
            since=0.0,
            blocked=True,
            compile=CompileStatus(),
        )
        for word in blocked
        if word not in known
    ]
