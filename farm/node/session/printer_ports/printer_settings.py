"""How the printers of a machine are reached: by PRINTER_n_… of lts.conf, or as they were plugged in. Pure functions.

The meaning of the variables is that of LTSP 5 (start_printers in its ltsp-init-common).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from farm.node.lts.parts import folded
from farm.node.ports import TELEMETRY_PORT
from farm.node.session.lts_values import LtsValues

FIRST_PORT = 9100
PORTS = TELEMETRY_PORT - FIRST_PORT
"""p910nd could have ten; the sixth is the agent's."""
USB = re.compile("/dev/usb/lp([0-9]{1,2})")
_DEVICE = re.compile("/dev/(usb/lp[0-9]{1,2}|lp[0-9]|tty(S|USB|ACM)[0-9]{1,2})")
"""What can be a printer: nothing else is ever opened, whatever lts.conf says."""
FIXED = re.compile("/dev/(lp|ttyS)[0-9]{1,2}")
"""At ports of the machine itself: nothing tells when a printer is plugged in there."""
_OLD_USB = re.compile("/dev/usblp([0-9]{1,2})")


@dataclass(frozen=True)
class Printer:
    """A printer's device, and the TCP port at which it prints."""

    device: str
    port: int
    answers: bool = False
    """What the printer says is passed on as well."""
    line: tuple[str, ...] = ()
    """How a serial line is set, as words for stty(1); empty for other printers."""


def configured(lts: LtsValues) -> list[Printer]:
    """Those of lts.conf; of two with one device or port the first."""
    found: list[Printer] = []
    for number, written in lts.numbered("PRINTER_#_DEVICE").items():
        device = _OLD_USB.sub(r"/dev/usb/lp\1", written)
        if not _DEVICE.fullmatch(device) or number >= PORTS:
            continue
        key = f"PRINTER_{number}"
        port = lts.number(f"{key}_PORT", FIRST_PORT, FIRST_PORT + PORTS - 1, FIRST_PORT + number)
        if all(device != other.device and port != other.port for other in found):
            # PRINTER_n_TYPE says what the device's name says as well.
            answers = bool(USB.fullmatch(device)) and not lts.is_on(f"{key}_WRITE_ONLY")
            found.append(Printer(device, port, answers, _line(lts, key) if device.startswith("/dev/tty") else ()))
    return found


def printer_at(device: str, lts: LtsValues) -> Printer | None:
    """How the printer at a device is reached; None when it is none, or there is no port left for it.

    A USB printer that lts.conf does not name gets one of the ports that are free, always the same for its device.
    """
    known = configured(lts)
    for printer in known:
        if printer.device == device:
            return printer
    plugged = USB.fullmatch(device)
    taken = {printer.port for printer in known}
    free = [port for port in range(FIRST_PORT, FIRST_PORT + PORTS) if port not in taken]
    number = int(plugged[1]) if plugged else len(free)
    return Printer(device, free[number], answers=True) if number < len(free) else None


def _line(lts: LtsValues, key: str) -> tuple[str, ...]:
    speed = lts.number(f"{key}_SPEED", 50, 4_000_000, 9600)
    bits = lts.number(f"{key}_DATABITS", 5, 8, 8)
    parity = {"e": ("parenb", "-parodd"), "o": ("parenb", "parodd")}
    soft = folded(lts.text(f"{key}_FLOWCTRL", "soft")) in ("", "s", "soft", "xonxoff")
    flow = ("ixon", "ixoff", "-crtscts") if soft else ("-ixon", "-ixoff", "crtscts")
    chosen = parity.get(folded(lts.text(f"{key}_PARITY"))[:1], ("-parenb",))
    return ("raw", "-echo", "-hupcl", "clocal", str(speed), f"cs{bits}", "-cstopb", *chosen, *flow)
