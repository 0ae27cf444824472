"""What watching costs: farmd and the dashboard beside icecream-sundae, on one simulated farm at one time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from farm.config import Config, Scheduler
from farm.daemon.client import fetch_status
from farm.errors import FarmError
from farm.home import Home
from farm.running import Running
from farm.simulate.namespace import allow_many_connections
from farm.view.status import Status
from farm.virtual.namespace import exec_prefix, inside
from tests.bench.terminal import Terminal
from tests.lab import NETNAME, Namespace, namespaces, until

FARM = [sys.executable, "-m", "farm"]
SETTLE_SECONDS = 12.0
SECONDS = 20.0
KEYS = 10
HELP, OVERVIEW = "Keys: everywhere", "efficiency"
START_PATIENCE = 120.0
SERVER = "10.99.33.1"


@dataclass(frozen=True)
class Cost:
    """Shares of one core, as means over SECONDS; ``keys``: seconds until a key press was answered, each."""

    sundae: float
    farmd: float
    farmd_watched: float
    """The same with a dashboard attached."""
    top: float
    """The dashboard on the scheduler itself, decoding included."""
    top_farmd: float
    """The dashboard attached to farmd."""
    keys: list[float]
    rate: float
    """Jobs a second that ended."""
    scheduler: float


@dataclass(frozen=True)
class Load:
    """Counts of a simulator and of farmd, which watched it; farmd's megabytes in the end."""

    simulated: dict[str, int]
    seen: dict[str, int]
    rate: float
    megabytes: float


class Simulated:
    """A simulated farm at the lab's scheduler; it works for so many seconds, or until it is closed."""

    def __init__(self, lab: Namespace, nodes: int, jobs: int, seconds: float | None) -> None:
        options = ["--nodes", str(nodes), "--jobs", str(jobs), "--idle", "0", "--json"]
        argv = [*FARM, "simulate", *options, "--scheduler", SERVER, "--network", "127.78.0.0/16"]
        argv += [] if seconds is None else ["--duration", str(seconds)]
        self._process = subprocess.Popen(
            [*exec_prefix(lab.name), *argv], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def counts(self) -> dict[str, int]:
        """Wait for the jobs in flight at its end; what it has counted."""
        said, _ = self._process.communicate(timeout=240)
        jobs: dict[str, int] = json.loads(said)["jobs"]
        return jobs

    def close(self) -> None:
        """End it, in whatever state it is."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=180)


@contextlib.contextmanager
def simulated(
    folder: Path, nodes: int, jobs: int, seconds: float | None = None
) -> Iterator[tuple[Namespace, Simulated, Home, psutil.Process]]:
    """A farm in a namespace with a real scheduler, and a farmd that watches it from before the first job."""
    allow_many_connections()
    with namespaces(f"{SERVER}/16") as (lab,):
        lab.scheduler()
        with farmd(lab, folder) as (home, daemon):
            until(lambda: (status := known(home)) and status.scheduler.up, "farmd does not see the scheduler")
            farm = Simulated(lab, nodes, jobs, seconds)
            try:
                wait_for_nodes(home, nodes)
                yield lab, farm, home, daemon
            finally:
                farm.close()


@contextlib.contextmanager
def farmd(lab: Namespace, folder: Path) -> Iterator[tuple[Home, psutil.Process]]:
    """A farmd that watches the lab's scheduler; it has no nodes of its own to look after."""
    home = Home.at(folder)
    home.create()
    config = Config(name="bench", address=f"{SERVER}/16", scheduler=Scheduler(netname=NETNAME))
    Running(config=config, interface=lab.interface, image="", started=time.time()).save(home)
    argv = [*exec_prefix(lab.name), sys.executable, "-m", "farm.daemon", "--home", str(folder)]
    with (folder / "farmd.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield home, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def known(home: Home) -> Status | None:
    """What farmd knows, if it answers."""
    try:
        return fetch_status(home)
    except FarmError:
        return None


def wait_for_nodes(home: Home, nodes: int) -> None:
    """Until farmd knows that many daemons with slots."""

    def logged_in() -> int:
        return sum(host.slots > 0 for host in fetch_status(home).hosts)

    until(lambda: logged_in() >= nodes, "not all nodes are known to farmd", START_PATIENCE)


def measure(folder: Path, *, nodes: int = 200, jobs: int = 400) -> Cost:
    """All viewers at once on one scheduler; first farmd alone."""
    with simulated(folder, nodes, jobs) as (lab, _, home, daemon):
        time.sleep(SETTLE_SECONDS)
        scheduler = next(
            process
            for process in psutil.process_iter(["name"])
            if process.info["name"] == "icecc-scheduler" and inside(lab.name, process.pid)
        )
        before = sum(daemon.cpu_times()[:2])
        time.sleep(SECONDS)
        alone = (sum(daemon.cpu_times()[:2]) - before) / SECONDS
        with contextlib.ExitStack() as stack:

            def open_terminal(*argv: str) -> Terminal:
                terminal = Terminal([*exec_prefix(lab.name), *argv])
                stack.callback(terminal.close)
                return terminal

            sundae = open_terminal("icecream-sundae", "-s", SERVER)
            top = open_terminal(*FARM, "top", "--scheduler", SERVER)
            attached = open_terminal(*FARM, "--home", str(folder), "top")
            time.sleep(SETTLE_SECONDS)
            readings = [
                lambda: sum(daemon.cpu_times()[:2]),
                lambda: sum(scheduler.cpu_times()[:2]),
                sundae.cpu,
                top.cpu,
                attached.cpu,
            ]
            first, done = [read() for read in readings], _ended(home)
            time.sleep(SECONDS)
            shares = [(read() - start) / SECONDS for read, start in zip(readings, first, strict=True)]
            rate = (_ended(home) - done) / SECONDS
            keys = []
            for _ in range(KEYS):
                keys.append(attached.answer(b"?", HELP))
                attached.answer(b"\x1b", OVERVIEW)
                time.sleep(0.7)  # not in step with the refresh
        return Cost(shares[2], alone, shares[0], shares[3], shares[4], keys, rate, shares[1])


def _ended(home: Home) -> int:
    totals = fetch_status(home).totals
    return totals.done + totals.failed + totals.local


def measure_load(folder: Path, *, nodes: int = 500, jobs: int = 1000, seconds: float = 30.0) -> Load:
    """Whether farmd misses anything of what a simulator does."""
    with simulated(folder, nodes, jobs, seconds) as (_, farm, home, daemon):
        before = _ended(home)
        time.sleep(seconds / 2)
        rate = (_ended(home) - before) / (seconds / 2)
        counts = farm.counts()
        time.sleep(2)
        totals = fetch_status(home).totals
        megabytes = daemon.memory_info().rss / 1e6
    seen = {
        "requested": totals.requested,
        "begun": totals.begun,
        "ended": totals.done + totals.failed,
        "local begun": totals.local_begun,
        "local ended": totals.local,
    }
    expected = {
        "requested": counts["requested"],
        "begun": counts["begun"],
        "ended": counts["done"],
        "local begun": counts["local"],
        "local ended": counts["local_done"],
    }
    return Load(expected, seen, rate, megabytes)


def measure_hour(folder: Path) -> dict[str, float]:
    """An hour's jobs, replayed in a process of their own."""
    argv = [sys.executable, "-m", "tests.bench.hour", str(folder)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    result: dict[str, float] = json.loads(said)
    return result
