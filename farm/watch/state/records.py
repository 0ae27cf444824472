"""What is known of a farm and of a machine in it: frozen records."""

from __future__ import annotations

from collections.abc import Mapping

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from farm.node.contract import FIRST_ROLES, SPARE
from farm.node.ports import TELEMETRY_PORT
from farm.watch.activity import Activity, Host, HostKey
from farm.watch.events import Beacon, Finding, Ordered, Stage, WatchedService
from farm.watch.node_telemetry import RolesTold, Telemetry
from farm.watch.refusals import Refusals

ANSWERS = "answers"
"""The probe that asks every service what it would be asked by a client."""


class Reading(Struct, frozen=True):
    """What a node's agent measured, for graphs."""

    time: float
    cpu: float
    """Mean percent of its processors."""
    available: int
    """Available memory in bytes."""
    overlay: int
    """Bytes of the overlay that are used."""
    received: int
    """Bytes since the kernel started, like ``sent``."""
    sent: int


class Claim(Struct, frozen=True):
    """A machine's own word that it is at an address: it asked from there for its settings, in this boot of it."""

    mac: str
    boot_id: str
    time: float


class Node(Struct, frozen=True, kw_only=True):
    """A machine, keyed by the MAC it boots from."""

    mac: str
    name: str
    known: bool = False
    """farm.yaml or the virtual lab names it."""
    address: str = ""
    """Where it is: as our DHCP gave it, or as it said itself and its agent bore out."""
    lease: str = ""
    """The address that our DHCP gave it last; a machine that got its own elsewhere has none."""
    boot_id: str = ""
    """As it said it in this boot; empty when its image says none."""
    image: str = ""
    stage: Stage = Stage.OFF
    since: float = 0.0
    """Unix time of the last change of ``stage``."""
    started: float = 0.0
    """Unix time at which this boot began, as far as is known."""
    asked: float = 0.0
    """Unix time of its last DHCPDISCOVER."""
    stages: dict[Stage, float] = {}
    """Unix time at which each stage was first reached in this boot."""
    uptime: dict[str, float] = {}
    """What the node itself noted: stage → seconds since its kernel started."""
    fetched: int = 0
    """Bytes of kernel, initrd and scripts sent to it in this boot."""
    heard: bool = False
    """Its agent was heard in this boot."""
    port: int = TELEMETRY_PORT
    """Where its agent answers."""
    beacon: Beacon | None = None
    beacon_time: float = 0.0
    telemetry: Telemetry | None = None
    telemetry_time: float = 0.0
    told: RolesTold | None = None
    """What its agent told of its roles together with ``telemetry``."""
    roles: tuple[str, ...] = FIRST_ROLES
    """What it is for, as its agent told last, in this boot or before."""
    silent: bool = False
    """Its agent has stopped answering; zeroconf may keep its beacon for 19 minutes more."""
    readings: tuple[Reading, ...] = ()
    """The last MAX_READINGS, in this boot or before."""
    host: HostKey | None = None
    """Its login at the scheduler, in ``Farm.activity.hosts``."""
    order: Ordered | None = None
    """What it was told, until that is done."""

    @property
    def verified(self) -> bool:
        """Its agent was heard where it is, in this boot."""
        return self._beacon_counts or self._telemetry_counts

    @property
    def answers(self) -> bool:
        """Its agent was heard, and has not stopped answering: what others say in its name does not count."""
        return self.verified and not self.silent

    @property
    def leased(self) -> bool:
        """It is where a lease of ours says."""
        return bool(self.address) and self.address == self.lease

    def is_at(self, address: str, boot_id: str) -> bool:
        """Whether what its agent says from there is to be believed: by a lease of ours, or by its own word."""
        own_word = bool(boot_id) and boot_id == self.boot_id
        return bool(address) and address == self.address and (self.leased or own_word)

    @property
    def _beacon_counts(self) -> bool:
        return self.beacon is not None and self.beacon_time >= self.started

    @property
    def _telemetry_counts(self) -> bool:
        return self.telemetry is not None and self.telemetry_time >= self.started

    @property
    def guest(self) -> bool:
        """Nothing but requests vouches for it: it is not configured, has no address, and was never heard."""
        return not (self.address or self.met)

    @property
    def met(self) -> bool:
        """It is configured, or its agent was heard, in this boot or before."""
        return self.known or self.heard or bool(self.readings)

    def says_ready(self, role: str) -> bool:
        """Its agent says that the role's programs run."""
        if self._telemetry_counts:
            section = getattr(self.told, role, None)
            return section is not None and bool(section.ready)
        return self._beacon_counts and self.beacon is not None and self.beacon.stage == Stage.READY


