"""What can happen in a farm: small frozen records, made by the sources, folded into the state."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from farm.watch.activity import Canary, HostKey, Said


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
    version: str = ""
    slots: int = 0
    stage: str = ""
    boot: str = ""


class BeaconSeen(Struct, frozen=True):
    """An advertisement is new or has changed."""

    beacon: Beacon
    time: float


class BeaconLost(Struct, frozen=True):
    """An advertisement was taken back or has run out."""

    instance: str
    time: float


Text = Annotated[str, Meta(max_length=128)]
Bytes = Annotated[int, Meta(ge=0, le=1 << 62)]
Seconds = Annotated[float, Meta(ge=0, le=1e10)]


class Processors(Struct, frozen=True):
    """Percent of each processor in use."""

    percent: Annotated[list[Annotated[float, Meta(ge=0, le=1000)]], Meta(max_length=1024)] = []


class Memory(Struct, frozen=True):
    """A node's memory, in bytes."""

    total: Bytes = 0
    available: Bytes = 0


class Overlay(Struct, frozen=True):
    """The RAM that takes writes to the root; bytes."""

    total: Bytes = 0
    used: Bytes = 0


class HeldEnvironment(Struct, frozen=True):
    """A toolchain that a node's iceccd has unpacked; bytes of RAM."""

    name: Text
    bytes: Bytes = 0


class Traffic(Struct, frozen=True):
    """The boot NIC's bytes since the kernel started."""

    nic: Annotated[str, Meta(max_length=16)] = ""
    received: Bytes = 0
    sent: Bytes = 0


class Telemetry(Struct, frozen=True):
    """A node's /status.json (schema 1), with bounds: it comes from the network."""

    farm: Text
    name: Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$(?!\n)")]
    mac: Annotated[str, Meta(max_length=17)]
    uptime: Seconds
    iceccd: bool
    boot_id: Annotated[str, Meta(max_length=32)] = ""
    """As it said it when it asked for its settings."""
    image: Text = ""
    version: Text = ""
    slots: Annotated[int, Meta(ge=0, le=4096)] = 0
    boot: Annotated[dict[Annotated[str, Meta(max_length=16)], Seconds], Meta(max_length=64)] = {}
    cpu: Processors = Processors()
    load: Annotated[list[Seconds], Meta(max_length=3)] = []
    memory: Memory = Memory()
    overlay: Overlay = Overlay()
    environments: Annotated[list[HeldEnvironment], Meta(max_length=64)] = []
    network: Traffic = Traffic()
    temperatures: Annotated[dict[Text, Annotated[float, Meta(ge=-300, le=2000)]], Meta(max_length=64)] = {}


class TelemetrySeen(Struct, frozen=True):
    """A node answered farmd's question, put to this address."""

    mac: str
    address: str
    telemetry: Telemetry
    time: float


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
