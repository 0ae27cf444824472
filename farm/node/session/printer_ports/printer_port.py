"""A printer at this machine, at a TCP port that only the servers reach: started for each by its unit (or by a test).

    printer_port usb/lp0

What prints then is p910nd, as a user that has nothing but the group of the printer's device.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from typing import NoReturn

from farm.node.contract import SettingsError
from farm.node.files import read, write
from farm.node.session.lts_values import LtsValues, told_values
from farm.node.session.port_filter import close_ports
from farm.node.session.printer_ports.printer_settings import FIRST_PORT, PORTS, Printer, printer_at
from farm.node.session.session_settings import HOST, read_session

USER = "farm-printer"
NODE = "/run/farm/node.json"
TABLE = "farm_printers"


def main(argv: list[str]) -> int:
    """Become p910nd for the device (its path below /dev); returns an exit code when that cannot be."""
    device = f"/dev/{argv[0]}"
    if not read(NODE):
        sys.stderr.write("farm-node: this machine has no settings yet, so nobody may print\n")
        return os.EX_TEMPFAIL
    lts = told_values()
    printer = printer_at(device, lts)
    if printer is None:
        sys.stderr.write(f"farm-node: nothing prints at {device}: it is no printer's device, or no port is left\n")
        return os.EX_CONFIG
    # First: there is no moment at which others could print.
    close_ports(TABLE, f"{FIRST_PORT}-{FIRST_PORT + PORTS - 1}", servers(lts))
    if printer.line:
        subprocess.run(["stty", "-F", device, *printer.line], check=False)  # a speed that there is not is said there
    return _become(printer)


def _become(printer: Printer) -> NoReturn:
    """Become p910nd, without root's rights; what it writes is its user's."""
    user = pwd.getpwnam(USER)
    mark = f"/run/p{printer.port}d.pid"
    write(mark, "")
    os.chown(mark, user.pw_uid, user.pw_gid)
    group = os.stat(printer.device).st_gid
    os.setgroups([group] if group else [])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    words = p910nd(printer)
    os.execv(words[0], words)


def p910nd(printer: Printer) -> list[str]:
    """Its command line: in the foreground, and its log to standard output."""
    answers = ["-b"] if printer.answers else []
    return ["/usr/sbin/p910nd", "-d", *answers, "-f", printer.device, str(printer.port - FIRST_PORT)]


def servers(lts: LtsValues) -> Iterator[str]:
    """The hosts that may print: those that the machine logs in to, those that it booted from, and CUPS_SERVER."""
    try:
        yield from (server.host for server in read_session().servers)
    except SettingsError as error:
        sys.stderr.write(f"farm-node: {error}\n")
    node = json.loads(read(NODE) or "{}")
    yield from filter(None, (node.get("server"), node.get("other")))
    cups = lts.text("CUPS_SERVER").lower()
    if HOST.fullmatch(cups):
        yield cups


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
