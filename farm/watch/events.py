"""What can happen in a farm: small frozen records, made by the sources, folded into the state."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from farm.watch.activity import Canary, HostKey, Said
from farm.watch.node_telemetry import RolesTold, Telemetry


class Stage(enum.StrEnum):
    """How far a node has come in this boot."""

    OFF = "off"
    """It has not been seen since farmd knows of it."""
    POWERED = "powered"
    LOADER = "loader"
    KERNEL = "kernel"
    ROOT = "root"
    AGENT = "agent"
    REGISTERED = "registered"
    READY = "ready"
    LOST = "lost"
    """It ran, and nothing is heard of it any more."""

    @property
    def rank(self) -> int:
        """Place in the order of a boot; ``lost`` comes last."""
        return RANKS[self]


RANKS = {stage: rank for rank, stage in enumerate(Stage)}
BOOT_STAGES = tuple(Stage)[1:-1]
"""From powered to ready."""


class BootEvent(Struct, frozen=True):
    """Something a booting machine did, as a server's log tells it.

    ``stage`` None: only where it is is told, by a lease of ours, or, with a ``boot_id``, by itself.
    """

    stage: Stage | None
    time: float
    """Unix time at which it happened."""
    mac: str = ""
    """Empty when the log names the address only."""
    address: str = ""
    image: str = ""
    uptime: dict[str, float] = {}
    """Stage → seconds since its kernel started, as the node says it."""
    bytes: int = 0
    detail: str = ""
    boot_id: str = ""
    """As the machine says it when it asks for its settings; images of before say none."""
    refused: str = ""
    """What it asked for and could not be given (then ``stage`` is None), as Refusal.what says it."""


class Beacon(Struct, frozen=True):
    """A node's advertisement by multicast: a hint, as anyone can send it."""

    instance: str
    farm: str
    mac: str
    address: str
    port: int
    image: str = ""
    stage: str = ""
    boot: str = ""
    """Names its boot: the boot id, of which images from before roles tell the first eight digits."""


class BeaconSeen(Struct, frozen=True):
    """An advertisement is new or has changed."""

    beacon: Beacon
    time: float


class BeaconLost(Struct, frozen=True):
    """An advertisement was taken back or has run out."""

    instance: str
    time: float


class TelemetrySeen(Struct, frozen=True):
    """A node answered farmd's question, put to this address."""

    mac: str
    address: str
    telemetry: Telemetry
    time: float
    roles: RolesTold


class TelemetryLost(Struct, frozen=True):
    """A node no longer answers."""

    mac: str
    time: float


class SchedulerSaid(Struct, frozen=True):
    """Something came from the scheduler; the Unix time is that of its arrival."""

    event: Said
    time: float


class WatchedService(Struct, frozen=True):
    """A process that supervisord keeps; ``since``: Unix time."""

    name: str
    state: str
    pid: int = 0
    since: float = 0.0
    detail: str = ""


class ServicesSeen(Struct, frozen=True):
    """What supervisord says; ``why`` is set when it says nothing."""

    services: tuple[WatchedService, ...]
    time: float
    why: str = ""


class Finding(Struct, frozen=True):
    """Something that is wrong: a stable ``code``, a sentence, and what to do about it, with the command if one does."""

    code: str
    what: str
    fix: str
    about: str = ""
    """The service, node or daemon in question, if it is one."""

    @property
    def sentence(self) -> str:
        """Both in one line."""
        return f"{self.what} {self.fix}".rstrip()


class Examined(Struct, frozen=True):
    """All that one of farmd's probes (``probe``) finds wrong now; nothing: all is well there."""

    probe: str
    findings: tuple[Finding, ...]


class CanarySeen(Struct, frozen=True):
    """How a small compilation on a daemon (name and address) went."""

    daemon: HostKey
    result: Canary


class StrangersRefused(Struct, frozen=True):
    """Addresses of daemons that farmd has had blocked, since they are no machines of this farm."""

    addresses: frozenset[str]


class Ordered(Struct, frozen=True):
    """What a node was told at Unix time ``time``; ``pid`` carries it out, 0: it only has to take effect."""

    mac: str
    """Of a daemon that is no machine of ours its key, ``name@address``."""
    order: Literal["drain", "reboot", "off"]
    time: float
    pid: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0


class OrdersSeen(Struct, frozen=True):
    """All such orders that stand."""

    orders: tuple[Ordered, ...]


class Remembered(Struct, frozen=True):
    """What an earlier farmd saw of a boot; it counts if that boot is still the current one."""

    mac: str
    started: float
    stages: dict[Stage, float]


Event = (
    BootEvent
    | BeaconSeen
    | BeaconLost
    | TelemetrySeen
    | TelemetryLost
    | SchedulerSaid
    | ServicesSeen
    | Examined
    | CanarySeen
    | StrangersRefused
    | OrdersSeen
    | Remembered
)
