"""What `farm status --json` says (schema 1, docs/status-json.md): built from the state, read by every view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from farm.activity import Host, HostKey, Scheduler, Totals
from farm.events import Service, Stage, Telemetry
from farm.printable import printable
from farm.running import Running
from farm.scheduler.discovery import FoundScheduler
from farm.state import NO_JOBS, Farm, Node, login_keys

ENDED = ("STOPPED", "EXITED")
COMING = ("RUNNING", "STARTING")


class ServiceStatus(Struct, frozen=True):
    """A process that supervisord keeps; ``up``: it runs. A virtual machine may be off (``machine``)."""

    name: str
    state: str
    up: bool
    machine: bool
    pid: int
    since: float
    detail: str


class SchedulerStatus(Struct, frozen=True):
    """The scheduler as the monitor connection sees it."""

    up: bool
    address: str
    netname: str
    since: float
    why: str
    protocol: int = 0
    """What it and we speak."""
    rivals: tuple[FoundScheduler, ...] = ()
    """Others that answer for the same netname."""
    blocked: tuple[str, ...] = ()
    """Names and addresses it lets log in no more."""


class HostStatus(Struct, frozen=True, kw_only=True):
    """A daemon's login at the scheduler; ``load``: 0–1000, ``speed``: as the scheduler measures it."""

    name: str
    address: str
    online: bool
    since: float
    """Of this login, or of its end."""
    logins: int
    slots: int
    no_remote: bool
    load: int
    speed: float
    platform: str
    protocol: int
    features: tuple[str, ...]
    load_averages: tuple[float, float, float] | None
    free_memory: int | None
    """MiB."""
    installing: float
    """Unix time since which it receives an environment; 0: it does not."""
    blocked: bool
    jobs_running: int
    jobs_done: int
    jobs_failed: int
    jobs_local: int
    jobs_pending: int
    """Asked for by it, begun by nobody."""
    jobs_submitted: int
    jobs_fallback: int
    local_running: int
    busy_ms: int
    last: float
    """When a job last began or ended there."""

    @property
    def key(self) -> HostKey:
        """Name and address."""
        return self.name, self.address


class NodeStatus(Struct, frozen=True, kw_only=True):
    """A machine that boots, or has booted, from this farm; or, with an empty ``mac``, any other daemon."""

    key: str
    """The MAC, or ``name@address`` without one."""
    name: str
    mac: str = ""
    address: str
    stage: Stage
    since: float
    stages: dict[Stage, float] = {}
    uptime: dict[str, float] = {}
    fetched: int = 0
    verified: bool = False
    known: bool = False
    image: str = ""
    outdated: bool = False
    """It runs another image than its next boot would get."""
    order: Literal["", "drain", "reboot", "off"] = ""
    """What it was told and has not done yet: end its jobs, boot anew, switch off (which lasts until it boots)."""
    host: HostStatus | None
    telemetry: Telemetry | None = None


class StrangerStatus(Struct, frozen=True):
    """An advertisement that nothing bears out."""

    instance: str
    farm: str
    mac: str
    address: str


class Overview(Struct, frozen=True, kw_only=True):
    """The farm but for its nodes and jobs; times are Unix times in seconds."""

    schema: int = 1
    farm: str
    """Empty for a scheduler that is watched without a farm of ours."""
    farmd: bool
    """farmd answered; without it nothing is known of nodes and scheduler."""
    started: float = 0.0
    interface: str = ""
    namespace: str | None = None
    server: str = ""
    image: str = ""
    services: list[ServiceStatus] = []
    scheduler: SchedulerStatus
    strangers: list[StrangerStatus] = []
    problems: list[str] = []
    """One sentence each; empty when all is well."""


class Status(Overview, frozen=True, kw_only=True):
    """All of it."""

    nodes: list[NodeStatus]
    hosts: list[HostStatus]
    """Daemons that are no nodes of this farm: submitters, for the most part."""
    totals: Totals


def build(farm: Farm, running: Running, farmd_why: str = "") -> Status:
    """The status of a farm. ``farmd_why``: why farmd could not be asked; only the services are known then."""
    nodes = (node_status(farm, node, running.image) for node in farm.nodes.values())
    ours = {key for node in farm.nodes.values() for key in login_keys(node)}
    others = (host for key, host in sorted(farm.activity.hosts.items()) if key not in ours and host.online)
    return _status(
        overview(farm, running, farmd_why),
        sorted(nodes, key=lambda node: node.name),
        [host_status(host, farm.activity.scheduler) for host in others],
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
        [_found(other_status(host, scheduler)) for host in hosts if host.slots and not host.no_remote],
        [host_status(host, scheduler) for host in hosts if host.online and (not host.slots or host.no_remote)],
        farm.activity.totals,
    )


def _found(node: NodeStatus) -> NodeStatus:
    return replace(node, since=0.0) if node.host and node.host.online else node


