"""CUPS on this server, by its own programs: at the socket that CUPS_SERVER in the environment names, or its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence

from farm import command
from farm.errors import CommandError, FarmError
from farm.serve.print_queues import RAW, ClientPrinter, Queue, best_driver, creation, mark

SOCKET = "/run/cups/cups.sock"
SECONDS = 60.0
"""For one command: looking for a driver reads the descriptions of thousands."""
NOTHING = "No destinations added"
"""What lpstat says when it fails because there is no queue."""
_PRINTER = re.compile(r"printer (\S+) (disabled|is|now)\b")
_DEVICE = re.compile(r"device for (\S+): (\S+)")
_JOB = re.compile(r"(\S+)-\d+\s")


def installed() -> bool:
    """Whether CUPS is on this computer."""
    return (
        shutil.which("lpadmin", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *command.SBIN])) is not None
    )


def why_absent() -> str:
    """Why nothing can be printed by CUPS from here, as a sentence; empty when it can."""
    if not installed():
        return "CUPS is not installed."
    path = os.environ.get("CUPS_SERVER", "")
    path = path if path.startswith("/") else SOCKET
    try:
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.settimeout(5)
            visitor.connect(path)
            pid, _, _ = struct.unpack("3i", visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError as error:
        return f"CUPS does not run: {path}: {error.strerror or error}."
    return "" if _here(pid) else "CUPS runs in another network than this farm's nodes."


def _here(pid: int) -> bool:
    """Whether a process is in our network namespace: the virtual lab's machines cannot be reached from outside it."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/thread-self/ns/net")
    except OSError:  # it ended, or is not to be seen from a container
        return True


def queues() -> list[Queue]:
    """All that there are, ours and those of others. Raises FarmError."""
    return parse("\n".join(_listed(words) for words in (("lpstat", "-l", "-p"), ("lpstat", "-v"), ("lpstat", "-o"))))


def is_shared(queue: str) -> bool:
    """Whether other computers may print on it, where CUPS listens to them."""
    return "printer-is-shared=true" in _run(["lpoptions", "-p", queue]).stdout.split()


def parse(text: str) -> list[Queue]:
    """What lpstat says in English: of each queue, of their devices, and of the jobs that wait."""
    found: dict[str, dict[str, object]] = {}
    name, disabled = "", False
    for line in text.splitlines():
        if match := _PRINTER.match(line):
            name, disabled = match[1], match[2] == "disabled"
            found[name] = {"enabled": not disabled}
        elif disabled and line.startswith("\t"):
            found[name]["reason"], disabled = line.strip(), False
        elif name in found and line.startswith("\tLocation: "):
            found[name]["location"] = line.partition(": ")[2].strip()
        elif (match := _DEVICE.match(line)) and match[1] in found:
            found[match[1]]["uri"] = match[2]
    jobs = [match[1] for line in text.splitlines() if (match := _JOB.match(line))]
    return [
        Queue(
            name,
            uri=str(said.get("uri", "")),
            location=str(said.get("location", "")),
            enabled=bool(said["enabled"]),
            reason=str(said.get("reason", "")),
            jobs=jobs.count(name),
        )
        for name, said in found.items()
    ]


def make(farm: str, printer: ClientPrinter) -> None:
    """Make a queue, with the driver for its model if CUPS has one. Raises FarmError."""
    device_id = printer.device_id
    listed = _run(["lpinfo", "--device-id", device_id, "-m"]).stdout if device_id else ""
    model = best_driver(listed, printer)
    try:
        carry_out(creation(farm, printer, model))
    except FarmError:
        if model == RAW:
            raise
        carry_out(creation(farm, printer, RAW))


def remove_queues(farm: str) -> list[str]:
    """Remove those that a farm of this name has made; the names of those in which jobs wait, which stay."""
    ours = [] if why_absent() else [each for each in queues() if each.location.endswith(mark(farm))]
    for queue in ours:
        if not queue.jobs:
            carry_out(["lpadmin", "-x", queue.name])
    return [queue.name for queue in ours if queue.jobs]


def carry_out(words: Sequence[str]) -> None:
    """Run a command of CUPS. Raises FarmError."""
    command.run(words, timeout=SECONDS, env={"LC_ALL": "C"})


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return command.run(words, timeout=SECONDS, check=False, env={"LC_ALL": "C"})


def _listed(words: Sequence[str]) -> str:
    """What lpstat lists. Raises FarmError: where it fails, there may be queues all the same."""
    done = _run(words)
    if done.returncode and NOTHING not in done.stdout:
        raise CommandError([*words], done.returncode, done.stdout)
    return done.stdout
