"""Which print queues this server has for the printers of its clients, and what has to be done for that; pure functions.

A queue is the farm's when its location ends with the farm's mark: others are never touched. It stays while its machine
is off, disabled with a reason, so that jobs wait in it; it goes when its printer has not been seen for a long time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from farm.node.printer_names import queue_names
from farm.node.session.printer_ports.printer_settings import FIRST_PORT, PORTS
from farm.watch.node_telemetry import SessionTold, Text
from farm.watch.state import Farm

MAX_OF_MACHINE = 16
"""Queues of printers that are away or new, of one machine: whatever it says of its printers, it gets no more."""
AWAY_SECONDS = 60.0
"""After which a printer that is not seen counts as away: a job that is being printed would begin again."""
GONE_SECONDS = 14 * 86400.0
"""After which the queue of a printer that was not seen is removed, unless jobs wait in it."""
AWAY = "away: the printer is unplugged, or its machine is off"
"""Why a queue of ours is disabled; one that somebody else disabled has another reason, and is left so."""
RAW = "raw"
"""The model of a queue that passes on what it gets."""
LANGUAGES = {
    "POSTSCRIPT": "drv:///sample.drv/generic.ppd",
    "PS": "drv:///sample.drv/generic.ppd",
    "PCL": "drv:///sample.drv/generpcl.ppd",
    "PCL5E": "drv:///sample.drv/generpcl.ppd",
    "PCL5": "drv:///sample.drv/generpcl.ppd",
}
"""CUPS's own drivers for all printers that understand a language, the better ones first."""


class PrinterTold(Struct, frozen=True):
    """A printer as its machine tells of it (farm/node/session/extras/printers.py)."""

    device: Text
    port: Annotated[int, Meta(ge=FIRST_PORT, lt=FIRST_PORT + PORTS)]
    present: bool = False
    make: Text = ""
    model: Text = ""
    serial: Text = ""
    commands: Text = ""


class PrintersTold(Struct, frozen=True):
    """All printers of a machine."""

    devices: Annotated[list[PrinterTold], Meta(max_length=16)] = []


class ClientPrinter(Struct, frozen=True):
    """A printer that is there now."""

    queue: str
    node: str
    mac: str
    address: str
    told: PrinterTold

    @property
    def uri(self) -> str:
        """Where CUPS sends jobs to."""
        return f"socket://{self.address}:{self.told.port}"

    @property
    def key(self) -> str:
        """By what the printer is known again at its machine."""
        return self.told.serial or f"{self.told.model} {self.told.device}"

    @property
    def title(self) -> str:
        """What it is, for people."""
        make, model = self.told.make, self.told.model
        named = model if model.lower().startswith(make.lower()) else f"{make} {model}"
        return f"{named.strip() or 'Printer'} at {self.node}"

    @property
    def device_id(self) -> str:
        """By what CUPS looks for a driver; empty when it does not say what it is."""
        told = self.told
        return f"MFG:{told.make};MDL:{told.model};CMD:{told.commands};" if told.model else ""


class Queue(Struct, frozen=True):
    """A queue as CUPS tells of it."""

    name: str
    uri: str = ""
    location: str = ""
    enabled: bool = True
    reason: str = ""
    """Why it is disabled."""
    jobs: int = 0
    """That wait in it, or are being printed."""


class SeenPrinter(Struct, frozen=True):
    """Of a queue: whose it is, and the Unix time at which its printer was last there."""

    mac: str
    key: str
    seen: float


class Plan(Struct, frozen=True):
    """What is to be done: command lines, in their order; what is to be made first; names that others have taken."""

    make: list[ClientPrinter]
    commands: list[list[str]]
    taken: list[str]
    memory: dict[str, SeenPrinter]
    foreign: list[str] = []
    """Names of queues of ours that a printer at another machine has."""


def printers(farm: Farm) -> list[ClientPrinter]:
    """The printers that are at machines which answer now."""
    found = []
    for node in farm.nodes.values():
        told = node.told.session if node.answers and node.address and node.told is not None else None
        found += client_printers(node.name, node.mac, node.address, told)
    return found


def client_printers(node: str, mac: str, address: str, told: SessionTold | None) -> list[ClientPrinter]:
    """The printers that are at a machine, by what it tells."""
    try:
        known = msgspec.convert(told.extras.get("printers", {}) if told else {}, PrintersTold)
    except msgspec.ValidationError:  # of another release, or not a machine of ours
        return []
    present = [each for each in known.devices if each.present]
    names = queue_names(node, [(each.device, each.port, each.model) for each in present])
    return [ClientPrinter(names[each.device], node, mac, address, each) for each in present]