def _status(of: Overview, nodes: list[NodeStatus], hosts: list[HostStatus], totals: Totals) -> Status:
    fields = {name: getattr(of, name) for name in of.__struct_fields__}
    return Status(**fields, nodes=nodes, hosts=hosts, totals=totals)


def overview(farm: Farm, running: Running, farmd_why: str = "") -> Overview:
    """A farm of ours, without nodes and jobs."""
    machines = {machine.name for machine in running.machines}
    services = [_service(service, machines) for service in farm.services]
    config = running.config
    scheduler = _scheduler(farm.activity.scheduler, f"{config.server}:{config.scheduler.port}", config.netname)
    return Overview(
        farm=config.name,
        farmd=not farmd_why,
        started=running.started,
        interface=running.interface,
        namespace=running.namespace,
        server=config.server,
        image=running.image,
        services=services,
        scheduler=scheduler,
        strangers=[
            StrangerStatus(
                printable(beacon.instance), printable(beacon.farm), printable(beacon.mac), printable(beacon.address)
            )
            for beacon in farm.strangers.values()
        ],
        problems=list(_problems(services, farm.services_why, scheduler, farmd_why)),
    )


def bare_overview(farm: Farm, netname: str) -> Overview:
    """Any scheduler, without a farm."""
    scheduler = _scheduler(farm.activity.scheduler, farm.activity.scheduler.address, netname)
    return Overview(farm="", farmd=False, scheduler=scheduler, problems=list(_scheduler_problems(scheduler)))


def _problems(
    services: list[ServiceStatus], services_why: str, scheduler: SchedulerStatus, farmd_why: str
) -> Iterable[str]:
    if services_why:
        yield f"The services are not running: {printable(services_why)}"
    for service in services:
        if service.state not in COMING and not (service.machine and service.state in ENDED):
            yield f"The service {service.name} is down ({service.state.lower()}). Its log: farm logs {service.name}"
    if farmd_why:
        yield f"Nothing is known of the nodes: {printable(farmd_why)} Its log: farm logs farmd"
    elif not scheduler.up:
        yield f"The scheduler does not answer. {scheduler.why} Its log: farm logs scheduler"
    yield from _rivals(scheduler)


def _scheduler_problems(scheduler: SchedulerStatus) -> Iterable[str]:
    if not scheduler.up:
        yield f"The scheduler does not answer. {scheduler.why}"
    yield from _rivals(scheduler)


def _rivals(scheduler: SchedulerStatus) -> Iterable[str]:
    for rival in scheduler.rivals:
        yield (
            f"Another scheduler, at {printable(rival.address)}:{rival.port}, answers for the same network "
            f"{scheduler.netname}: daemons without a fixed scheduler may join it."
        )


def _scheduler(scheduler: Scheduler, address: str, netname: str) -> SchedulerStatus:
    return SchedulerStatus(
        up=scheduler.up,
        address=address,
        netname=netname,
        since=scheduler.since,
        why=scheduler.why,
        protocol=scheduler.protocol,
        rivals=scheduler.rivals,
        blocked=scheduler.blocked,
    )


def _service(service: Service, machines: set[str]) -> ServiceStatus:
    up = service.state == "RUNNING"
    machine = service.name in machines
    return ServiceStatus(
        service.name, service.state, up, machine, service.pid, service.since, printable(service.detail)
    )


def host_status(host: Host, scheduler: Scheduler) -> HostStatus:
    """A daemon as the scheduler knows it."""
    return HostStatus(
        name=host.name,
        address=host.address,
        online=host.online,
        since=host.since,
        logins=host.logins,
        slots=0 if host.no_remote else host.slots,
        no_remote=host.no_remote,
        load=host.load,
        speed=host.speed,
        platform=host.platform,
        protocol=host.protocol,
        features=host.features,
        load_averages=host.load_averages,
        free_memory=host.free_memory,
        installing=host.installing,
        blocked=host.name in scheduler.blocked or host.address in scheduler.blocked,
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


def node_status(farm: Farm, node: Node, image: str) -> NodeStatus:
    """A machine of ours; ``image``: what its next boot gets."""
    host = farm.last_host(node)
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
        image=printable(node.image),
        outdated=bool(node.image) and node.image != image,
        order=node.order.order if node.order else "",
        host=None if host is None else host_status(host, farm.activity.scheduler),
        telemetry=node.telemetry if node.verified else None,
    )


def other_status(host: Host, scheduler: Scheduler) -> NodeStatus:
    """A daemon that is no machine of ours."""
    stage = Stage.LOST if not host.online else Stage.READY if host.load < NO_JOBS else Stage.REGISTERED
    return NodeStatus(
        key=f"{host.name}@{host.address}",
        name=host.name,
        address=host.address,
        stage=stage,
        since=host.since,
        host=host_status(host, scheduler),
    )
