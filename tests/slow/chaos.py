"""What the chaos suite does to a lab, and the build that runs meanwhile.

A fault is a context manager: what it does before it yields breaks the lab; what it does afterwards is what no command
of ours can do (a cable that is put back, room on a disk). Then `farm up` must heal the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Lab, environment

NODES = ["virtual-1", "virtual-2"]
FILES = 12
SECONDS_TO_NAME = 15.0
"""Within which `farm status` must say what is wrong."""

Status = dict[str, Any]
Fault = Callable[[Lab], AbstractContextManager[None]]


@dataclass(frozen=True)
class Kind:
    """A way to break a lab. ``named``: whether a status says so, or that it has healed by itself since ``before``."""

    name: str
    strike: Fault
    named: Callable[[Status, Status], bool]


class Build:
    """Files that are compiled again and again by `farm run`, until it is told to stop."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.folder, self.stop = folder, folder / "stop"
        folder.mkdir()
        names = [f"part{number}" for number in range(FILES)]
        for number, name in enumerate(names):
            (folder / f"{name}.c").write_text(f"#include <stdio.h>\nint {name}(int x) {{ return x * {number}; }}\n")
        objects = " ".join(f"{name}.o" for name in names)
        (folder / "Makefile").write_text(f"all: {objects}\n")
        subprocess.run(["make", "-s", "-C", folder, "CC=gcc", "CFLAGS=-O2", "-j2"], check=True)
        self.expected = self._digests()
        loop = f"until test -e {self.stop}; do make -s -B -C {folder} CFLAGS=-O2 -j4 || exit 1; done"
        argv = lab.argv("run", "--json", folder / "run.json", "--", "sh", "-c", loop)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv, env=environment(lab.home), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _digests(self) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.folder.glob("*.o")}

    def end(self) -> tuple[int, int]:
        """Let it come to its end; returns objects lost and objects wrong."""
        self.stop.touch()
        try:
            code = self.process.wait(timeout=240)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = -1
        found = self._digests()
        lost = len(self.expected.keys() - found.keys())
        wrong = sum(found[name] != digest for name, digest in self.expected.items() if name in found)
        if code:
            lost = max(lost, 1)
        return lost, wrong


def problem(*words: str) -> Callable[[Status, Status], bool]:
    """Named when a sentence of the problems holds one of the words."""
    return lambda _, now: any(word in sentence for sentence in now["problems"] for word in words)


def named_or_restarted(service: str) -> Callable[[Status, Status], bool]:
    """Named, or already running again as another process."""

    def pid(status: Status) -> int:
        return next((s["pid"] for s in status["services"] if s["name"].startswith(service) and s["up"]), 0)

    return lambda before, now: problem(service)(before, now) or pid(now) not in (0, pid(before))


def absent(node: str) -> Callable[[Status, Status], bool]:
    """Named, or shown as no longer ready."""

    def stage(status: Status) -> str:
        return next(str(n["stage"]) for n in status["nodes"] if n["name"] == node)

    return lambda before, now: problem(node)(before, now) or stage(now) != "ready"


def _service(lab: Lab, prefix: str) -> dict[str, Any]:
    return next(service for name, service in lab.services().items() if name.startswith(prefix))


def killed(service: str) -> Kind:
    """Its process ends by SIGKILL."""

    @contextlib.contextmanager
    def strike(lab: Lab) -> Iterator[None]:
        os.kill(_service(lab, service)["pid"], signal.SIGKILL)
        yield

    return Kind(f"{service} killed", strike, named_or_restarted(service))


def stopped(service: str) -> Kind:
    """Its process stands still; `farm up` replaces it."""

    @contextlib.contextmanager
    def strike(lab: Lab) -> Iterator[None]:
        os.kill(_service(lab, service)["pid"], signal.SIGSTOP)
        yield

    return Kind(f"{service} stopped", strike, problem(service, "not answer", "The state of the nodes is not known"))


