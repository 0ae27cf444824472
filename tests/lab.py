"""Network namespaces with real daemons in them, for integration tests (which run as root)."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from farm.errors import FarmError
from farm.scheduler.connection import poke
from farm.scheduler.control import list_nodes
from farm.virtual.namespace import BIND_AND_RUN, exec_prefix, namespace_path

T = TypeVar("T")
NETNAME = "icecream-test"
PATIENCE = 120.0
"""Seconds; a limit is there to end a broken test, not to measure: it is far beyond what a busy machine needs."""
CLONE_NEWNET = 0x40000000
AS_NOBODY = [
    "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
]  # fmt: skip
"""Runs a program as a user without any right, but for reading: the checkout may lie in a folder of root's alone."""
LEFT_ALONE = 'mount --bind "$0" /proc/stat && exec "$@"'
"""Lets a daemon see this machine as it was at a moment, and so idle for ever: else other tests' work on the same
processors would now and then make it report load 1000, at which it gets no job."""

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace with one interface; what is started in it ends with it."""

    def __init__(self, folder: Path, address: str, interface: str) -> None:
        self.name = f"ft-{os.getpid()}-{next(_numbers)}"
        self.folder = folder / self.name
        """For its daemons; everyone may pass through it, unlike pytest's tmp_path."""
        self.folder.mkdir()
        self.address = address.split("/")[0]
        self.interface = interface
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def as_server(self) -> list[str]:
        """Goes before a command of a farm with a real interface: /run/icecc is this server's own, as on a machine."""
        return [*exec_prefix(self.name), "sh", "-c", BIND_AND_RUN, str(self.folder / "server-icecc")]

    def run(self, *argv: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end."""
        full = [*exec_prefix(self.name), *argv]
        return subprocess.run(full, check=check, text=True, capture_output=True, timeout=PATIENCE, **options)

    def start(self, name: str, *argv: str, icecc_folder: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a program inside, its output in ``folder/NAME.log``, /run/icecc its own."""
        icecc = icecc_folder or self.folder / f"{name}-icecc"
        full = [*exec_prefix(self.name), "sh", "-c", BIND_AND_RUN, str(icecc), *argv]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(full, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def log(self, name: str) -> str:
        """What the program of that name has said so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End a program started inside."""
        self._processes.remove(process)
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in a thread that lives inside."""

        def inside() -> T:
            with namespace_path(self.name).open() as handle:
                if _libc.setns(handle.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return function()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(inside).result()

    def gather(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end inside."""
        return self.call(lambda: asyncio.run(coroutine))

    def scheduler(self, port: int = 8765) -> subprocess.Popen[bytes]:
        """Start icecc-scheduler and wait until it listens."""
        process = self.start(
            f"scheduler-{port}", "icecc-scheduler", "-n", NETNAME, "-p", str(port), "-i", self.interface, "-r", "-vvv"
        )
        self.wait_for(port)
        return process

    def iceccd(
        self, name: str, scheduler: str, *options: str, icecc_folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start iceccd and wait until the scheduler at that address has it; it gets jobs some 3 s later."""
        process = self.iceccd_behind_a_filter(name, scheduler, *options, icecc_folder=icecc_folder)

        def listed() -> bool:
            with contextlib.suppress(FarmError):
                return name in [node.name for node in self.gather(list_nodes(scheduler, 8765))]
            return False

        until(listed, f"{name} is not logged in")
        return process

    def iceccd_behind_a_filter(
        self, name: str, scheduler: str, *options: str, icecc_folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start iceccd and wait until it is connected; the scheduler's control port cannot be reached from here."""
        environments = self.folder / f"{name}-envs"
        environments.mkdir(exist_ok=True)
        shutil.chown(environments, "icecc", "icecc")
        icecc_folder = icecc_folder or self.folder / f"{name}-icecc"
        idle = self.folder / f"{name}-stat"
        idle.write_bytes(Path("/proc/stat").read_bytes())
        argv = ["iceccd", "-n", NETNAME, "-s", scheduler, "-N", name, "-b", str(environments), "-u", "icecc", "-vvv"]
        before = self._log_ins(name)
        process = self.start(name, "sh", "-c", LEFT_ALONE, str(idle), *argv, *options, icecc_folder=icecc_folder)

        def connected() -> bool:
            # iceccd looks for its scheduler every 3 s, or sooner when someone talks to it.
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as visitor:
                visitor.connect(str(icecc_folder / "iceccd.socket"))
            self.gather(poke(scheduler, 8765))
            return self._log_ins(name) > before

        until(connected, f"{name} does not log in")
        return process

    def _log_ins(self, name: str) -> int:
        """How often iceccd has said that it is connected; the scheduler has yet to read what it then sends."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace").count("Connected to scheduler") if path.exists() else 0

    def wait_for(self, port: int) -> None:
        """Wait until something listens on a TCP port of this namespace's address."""

        def attempt() -> bool:
            with contextlib.suppress(OSError), socket.create_connection((self.address, port), timeout=5):
                return True
            return False

        until(lambda: self.call(attempt), f"nothing listens on {self.address}:{port}")

    def close(self) -> None:
        """End everything in it and remove it."""
        for process in reversed(self._processes[:]):
            self.stop(process)
        subprocess.run(["ip", "netns", "delete", self.name], check=True)


def until(condition: Callable[[], object], complaint: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(complaint)
        time.sleep(0.1)


@contextlib.contextmanager
def namespaces(*addresses: str, interface: str = "lab0") -> Iterator[list[Namespace]]:
    """Namespaces, each with an address (``A/24``): two are joined by a veth pair, more by a bridge in the first one."""
    with tempfile.TemporaryDirectory(prefix="farm-test-") as folder, contextlib.ExitStack() as stack:
        os.chmod(folder, 0o755)
        found = []
        for address in addresses:
            namespace = Namespace(Path(folder), address, interface)
            _ip("netns", "add", namespace.name)
            stack.callback(namespace.close)
            found.append(namespace)
        first = ["-n", found[0].name, "link"]
        if len(found) == 2:
            _ip(*first, "add", interface, "type", "veth", "peer", "name", interface, "netns", found[1].name)
        else:
            _ip(*first, "add", interface, "type", "bridge")
            for number, other in enumerate(found[1:]):
                port = f"port{number}"
                _ip(*first, "add", port, "type", "veth", "peer", "name", interface, "netns", other.name)
                _ip(*first, "set", port, "master", interface, "up")
        for namespace, address in zip(found, addresses, strict=True):
            here = ["-n", namespace.name]
            _ip(*here, "address", "add", address, "brd", "+", "dev", interface)
            _ip(*here, "link", "set", "lo", "up")
            _ip(*here, "link", "set", interface, "up")
        if len(found) > 1:
            until(lambda: all(carries(namespace.name, interface) for namespace in found), "a link does not come up")
        yield found


def carries(namespace: str, interface: str) -> bool:
    """Whether frames get through: what is sent before the kernel has seen both ends up is lost."""
    said = subprocess.run(["ip", "-n", namespace, "-j", "link", "show", interface], check=True, capture_output=True)
    return bool(json.loads(said.stdout)[0]["operstate"] == "UP")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
