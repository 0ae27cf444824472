"""Printers as they name themselves, and what their queues are called: the same for a machine and its server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

MAX_ID = 1024
"""Characters of a device id that are read."""
MAX_WORDS = 64
"""Characters of each thing that it says."""
_KEYS = {
    "MFG": "make",
    "MANUFACTURER": "make",
    "MDL": "model",
    "MODEL": "model",
    "SN": "serial",
    "SERN": "serial",
    "SERIALNUMBER": "serial",
    "CMD": "commands",
    "COMMAND SET": "commands",
}


class PrinterId(NamedTuple):
    """What a printer says that it is; empty where it says nothing."""

    make: str = ""
    model: str = ""
    serial: str = ""
    commands: str = ""
    """Languages that it understands, such as ``PJL,PCL``."""


def parse_id(text: str) -> PrinterId:
    """Read a device id (IEEE 1284, ``MFG:HP;MDL:LaserJet;``), as the kernel has it from whatever is plugged in."""
    said: dict[str, str] = {}
    for part in text[:MAX_ID].split(";"):
        key, colon, value = part.partition(":")
        name = _KEYS.get(key.strip().upper(), "")
        if colon and name:
            said.setdefault(name, re.sub("[^ -~]+| {2,}", " ", value).strip())
    return PrinterId(*(said.get(name, "")[:MAX_WORDS].strip() for name in PrinterId._fields))


def queue_names(node: str, printers: Iterable[tuple[str, int, str]]) -> dict[str, str]:
    """Device → name of the queue, for the printers of one machine: each with device, port and model.

    Of several of one model the one with the lowest port has the plain name.
    """
    names: dict[str, str] = {}
    for device, port, model in sorted(printers, key=lambda each: each[1]):
        words = re.sub("[^A-Za-z0-9]+", "-", model or device.rpartition("/")[2]).strip("-") or "printer"
        name = f"{node}-{words[:40]}"
        # For CUPS two names are one that differ in their letters' case alone.
        taken = name.lower() in {each.lower() for each in names.values()}
        names[device] = f"{name}-{port}" if taken else name
    return names
