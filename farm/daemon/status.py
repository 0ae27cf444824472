"""What `farm status --json` says (schema 1, docs/status-json.md): built from the state, read by every view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from farm.events import HostKey, RegisteredNode, Service, Stage, Telemetry
from farm.running import Running
from farm.state import Farm, Jobs, Node

MAX_TEXT = 128
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
    """The scheduler as farmd's monitor connection sees it."""

    up: bool
    address: str
    netname: str
    since: float
    why: str


class HostStatus(Struct, frozen=True):
    """A daemon's login at the scheduler; ``load``: 0–1000, ``speed``: as the scheduler measures it."""

    name: str
    address: str
    slots: int
    load: int
    speed: float
    platform: str
    jobs_running: int
    jobs_done: int
    jobs_failed: int
    jobs_local: int


class NodeStatus(Struct, frozen=True):
    """A machine that boots, or has booted, from this farm."""

    name: str
    mac: str
    address: str
    stage: Stage
    since: float
    stages: dict[Stage, float]
    uptime: dict[str, float]
    fetched: int
    verified: bool
    known: bool
    image: str
    outdated: bool
    """It runs another image than its next boot would get."""
    host: HostStatus | None
    telemetry: Telemetry | None


class StrangerStatus(Struct, frozen=True):
    """An advertisement that nothing bears out."""

    instance: str
    farm: str
    mac: str
    address: str


class Status(Struct, frozen=True, kw_only=True):
    """All of it; times are Unix times in seconds."""

    schema: int = 1
    farm: str
    farmd: bool
    """farmd answered; without it nothing is known of nodes and scheduler."""
    started: float
    interface: str
    namespace: str | None
    server: str
    image: str
    services: list[ServiceStatus]
    scheduler: SchedulerStatus
    nodes: list[NodeStatus]
    hosts: list[HostStatus]
    """Daemons that are no nodes of this farm: submitters, for the most part."""
    strangers: list[StrangerStatus]
    problems: list[str]
    """One sentence each; empty when all is well."""


def build(farm: Farm, running: Running, farmd_why: str = "") -> Status:
    """The status of a farm; text from the network loses its control characters.

    ``farmd_why``: why farmd could not be asked; only the services are known then.
    """
    count = Counter(started.host for started in farm.running.values())
    machines = {machine.name for machine in running.machines}
    services = [_service(service, machines) for service in farm.services]
    scheduler = SchedulerStatus(
        up=farm.scheduler.up,
        address=f"{running.config.server}:{running.config.scheduler.port}",
        netname=running.config.netname,
        since=farm.scheduler.since,
        why=clean(farm.scheduler.why),
    )
    nodes = sorted(
        (_node(node, farm, count, running.image) for node in farm.nodes.values()), key=lambda node: node.name
    )
    ours = {node.host.key for node in farm.nodes.values() if node.host is not None}
    others = [host for key, host in sorted(farm.hosts.items()) if key not in ours]
    return Status(
        farm=running.config.name,
        farmd=not farmd_why,
        started=running.started,
        interface=running.interface,
        namespace=running.namespace,
        server=running.config.server,
        image=running.image,
        services=services,
        scheduler=scheduler,
        nodes=nodes,
        hosts=[_host(host, farm, count) for host in others],
        strangers=[
            StrangerStatus(clean(beacon.instance), clean(beacon.farm), clean(beacon.mac), clean(beacon.address))
            for beacon in farm.strangers.values()
        ],
        problems=list(_problems(services, farm.services_why, scheduler, farmd_why)),
    )


def _problems(
    services: list[ServiceStatus], services_why: str, scheduler: SchedulerStatus, farmd_why: str
) -> Iterable[str]:
    if services_why:
        yield f"The services are not running: {clean(services_why)}"
    for service in services:
        if service.state not in COMING and not (service.machine and service.state in ENDED):
            yield f"The service {service.name} is down ({service.state.lower()}). Its log: farm logs {service.name}"
    if farmd_why:
        yield f"Nothing is known of the nodes: {clean(farmd_why)} Its log: farm logs farmd"
    elif not scheduler.up:
        yield f"The scheduler does not answer. {scheduler.why} Its log: farm logs scheduler"


def _service(service: Service, machines: set[str]) -> ServiceStatus:
    up = service.state == "RUNNING"
    machine = service.name in machines
    return ServiceStatus(service.name, service.state, up, machine, service.pid, service.since, clean(service.detail))


def _host(host: RegisteredNode, farm: Farm, running: Counter[HostKey]) -> HostStatus:
    jobs = farm.jobs.get(host.key, Jobs())
    return HostStatus(
        name=clean(host.name),
        address=clean(host.address),
        slots=host.slots,
        load=host.load,
        speed=host.speed,
        platform=clean(host.platform),
        jobs_running=running[host.key],
        jobs_done=jobs.done,
        jobs_failed=jobs.failed,
        jobs_local=jobs.local,
    )


def _node(node: Node, farm: Farm, running: Counter[HostKey], image: str) -> NodeStatus:
    return NodeStatus(
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
        image=clean(node.image),
        outdated=bool(node.image) and node.image != image,
        host=None if node.host is None else _host(node.host, farm, running),
        telemetry=node.telemetry if node.verified else None,
    )


def clean(text: str) -> str:
    """Text from the network, fit for a terminal: bounded, and without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_TEXT])
