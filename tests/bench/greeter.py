"""From power-on to the greeter: a client of ours beside one of LTSP 23 with the same greeter, on the same emulated PC.

Once thin clients, and once with the desktop of our fat client in both.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from farm.config import VirtualConfig
from farm.errors import FarmError
from farm.home import Home
from farm.virtual.namespace import exec_prefix
from farm.virtual.qemu import machines, qmp_socket, service
from tests.bench.ltsp_server import desktop_packages, ltsp_root, ltsp_server
from tests.screen_colours import screen_colours

ROUNDS = 3
MEMORY = {"thin-client": 1024, "fat-client": 2048}
"""MB of the PC, by the image that it boots."""
COLOURS = 16
"""A console has no more; the greeter, with its smooth letters, has."""
PAUSE_SECONDS = 1.0
"""Between two looks at the screen, each of which costs the PC some of its time."""
MAX_SECONDS = 300.0
NAME = "virtual-1"


@dataclass(frozen=True)
class Greeter:
    """``seconds``: from the start of QEMU to the greeter on the screen; ``megabytes``: sent to the PC until then."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Measured:
    """Pairs that ran in turns; ``memory``: MB of RAM in use at our greeter, by what programs cannot have."""

    ours: list[Greeter]
    ltsp: list[Greeter]
    memory: float

    @property
    def ratio(self) -> float:
        """Our seconds by LTSP's, the median of the pairs."""
        return median(ours.seconds / ltsp.seconds for ours, ltsp in zip(self.ours, self.ltsp, strict=True))


def measure(image: str, rounds: int = ROUNDS) -> Measured:
    """Boot both in turns, with nothing else running on the two machines' computer by us."""
    root = ltsp_root(*(desktop_packages() if image == "fat-client" else ()))
    memory = MEMORY[image]
    with _folder() as folder:
        (folder / "farm.yaml").write_text(
            f"name: bench\nmtu: 1500\nvirtual: {{memory: {memory}}}\nnodes: {{image: {image}}}\n"
        )
        _farm(folder, "image", "build", image)
        pairs = [(boot_ours(folder), boot_ltsp(root, memory)) for _ in range(rounds)]
    used_there = median(megabytes for (_, megabytes), _ in pairs)
    return Measured([ours for (ours, _), _ in pairs], [ltsp for _, ltsp in pairs], used_there)


def boot_ours(folder: Path) -> tuple[Greeter, float]:
    """One client of the virtual lab in a folder; its greeter, and MB of RAM in use."""
    try:
        with subprocess.Popen(_farm_argv(folder, "up", "--virtual", "1"), stdout=subprocess.DEVNULL) as coming_up:
            greeter = _wait(Home.at(folder), "farm-bench", lambda: coming_up.poll() in (None, 0))
        return greeter, used(_farm(folder, "node", "ssh", NAME, "--", "cat /proc/meminfo"))
    finally:
        _farm(folder, "down")


def used(meminfo: str) -> float:
    """MB that programs can not have, by what proc(5) says of /proc/meminfo."""
    fields = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in meminfo.splitlines())}
    return (fields["MemTotal"] - fields["MemAvailable"]) * 1024 / 1e6


def boot_ltsp(root: Path, memory: int) -> Greeter:
    """One client of LTSP 23, by the same command of QEMU."""
    with _folder() as folder, ltsp_server(root) as namespace:
        home = Home.at(folder)
        home.create()
        (machine,) = machines(1, "virtio")
        argv = service(machine, 1, home, VirtualConfig(memory=memory), desk=True).argv
        process = subprocess.Popen([*exec_prefix(namespace.name), *argv], stdin=subprocess.DEVNULL)
        try:
            return _wait(home, namespace.name, lambda: process.poll() is None)
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="farm-bench-", dir="/var/tmp") as folder:
        yield Path(folder)


def _farm_argv(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "farm", "--home", str(folder), *words]


def _farm(folder: Path, *words: str) -> str:
    """What a command of the farm in that folder prints."""
    argv = _farm_argv(folder, *words)
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


def _wait(home: Home, namespace: str, alive: Callable[[], bool]) -> Greeter:
    """Look at the screen until the greeter is on it. Raises FarmError when that never comes."""
    socket = qmp_socket(home, NAME)
    end = time.time() + MAX_SECONDS
    while alive() and time.time() < end:
        # QEMU makes the socket when it starts.
        if socket.exists() and len(screen_colours(home, NAME)) > COLOURS:
            return Greeter(time.time() - socket.stat().st_ctime, _sent(namespace) / 1e6)
        time.sleep(PAUSE_SECONDS)
    raise FarmError(f"{NAME} shows no greeter.", f"Not within {MAX_SECONDS:.0f} s.", f"Look: {home.logs}")


def _sent(namespace: str) -> int:
    """Bytes that went to the PC, all headers included."""
    said = subprocess.run(
        ["ip", "-n", namespace, "-j", "-s", "link", "show", "tap1"], check=True, capture_output=True
    ).stdout
    return int(json.loads(said)[0]["stats64"]["tx"]["bytes"])
