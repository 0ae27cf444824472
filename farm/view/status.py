"""What `farm status --json` says (schema 2, docs/status-json.md): the records, which every view reads."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from farm.node.contract import ROLES
from farm.scheduler.discovery import FoundScheduler
from farm.view.wording import few
from farm.watch.activity import Canary, HostKey, Totals
from farm.watch.events import Finding, Stage
from farm.watch.node_telemetry import CompileTold, HeldEnvironment, LoggedIn, SessionTold, Telemetry

IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}", re.ASCII)
STATUS_SCHEMA: Literal[2] = 2
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
    spare: HostStatus | None = None
    """The log-in of its second iceccd, whose slots go while somebody uses the machine; null where there is none."""

    @property
    def together(self) -> HostStatus | None:
        """Both daemons as one, with the slots that are offered now."""
        if self.host is None or self.spare is None:
            return self.host
        return with_spare(self.host, self.spare)


def with_spare(host: HostStatus, spare: HostStatus) -> HostStatus:
    """A machine's first daemon with what its spare one adds; the spare one is logged in only while it is offered."""
    return replace(
        host,
        slots=host.slots + spare.slots * spare.online,
        load=host.load if host.slots or not spare.online else spare.load,
        speed=host.speed or spare.speed,
        installing=host.installing or spare.installing,
        jobs_running=host.jobs_running + spare.jobs_running,
        jobs_done=host.jobs_done + spare.jobs_done,
        jobs_failed=host.jobs_failed + spare.jobs_failed,
        busy_ms=host.busy_ms + spare.busy_ms,
        last=max(host.last, spare.last),
    )


class SessionStatus(Struct, frozen=True):
    """A machine in the role session."""

    agent: SessionTold | None = None
    """What its agent last said; null while it says nothing."""


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
    """The name of the image that its next boot gets; empty for a daemon that is no machine of this farm."""
    root: str = ""
    """The export by which its next boot reads its root; empty for a daemon that is no machine of this farm."""
    outdated: bool = False
    """It runs another image than its next boot would get."""
    order: Literal["", "drain", "reboot", "off"] = ""
    """What it was told and has not done yet: end its jobs, boot anew, switch off (which lasts until it boots)."""
    ordered: float = 0.0
    """Unix time of that order."""
    telemetry: Telemetry | None = None
    compile: CompileStatus | None = None
    session: SessionStatus | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that it has."""
        return tuple(role for role in ROLES if getattr(self, role) is not None)

    @property
    def host(self) -> HostStatus | None:
        """Its log-in at the scheduler, or its last one, with its spare daemon's jobs and slots.

        None when it has none, or is not one to compile.
        """
        return None if self.compile is None else self.compile.together

    @property
    def logins(self) -> list[HostStatus]:
        """Its daemons, each by itself: one, or of a machine at which people sit two."""
        both = () if self.compile is None else (self.compile.host, self.compile.spare)
        return [login for login in both if login is not None]

    @property
    def environments(self) -> list[HeldEnvironment] | None:
        """The toolchains that it holds; None when no agent tells."""
        return None if self.compile is None or self.compile.agent is None else self.compile.agent.environments

    @property
    def users(self) -> list[LoggedIn]:
        """Who is logged in on its screen, as its agent tells."""
        return [] if self.session is None or self.session.agent is None else self.session.agent.users

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


class UnverifiedImage(Struct, frozen=True):
    """A version that nodes read without checking, and that next boots get or nodes run."""

    image: str
    name: str
    """The image's, of which it is a version."""
    next_boots: bool
    nodes: list[str]
    """Names of those that run it."""
    fix: str
    """What to do, with the command."""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        used = ["next boots get it"] if self.next_boots else []
        used += [f"{few(self.nodes)} {'runs' if len(self.nodes) == 1 else 'run'} it"] if self.nodes else []
        return (
            f"Image {self.image} is not verified: nodes do not check what they read, and {', '.join(used)}. {self.fix}"
        )


class DeskTotals(Struct, frozen=True):
    """Machines at whose screen people log in, and those at which somebody is logged in."""

    known: int = 0
    in_use: int = 0


class Overview(Struct, frozen=True, kw_only=True):
    """The farm but for its nodes and jobs; times are Unix times in seconds."""

    schema: Literal[2] = STATUS_SCHEMA
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
    """The version that next boots get, by the name of the image."""
    unverified: list[UnverifiedImage] = []
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
    desks: DeskTotals = DeskTotals()
