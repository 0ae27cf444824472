"""What a node's agent tells: /status.json (schema 1), with bounds, since it comes from the network.

Of the machine itself, and of each role that it has a section (farm/node/roles/).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

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


class Traffic(Struct, frozen=True):
    """The boot NIC's bytes since the kernel started."""

    nic: Annotated[str, Meta(max_length=16)] = ""
    received: Bytes = 0
    sent: Bytes = 0


class GivenFiles(Struct, frozen=True):
    """The files that the node was given when it booted."""

    written: Annotated[int, Meta(ge=0, le=1024)] = 0
    failed: Annotated[dict[Text, Text], Meta(max_length=64)] = {}
    """Path → why it was not written."""


class Telemetry(Struct, frozen=True):
    """How a machine is doing, whatever it is for."""

    farm: Text
    name: Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$(?!\n)")]
    mac: Annotated[str, Meta(max_length=17)]
    uptime: Seconds
    boot_id: Annotated[str, Meta(max_length=32)] = ""
    """As it said it when it asked for its settings."""
    image: Text = ""
    root: Annotated[str, Meta(max_length=16)] = ""
    """The export by which it reads its root; empty where its image does not say it."""
    version: Text = ""
    boot: Annotated[dict[Annotated[str, Meta(max_length=16)], Seconds], Meta(max_length=64)] = {}
    files: GivenFiles = GivenFiles()
    cpu: Processors = Processors()
    load: Annotated[list[Seconds], Meta(max_length=3)] = []
    memory: Memory = Memory()
    overlay: Overlay = Overlay()
    network: Traffic = Traffic()
    temperatures: Annotated[dict[Text, Annotated[float, Meta(ge=-300, le=2000)]], Meta(max_length=64)] = {}


class HeldEnvironment(Struct, frozen=True):
    """A toolchain that a node's iceccd has unpacked; bytes of RAM."""

    name: Text
    bytes: Bytes = 0


class CompileTold(Struct, frozen=True):
    """Of the role compile; ``ready``: iceccd runs."""

    ready: bool
    slots: Annotated[int, Meta(ge=0, le=4096)] = 0
    environments: Annotated[list[HeldEnvironment], Meta(max_length=64)] = []


class LoggedIn(Struct, frozen=True):
    """Somebody who is logged in on a machine's screen; ``since``: Unix time."""

    name: Text
    since: Seconds = 0.0


class SessionTold(Struct, frozen=True):
    """Of the role session; ``ready``: somebody is logged in, or can be."""

    ready: bool
    greeter: bool = False
    """The log-in is on the screen."""
    users: Annotated[list[LoggedIn], Meta(max_length=64)] = []


class RolesTold(Struct, frozen=True):
    """A section for each role that the machine has; of roles that are not known here nothing is taken."""

    compile: CompileTold | None = None
    session: SessionTold | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The roles that it has."""
        return tuple(name for name in self.__struct_fields__ if getattr(self, name) is not None)


class _Document(Struct, frozen=True):
    """What /status.json says of roles; an image from before them compiles, and says so at the top."""

    roles: RolesTold | None = None
    iceccd: bool = False
    slots: Annotated[int, Meta(ge=0, le=4096)] = 0
    environments: Annotated[list[HeldEnvironment], Meta(max_length=64)] = []


def parse(data: bytes) -> tuple[Telemetry, RolesTold]:
    """Read /status.json; raises one of farm.errors.NOT_JSON."""
    telemetry = msgspec.json.decode(data, type=Telemetry)
    said = msgspec.json.decode(data, type=_Document)
    return telemetry, said.roles or RolesTold(CompileTold(said.iceccd, said.slots, said.environments))
