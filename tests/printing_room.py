"""A thin client with a printer and its server with CUPS: real p910nd, real cupsd, and a program that is a printer."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.diskless import Diskless
from tests.lab import until
from tests.login_room import CLIENT, SERVER, LoginRoom, login_room

USB = "/dev/usb/lp0"
PAPER = "/tmp/paper"
PRINTER = """
import os, shutil, sys, tty
master, slave = os.openpty()
tty.setraw(slave)
name, device = os.ttyname(slave), sys.argv[1]
shutil.chown(name, "root", "lp")
os.chmod(name, 0o660)
os.symlink(name, device)
with open(sys.argv[2], "ab", buffering=0) as paper:
    while True:
        paper.write(os.read(master, 65536))
"""
"""A terminal is what comes nearest to a printer's device: it takes what it is given, and can be read."""
DEVICES = """
set -eu
mkdir -p /run/dev/upper /run/dev/work
mount -t overlay overlay -o lowerdir=/dev,upperdir=/run/dev/upper,workdir=/run/dev/work /dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts
rm -f /dev/ptmx
ln -s pts/ptmx /dev/ptmx
mkdir -p /dev/usb
systemd-sysusers /usr/lib/sysusers.d/farm-printer.conf
systemd-tmpfiles --create /usr/lib/tmpfiles.d/farm-printer.conf
"""
"""The machine's devices are its own: what is plugged in there is nowhere else. The rest its image has, and its boot."""
UNIT = Path(__file__).parents[1] / "images/session/root/etc/systemd/system/farm-printer@.service"
LOOK = "import json; from farm.node.session.extras.printers import EXTRA; print(json.dumps(EXTRA.look()))"


@dataclass
class PrintingRoom:
    """Client, server with CUPS, and another machine of the network."""

    logins: LoginRoom
    _running: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)

    @property
    def client(self) -> Diskless:
        """The machine with the printers."""
        return self.logins.client.machine

    @property
    def server(self) -> Diskless:
        """The machine with CUPS."""
        return self.logins.server.machine

    def configure(self, **values: str) -> None:
        """Have these values of lts.conf hold for the client."""
        self.client.write("/etc/farm/lts.json", json.dumps(values))

    def plug_in(self, device: str = USB) -> None:
        """Plug in a printer, and start what its unit starts."""
        printer = self.client.start("printer", "/usr/bin/python3", "-I", "-c", PRINTER, device, PAPER)
        until(lambda: self.client.run("test", "-e", device, check=False).returncode == 0, "there is no printer")
        self._running[device] = [printer]
        self.start_port(device)

    def start_port(self, device: str = USB) -> None:
        """Start what a printer's unit starts."""
        lines = UNIT.read_text().splitlines()
        command = next(line.partition("=")[2] for line in lines if line.startswith("ExecStart="))
        argv = command.replace("%I", device.removeprefix("/dev/")).split()
        self._running.setdefault(device, []).append(self.client.start("port", *argv))

    def unplug(self, device: str = USB) -> None:
        """Pull the printer's plug; its unit ends with it."""
        for process in self._running.pop(device):
            process.kill()
            process.wait()
        self.client.run("pkill", "-f", device, check=False)
        self.client.run("rm", "-f", device)

    def look(self) -> list[dict[str, Any]]:
        """What the client tells of its printers."""
        told = json.loads(self.client.run("/usr/bin/python3", "-I", "-c", LOOK).stdout)
        devices: list[dict[str, Any]] = told.get("devices", [])
        return devices

    def listens(self) -> list[int]:
        """The ports of printers at which something listens."""
        lines = self.client.run("ss", "-H", "-l", "-t", "-n").stdout.splitlines()
        ports = [int(line.split()[3].rpartition(":")[2]) for line in lines]
        return sorted({port for port in ports if 9100 <= port <= 9104})

    def paper(self) -> bytes:
        """What has been printed."""
        path = self.client.path(PAPER)
        return path.read_bytes() if path.exists() else b""

    def clear_paper(self) -> None:
        """Take the paper out of the printer."""
        self.client.run("truncate", "--size=0", PAPER, check=False)

    def start_cups(self) -> None:
        """Start CUPS as Debian has it."""
        self.server.start("cupsd", "/usr/sbin/cupsd", "-f")
        until(lambda: self.server.path("/run/cups/cups.sock").exists(), "CUPS does not start")

    @property
    def cups_socket(self) -> str:
        """Where CUPS is, as seen from outside."""
        return str(self.server.path("/run/cups/cups.sock"))

    def on_server(self, *argv: str, **options: Any) -> str:
        """What a program prints on the server."""
        return self.server.run("env", "LC_ALL=C", *argv, **options).stdout


@contextlib.contextmanager
def printing_room() -> Iterator[PrintingRoom]:
    """A room without printers, whose server runs CUPS."""
    with login_room() as logins:
        room = PrintingRoom(logins)
        room.client.run("sh", "-c", DEVICES)
        room.client.write("/run/farm/node.json", json.dumps({"name": "pc01", "address": CLIENT, "server": SERVER}))
        room.start_cups()
        yield room
