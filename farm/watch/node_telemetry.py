"""What a node's agent tells: /status.json (schema 1), with bounds, since it comes from the network.

Of the machine itself, and of each role that it has a section (farm/node/roles/).
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from farm.printable import printable

Text = Annotated[str, Meta(max_length=128)]
Bytes = Annotated[int, Meta(ge=0, le=1 << 62)]
Seconds = Annotated[float, Meta(ge=0, le=1e10)]
MAX_TEXT = 512
MAX_DEPTH, MAX_ENTRIES, MOST_NUMBER = 3, 16, 1 << 62
"""Of what extras tell."""


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
    offered: Annotated[int, Meta(ge=0, le=4096)] | None = None
    """Slots that it offers at the moment; None: its image has no policy for that."""
    in_use: bool = False
    """Somebody uses the machine, so that it may offer fewer."""
    ending: Annotated[int, Meta(ge=0, le=4096)] = 0
    """Jobs that still run in slots that it no longer offers."""


class LoggedIn(Struct, frozen=True):
    """Somebody who is logged in on a machine's screen; ``since``: Unix time."""

    name: Text
    since: Seconds = 0.0


class LogInTold(Struct, frozen=True):
    """A log-in at a machine's screen, as the machine noted it."""

    at: Seconds
    """Unix time, by the machine's clock."""
    user: Text
    """The name that was typed."""
    server: Annotated[str, Meta(max_length=253)] = ""
    failed: Annotated[str, Meta(max_length=512)] = ""
    """Why it failed, a sentence; empty: it succeeded."""


class UnsavedTold(Struct, frozen=True):
    """A log-out at which something may not have been written, as the machine noted it."""

    at: Seconds
    """Unix time, by the machine's clock."""
    user: Text
    said: Annotated[str, Meta(max_length=1024)]
    """What the next greeter showed."""


class SessionTold(Struct, frozen=True):
    """Of the role session; ``ready``: somebody is logged in, or can be."""

    ready: bool
    greeter: bool = False
    """The log-in is on the screen."""
    kind: Annotated[str, Meta(max_length=16)] = ""
    """Of its sessions: ``fat``, whose programs run there, or ``thin``; empty where its image does not say it."""
    users: Annotated[list[LoggedIn], Meta(max_length=64)] = []
    server: Annotated[str, Meta(max_length=253)] = ""
    """To which the first of the users logged in; empty when nobody is there, or that is not known."""
    round_trip: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    """Seconds from the machine to that server and back, as its kernel measures them on the connection."""
    log_ins: Annotated[list[LogInTold], Meta(max_length=64)] = []
    """The last ones in this boot, those that failed included, the oldest first."""
    unsaved: UnsavedTold | None = None
    """The last log-out in this boot at which something may not have been written."""
    extras: Annotated[dict[Annotated[str, Meta(max_length=32)], Any], Meta(max_length=16)] = {}
    """What its sessions have besides windows (sound, sticks, printers), by name; bounded by `plain_value`."""


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
    roles = said.roles or RolesTold(CompileTold(said.iceccd, said.slots, said.environments))
    return telemetry, replace(roles, session=_printable(roles.session)) if roles.session else roles


def _printable(session: SessionTold) -> SessionTold:
    """What is typed at a screen, or stands on a stick, is anybody's: it is shown in many places, and made fit here."""
    return replace(
        session,
        kind=printable(session.kind),
        users=[replace(each, name=printable(each.name)) for each in session.users],
        server=printable(session.server, MAX_TEXT),
        log_ins=[
            LogInTold(each.at, printable(each.user), printable(each.server, MAX_TEXT), printable(each.failed, MAX_TEXT))
            for each in session.log_ins
        ],
        unsaved=session.unsaved
        and UnsavedTold(session.unsaved.at, printable(session.unsaved.user), printable(session.unsaved.said, MAX_TEXT)),
        extras={printable(name): plain_value(value) for name, value in session.extras.items()},
    )


def plain_value(value: object, depth: int = 0) -> object:
    """A value of any JSON, so that it can be shown: at most 3 levels of 16 entries, numbers of 62 bits, short text."""
    match value:
        case bool() | None:
            return value
        case int() | float():
            return value if -MOST_NUMBER <= value <= MOST_NUMBER else None
        case str():
            return printable(value)
        case list() if depth < MAX_DEPTH:
            return [plain_value(each, depth + 1) for each in value[:MAX_ENTRIES]]
        case dict() if depth < MAX_DEPTH:
            entries = islice(value.items(), MAX_ENTRIES)
            return {printable(str(key)): plain_value(each, depth + 1) for key, each in entries}
    return None