class Farm(Struct, frozen=True, kw_only=True):
    """All that is known."""

    name: str
    telemetry_port: int = TELEMETRY_PORT
    """Where agents answer unless their beacon says otherwise."""
    kind: str = ""
    """The name of the image that machines boot which ``kinds`` does not list; empty for a scheduler without a farm."""
    kinds: Mapping[str, str] = {}
    """MAC → the name of the image that a machine boots."""
    root: str = ""
    """The export by which machines read their roots which ``roots`` does not list; empty without a farm."""
    roots: Mapping[str, str] = {}
    """MAC → the export by which a machine reads its root."""
    nodes: Map[str, Node] = Map()
    addresses: Map[str, str] = Map()
    """Address → MAC of the node that has it."""
    claims: Map[str, Claim] = Map()
    """Address → the machine that last said it is there, until its agent bears that out."""
    guests: Map[str, float] = Map()
    """MAC → Unix time of the last news, of nodes that have only asked for something."""
    activity: Activity = Activity()
    """What the scheduler tells: daemons and jobs."""
    strangers: dict[str, Beacon] = {}
    """Advertisements that nothing bears out, by instance."""
    refusals: Refusals = {}
    services: tuple[WatchedService, ...] = ()
    services_why: str = "Not known yet."
    findings: Map[str, tuple[Finding, ...]] = Map()
    """What farmd's probes find wrong, by probe."""

    refused: frozenset[str] = frozenset()
    """Addresses of strangers that farmd has had blocked."""

    def kind_of(self, node: Node) -> str:
        """The name of the image that a machine's next boot gets."""
        return self.kinds.get(node.mac, self.kind)

    def root_of(self, node: Node) -> str:
        """The export by which a machine reads its root after its next boot."""
        return self.roots.get(node.mac, self.root)

    def silent(self, service: str) -> str:
        """Why a service that runs does not answer; empty when it does."""
        found = (each for each in self.findings.get(ANSWERS, ()) if each.about == service)
        return next((each.what for each in found), "")

    def host(self, node: Node) -> Host | None:
        """A node's login at the scheduler."""
        return None if node.host is None else self.activity.hosts.get(node.host)

    def last_host(self, node: Node) -> Host | None:
        """A node's login, or else its last one, which has ended even if the scheduler has not noticed yet."""
        if (host := self.host(node)) is not None:
            return host
        known = (self.activity.hosts.get(key) for key in login_keys(node))
        last = max((host for host in known if host is not None), key=lambda host: host.since, default=None)
        return None if last is None else replace(last, online=False)

    def spare(self, node: Node) -> Host | None:
        """The login of a node's spare iceccd, or its last one in this boot; None where there is none."""
        known = (self.activity.hosts.get(key) for key in spare_keys(node))
        return next((host for host in known if host is not None and host.since >= node.started), None)


def default_name(mac: str) -> str:
    """What a node calls itself when the server gives it no name."""
    return "node-" + mac.replace(":", "")[-6:]


def login_keys(node: Node) -> tuple[HostKey, ...]:
    """By what a scheduler may know a node: its name or the one it makes up, each with its address."""
    return tuple((name, node.address) for name in dict.fromkeys((node.name, default_name(node.mac))))


def spare_keys(node: Node) -> tuple[HostKey, ...]:
    """By what a scheduler may know the second iceccd of a node at which people sit (farm/node/desk/)."""
    return tuple((name + SPARE, address) for name, address in login_keys(node))


def own_keys(node: Node) -> tuple[HostKey, ...]:
    """All by which a scheduler may know a node."""
    return (*login_keys(node), *spare_keys(node))
