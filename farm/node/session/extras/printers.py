"""Printers at the machine: its server prints on them, and a session's programs find the queue of the first one.

Each has a unit (farm-printer@) for as long as it is there: see `farm.node.session.printer_ports.printer_port`.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

from farm.node.files import read, write
from farm.node.printer_names import PrinterId, parse_id, queue_names
from farm.node.session.extras import Extra, RemoteFolder, on_server
from farm.node.session.lts_values import LtsValues, told_values
from farm.node.session.printer_ports.printer_settings import FIXED, Printer, configured, printer_at
from farm.node.session.session_kind import FAT, kind_of
from farm.node.session.session_settings import HOST

CUPS_CLIENT = "etc/cups/client.conf"
NODE = "/run/farm/node.json"
ESTABLISHED = "01"
"""State of a connection in /proc/net/tcp."""
LPSTAT_SECONDS = 5
QUEUE = re.compile("[!-~]{1,127}")


class Printers(Extra):
    """Prepared at boot; what is plugged in later is found by udev."""

    def prepare(self, lts: LtsValues, root: str) -> None:
        """Start the printers of lts.conf that udev cannot notice, and tell programs of this machine their CUPS."""
        if cups := cups_server(lts, root):
            write(os.path.join(root, CUPS_CLIENT), f"ServerName {cups}\n")
        fixed = [each.device.removeprefix("/dev/") for each in configured(lts) if FIXED.fullmatch(each.device)]
        if any(name.startswith("lp") for name in fixed):
            subprocess.run(["modprobe", "lp"], check=False)
        for name in fixed:
            subprocess.run(["systemctl", "--no-block", "start", f"farm-printer@{name}.service"], check=True)

    @contextlib.contextmanager
    def during(self, lts: LtsValues, folder: RemoteFolder) -> Iterator[dict[str, str]]:
        """The session's printer, unless its user chooses another: LDM_PRINTER_DEFAULT, or the first one here."""
        queue = lts.text("LDM_PRINTER_DEFAULT") or _own_queue(lts)
        yield {"PRINTER": queue} if QUEUE.fullmatch(queue) else {}

    def look(self) -> dict[str, object]:
        """``devices``: the printers that are here, and those of lts.conf that are not (``present``).

        Of each ``queue`` (its name on the farm's server), ``make``, ``model``, ``serial``, ``commands``, ``device``,
        ``port``, and whether somebody is ``printing``.
        """
        devices = _devices(told_values())
        return {"devices": devices} if devices else {}


EXTRA = Printers()


def cups_server(lts: LtsValues, root: str = "/") -> str:
    """Whose printers the programs of this machine see: CUPS_SERVER's, or on a fat client those of the farm's server."""
    named = lts.text("CUPS_SERVER").lower()
    if HOST.fullmatch(named):
        return named
    node = json.loads(read(os.path.join(root, NODE.lstrip("/"))) or "{}")
    return str(node.get("server", "")) if kind_of(lts, root) == FAT else ""


def environment(lts: LtsValues) -> dict[str, str]:
    """The printer of a session whose programs run here, unless its user chooses another."""
    own = (str(each["queue"]) for each in _devices(lts) if each["present"])
    queue = lts.text("LDM_PRINTER_DEFAULT") or next(own, "")
    return {"PRINTER": queue} if QUEUE.fullmatch(queue) else {}


def busy_ports(table: str) -> set[int]:
    """The ports of this machine to which somebody is connected, by the lines of /proc/net/tcp."""
    found = re.findall(rf"^ *\d+: [0-9A-F]+:([0-9A-F]{{4}}) [0-9A-F:]+ {ESTABLISHED} ", table, re.MULTILINE)
    return {int(port, 16) for port in found}


def _devices(lts: LtsValues) -> list[dict[str, Any]]:
    """What is told of each, by their ports."""
    printers = {printer.device: printer for printer in configured(lts)}
    for device in glob.glob("/dev/usb/lp*"):
        if printer := printer_at(device, lts):
            printers[device] = printer
    busy = busy_ports(read("/proc/net/tcp") + read("/proc/net/tcp6")) if printers else set()
    told = [_told(printer, busy) for printer in sorted(printers.values(), key=lambda each: each.port)]
    name = str(json.loads(read(NODE) or "{}").get("name", ""))
    queues = queue_names(name, [(each["device"], each["port"], each["model"]) for each in told if each["present"]])
    return [{"queue": queues.get(each["device"], ""), **each} for each in told]


def _told(printer: Printer, busy: set[int]) -> dict[str, Any]:
    present = os.path.exists(printer.device)
    identity = _identity(printer.device) if present else PrinterId()
    return {
        **identity._asdict(),
        "device": printer.device,
        "port": printer.port,
        "present": present,
        "printing": printer.port in busy,
    }


def _identity(device: str) -> PrinterId:
    """What the printer said of itself to the kernel when it was plugged in, or when its port was set up."""
    if device.startswith("/dev/usb/"):
        return parse_id(read(f"/sys/class/usbmisc/{os.path.basename(device)}/device/ieee1284_id"))
    port = device.removeprefix("/dev/lp")
    return parse_id(read(f"/proc/sys/dev/parport/parport{port}/autoprobe")) if port.isdecimal() else PrinterId()


def _own_queue(lts: LtsValues) -> str:
    """The queue of the first printer here, if the server has it; empty when it does not."""
    queue = next((str(each["queue"]) for each in _devices(lts) if each["present"]), "")
    try:
        if queue:
            on_server(f"LC_ALL=C timeout {LPSTAT_SECONDS} lpstat -v {shlex.quote(queue)}")
    except OSError:  # the server has no CUPS, or not this queue: another one than ours makes none
        return ""
    return queue