def mark(farm: str) -> str:
    """How the location of a queue ends that a farm of this name has made."""
    return f"(icecream-farm {farm})"


def plan(
    farm: str,
    existing: Sequence[Queue],
    wanted: Sequence[ClientPrinter],
    memory: Mapping[str, SeenPrinter],
    now: float,
    watching_since: float = 0.0,
) -> Plan:
    """What makes the queues those that are wanted; ``memory``: by queue; times: Unix."""
    ours = {queue.name: queue for queue in existing if queue.location.endswith(mark(farm))}
    foreign = [each for each in wanted if _is_anothers(each, ours.get(each.queue), memory.get(each.queue), farm)]
    present: dict[str, ClientPrinter] = {}
    for printer in wanted:
        if printer not in foreign:
            present.setdefault(printer.queue, printer)
    # For CUPS two names are one that differ in their letters' case alone.
    others = {queue.name.lower() for queue in existing} - {name.lower() for name in ours}
    taken = sorted(name for name in present if name.lower() in others)
    seen = {name: SeenPrinter(each.mac, each.key, now) for name, each in present.items() if name not in taken}
    commands = [words for name in seen if name in ours for words in _refresh(ours[name], present[name])]
    renamed = {(each.mac, each.key): name for name, each in seen.items()}
    kept = {}
    for name in ours.keys() - seen.keys():
        last = memory.get(name, SeenPrinter("", "", now))
        new = renamed.get((last.mac, last.key), "")
        waited = now - last.seen > GONE_SECONDS
        if (new or waited) and not ours[name].jobs:
            commands.append(["lpadmin", "-x", name])
        elif new:
            # It goes when it is looked at again, and is empty.
            kept[name] = last
            commands.append(["lpmove", name, new])
        else:
            kept[name] = last
            if ours[name].enabled and now - max(last.seen, watching_since) > AWAY_SECONDS:
                commands.append(["cupsdisable", "-r", AWAY, name])
    held = Counter(each.mac for each in kept.values())
    missing = []
    for name in [name for name in seen if name not in ours]:
        held[seen[name].mac] += 1
        if held[seen[name].mac] > MAX_OF_MACHINE:
            del seen[name]
        else:
            missing.append(present[name])
    return Plan(missing, commands, taken, {**kept, **seen}, sorted({each.queue for each in foreign}))


def _is_anothers(printer: ClientPrinter, queue: Queue | None, last: SeenPrinter | None, farm: str) -> bool:
    """Whether a queue of ours is that of a printer at another machine, whose name with its model's is the same.

    A machine whose card was changed has another MAC and the same name, which the queue's location begins with.
    """
    known = queue is not None and last is not None and last.mac not in ("", printer.mac)
    return known and queue is not None and queue.location != f"{printer.node} {mark(farm)}"


def _refresh(queue: Queue, printer: ClientPrinter) -> Iterable[list[str]]:
    """Its address may have changed; somebody may have given it another driver or name, which stay."""
    if queue.uri != printer.uri:
        yield ["lpadmin", "-p", queue.name, "-v", printer.uri]
    if not queue.enabled and queue.reason == AWAY:
        yield ["cupsenable", queue.name]


def creation(farm: str, printer: ClientPrinter, model: str) -> list[str]:
    """The command that makes a queue, by the driver ``model``."""
    return [
        *("lpadmin", "-p", printer.queue, "-E", "-v", printer.uri, "-m", model),
        *("-D", printer.title, "-L", f"{printer.node} {mark(farm)}"),
        *("-o", "printer-is-shared=true", "-o", "printer-error-policy=retry-job"),
    ]


def best_driver(listed: str, printer: ClientPrinter) -> str:
    """Of the drivers that CUPS proposes (``lpinfo -m``: name and model in a line) the first for that very model.

    Without one a driver for a language that the printer says it understands, which CUPS may lack; else none.
    """
    model = _letters(printer.told.model)
    for line in listed.splitlines():
        name, _, described = line.partition(" ")
        described = _letters(described)
        end = described.find(model) + len(model)
        if model and model in described and not described[end : end + 1].isdigit():
            return name
    spoken = {word.strip().upper() for word in printer.told.commands.split(",")}
    return next((driver for language, driver in LANGUAGES.items() if language in spoken), RAW)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
