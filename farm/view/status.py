"""What `farm status --json` says (schema 2, docs/status-json.md): built from the state, read by every view."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from farm.image.kinds import KINDS
from farm.instance import Instance
from farm.node.contract import ROLES
from farm.printable import printable
from farm.scheduler.discovery import FoundScheduler
from farm.view.problems import bare_problems, problems
from farm.watch.activity import Canary, Host, HostKey, Scheduler, Totals
from farm.watch.events import Finding, Stage, WatchedService
from farm.watch.node_telemetry import CompileTold, HeldEnvironment, Telemetry
from farm.watch.state import NO_JOBS, Farm, Node, login_keys

IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}", re.ASCII)
SCHEMA: Literal[2] = 2
"""Of a machine and all that holds machines: it carries a section for each of its roles."""


class ServiceStatus(Struct, frozen=True):
    """A process that supervisord keeps; ``up``: it runs. A virtual machine may be off (``machine``)."""

    name: str
    state: str
    up: bool
    machine: bool
    pid: int
    since: float
    detail: str
    silent: str = ""
    """Why it does not answer though it runs; empty when it does, or cannot be asked."""


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
    """As many as are known for certain."""
    logins_missed: bool = False
    """There may have been more: before the watching began, or while there was no connection to the scheduler."""
    found: bool = False
    """It was logged in when the connection to the scheduler began, which is what ``since`` tells."""
    slots: int
    no_remote: bool
    load: int
    speed: float
    platform: str
    protocol: int
    features: tuple[str, ...]
    load_averages: tuple[float, float, float] | None
    free_memory: int | None
    """Free memory in MiB; None: not reported."""
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
    canary: Canary = ""
    """Whether it made the same object as the server from a small source; nodes of the farm are not tried."""

    @property
    def key(self) -> HostKey:
        """A daemon's name and address, by which it is known."""
        return self.name, self.address


class CompileStatus(Struct, frozen=True):
    """A machine in the role compile, as its two witnesses tell."""

    host: HostStatus | None = None
    """Its log-in at the scheduler, or its last one."""
    agent: CompileTold | None = None
    """What its agent last said; null while it says nothing, and of a daemon that has no agent of ours."""


class NodeStatus(Struct, frozen=True, kw_only=True):
    """A machine that boots, or has booted, from this farm; or, with an empty ``mac``, any other daemon.

    Of the machine itself, and of each role that it has a section; null: it does not have the role.
    """

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
    blocked: bool = False
    """The scheduler refuses its log-in."""
    image: str = ""
    kind: str = ""
    """The kind of image that its next boot gets; empty for a daemon that is no machine of this farm."""
    outdated: bool = False
    """It runs another image than its next boot would get."""
    order: Literal["", "drain", "reboot", "off"] = ""
    """What it was told and has not done yet: end its jobs, boot anew, switch off (which lasts until it boots)."""
    ordered: float = 0.0
    """Unix time of that order."""
    telemetry: Telemetry | None = None
    compile: CompileStatus | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that it has."""
        return tuple(role for role in ROLES if getattr(self, role) is not None)

    @property
    def host(self) -> HostStatus | None:
        """Its log-in at the scheduler, or its last one; None when it has none, or is not one to compile."""
        return None if self.compile is None else self.compile.host

    @property
    def environments(self) -> list[HeldEnvironment] | None:
        """The toolchains that it holds; None when no agent tells."""
        return None if self.compile is None or self.compile.agent is None else self.compile.agent.environments

    @property
    def doing(self) -> str:
        """The order that says more of it than its stage; empty when the stage does."""
        return self.order if self.stage.rank >= Stage.AGENT.rank else ""

    @property
    def doing_since(self) -> float:
        """Unix time since which it is in its stage, or was told to do what it does; 0 when that is not known."""
        return self.ordered if self.doing and self.ordered else self.since


class StrangerStatus(Struct, frozen=True):
    """An advertisement that nothing bears out."""

    instance: str
    farm: str
    mac: str
    address: str


class Overview(Struct, frozen=True, kw_only=True):
    """The farm but for its nodes and jobs; times are Unix times in seconds."""

    schema: Literal[2] = SCHEMA
    """An answer with another is of another version, and is not taken."""
    farm: str
    """Empty for a scheduler that is watched without a farm of ours."""
    farmd: bool
    """farmd answered; without it nothing is known of nodes and scheduler."""
    started: float = 0.0
    interface: str = ""
    namespace: str | None = None
    server: str = ""
    image: str = ""
    """What machines that farm.yaml does not list boot next."""
    images: dict[str, str] = {}
    """The image that next boots get, by its kind."""
    services: list[ServiceStatus] = []
    scheduler: SchedulerStatus
    strangers: list[StrangerStatus] = []
    problems: list[str] = []
    """One sentence each; empty when all is well."""
    findings: list[Finding] = []
    """The same for programs."""


class Status(Overview, frozen=True, kw_only=True):
    """All that is known of a farm: the overview, its nodes, and the other daemons."""

    nodes: list[NodeStatus]
    hosts: list[HostStatus]
    """Daemons that are no nodes of this farm: submitters, for the most part."""
    totals: Totals


def build(farm: Farm, instance: Instance, farmd_why: str = "") -> Status:
    """The status of a farm. ``farmd_why``: why farmd could not be asked; only the services are known then."""
    nodes = (node_status(farm, node, instance.images) for node in farm.nodes.values())
    ours = {key for node in farm.nodes.values() for key in login_keys(node)}
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
    return Status(**fields, nodes=nodes, hosts=hosts, totals=totals)


def overview(farm: Farm, instance: Instance, farmd_why: str = "") -> Overview:
    """A farm of ours, without nodes and jobs."""
    machines = {machine.name for machine in instance.machines}
    services = [_service(service, machines, farm.silent(service.name)) for service in farm.services]
    config = instance.config
    scheduler = _scheduler(farm, f"{config.server}:{config.scheduler.port}", config.netname)
    found = problems(farm, instance, farmd_why)
    return Overview(
        farm=config.name,
        farmd=not farmd_why,
        started=instance.started,
        interface=instance.interface,
        namespace=instance.namespace,
        server=config.server,
        image=instance.images.get(config.kind_of(None), ""),
        images=instance.images,
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
    """A machine of ours; ``images``: what next boots get, by kind."""
    kind = farm.kind_of(node)
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
        blocked=_blocked(farm.activity.scheduler, node.name, node.address, host.name if host else ""),
        image=printable(node.image),
        kind=kind,
        outdated=bool(node.image) and node.image != images.get(kind),
        order=node.order.order if node.order else "",
        ordered=node.order.time if node.order else 0.0,
        telemetry=node.telemetry if node.verified else None,
        compile=_compile(farm, node, host) if host is not None or "compile" in _roles(node, kind) else None,
    )


def _roles(node: Node, kind: str) -> tuple[str, ...]:
    """What a machine is for, as its agent told; before it tells, what the image that it boots is for."""
    return KINDS[kind].roles if node.told is None and kind in KINDS else node.roles


def _compile(farm: Farm, node: Node, host: Host | None) -> CompileStatus:
    told = node.told if node.verified and node.telemetry is not None else None
    return CompileStatus(
        None if host is None else host_status(host, farm.activity.scheduler), None if told is None else told.compile
    )


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