def removed(what: str, *words: str) -> Kind:
    """A file or folder in the runtime folder is gone."""

    @contextlib.contextmanager
    def strike(lab: Lab) -> Iterator[None]:
        path = lab.home / "run" / what
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        yield

    return Kind(f"run/{what} removed", strike, problem(*words))


@contextlib.contextmanager
def supervisord_killed(lab: Lab) -> Iterator[None]:
    """All services go on as orphans."""
    os.kill(int((lab.home / "run/supervisord.pid").read_text()), signal.SIGKILL)
    yield


@contextlib.contextmanager
def filters_flushed(lab: Lab) -> Iterator[None]:
    """Somebody types `nft flush ruleset`."""
    _inside(lab, "nft", "flush", "ruleset")
    yield


@contextlib.contextmanager
def bridge_removed(lab: Lab) -> Iterator[None]:
    """The lab's network is gone; taps stay, without it."""
    _inside(lab, "ip", "link", "delete", "farm0")
    yield


@contextlib.contextmanager
def cable_out(lab: Lab) -> Iterator[None]:
    """A node's network is cut, and comes back."""
    _inside(lab, "ip", "link", "set", "tap1", "down")
    yield
    _inside(lab, "ip", "link", "set", "tap1", "up")


@contextlib.contextmanager
def reset(lab: Lab) -> Iterator[None]:
    """Somebody presses the reset button."""
    with socket.socket(socket.AF_UNIX) as qmp:
        qmp.connect(str(lab.home / "run/machines/virtual-1.qmp"))
        with qmp.makefile("rw") as stream:
            stream.readline()
            for command in ("qmp_capabilities", "system_reset"):
                stream.write(json.dumps({"execute": command}))
                stream.flush()
                stream.readline()
    yield


@contextlib.contextmanager
def node_full(lab: Lab) -> Iterator[None]:
    """What the node may write to is full: its RAM."""
    lab.farm("node", "ssh", NODES[0], "--", "dd if=/dev/zero of=/var/tmp/fill bs=1M 2>/dev/null; true")
    yield
    lab.farm("node", "ssh", NODES[0], "--", "rm /var/tmp/fill")


@contextlib.contextmanager
def disk_full(lab: Lab) -> Iterator[None]:
    """The server's disk has no room: logs, history and state cannot be written."""
    fill = lab.home / "fill"
    with fill.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    yield
    fill.unlink()


def _inside(lab: Lab, *argv: str) -> None:
    subprocess.run(["ip", "netns", "exec", lab.namespace, *argv], check=True)


SERVICES = ("scheduler", "farmd", "nginx", "dnsmasq", "aoe", "iceccd")
KINDS = [
    *map(killed, SERVICES),
    *map(stopped, SERVICES),
    removed("farmd.sock", "farmd", "The state of the nodes is not known"),
    removed("icecc/iceccd.socket", "iceccd"),
    removed("supervisor.sock", "services"),
    removed("running.json", "running.json"),
    removed("http", "nginx", "dnsmasq", "boot"),
    Kind("supervisord killed", supervisord_killed, problem("services")),
    Kind("filters flushed", filters_flushed, problem("filter", "nft", "firewall")),
    Kind("bridge removed", bridge_removed, problem("farm0", "interface", "network", "not answer", "does not answer")),
    Kind("node's cable out", cable_out, absent(NODES[0])),
    Kind("node reset", reset, absent(NODES[0])),
    Kind("node's RAM full", node_full, problem(NODES[0])),
    Kind("server's disk full", disk_full, problem("disk", "full", "space")),
]


def wait_until_named(lab: Lab, kind: Kind, before: Status) -> float | None:
    """Seconds until `farm status` named the fault; None when it did not in time."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < SECONDS_TO_NAME:
        status = lab.farm("status", "--json", check=False)
        waited = time.monotonic() - began
        if not status.stdout.startswith("{"):
            named = status.returncode == 1 and "is not up" in status.stderr
        else:
            named = kind.named(before, json.loads(status.stdout))
        if named:
            return round(waited, 1)
        time.sleep(0.3)
    return None
