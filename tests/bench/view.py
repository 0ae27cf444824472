"""What watching costs: farmd and the dashboard beside icecream-sundae, on one simulated farm at one time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from farm.config import Config
from farm.daemon.client import fetch_status
from farm.errors import FarmError
from farm.home import Home
from farm.running import Running
from farm.simulate.namespace import SCHEDULER
from farm.view.status import Status
from farm.virtual.namespace import exec_prefix, inside, namespace_path
from tests.bench.terminal import Terminal
from tests.lab import until

FARM = [sys.executable, "-m", "farm"]
SETTLE_SECONDS = 12.0
SECONDS = 20.0
KEYS = 10
HELP, OVERVIEW = "Keys: everywhere", "efficiency"
START_PATIENCE = 120.0
SECOND_NETWORK = "10.78.128.0/17"
"""Addresses that the namespace has, too, and its first simulated farm does not use."""


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
    """A simulated farm in a namespace of its own, or at the scheduler of ``other``; it works until it is ended."""

    def __init__(self, name: str, nodes: int, jobs: int, other: Simulated | None = None) -> None:
        options = ["--nodes", str(nodes), "--jobs", str(jobs), "--idle", "0", "--json"]
        argv = [*FARM, "simulate", *options]
        if other is None:
            self.namespace = f"farm-sim-{name}"
            argv += ["--name", name]
        else:
            self.namespace = other.namespace
            argv = other.inside(*argv, "--scheduler", SCHEDULER, "--network", SECOND_NETWORK)
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def inside(self, *argv: str) -> list[str]:
        """The argv of a program in its namespace."""
        return [*exec_prefix(self.namespace), *argv]

    def counts(self) -> dict[str, int]:
        """End it, when the jobs in flight have ended; what it has counted."""
        self._process.terminate()
        said, _ = self._process.communicate(timeout=180)
        jobs: dict[str, int] = json.loads(said)["jobs"]
        return jobs

    def close(self) -> None:
        """End it, in whatever state it is."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=180)


@contextlib.contextmanager
def simulated(name: str, nodes: int, jobs: int, other: Simulated | None = None) -> Iterator[Simulated]:
    """A simulated farm."""
    farm = Simulated(f"{name}-{os.getpid()}", nodes, jobs, other)
    try:
        until(namespace_path(farm.namespace).exists, "the simulated farm does not start")
        yield farm
    finally:
        farm.close()


@contextlib.contextmanager
def farmd(farm: Simulated, folder: Path) -> Iterator[tuple[Home, psutil.Process]]:
    """A farmd that watches it; it has no nodes of its own to look after."""
    home = Home.at(folder)
    home.create()
    config = Config(name="bench", address=f"{SCHEDULER}/16")
    Running(config=config, interface="sim0", image="", started=time.time()).save(home)
    argv = farm.inside(sys.executable, "-m", "farm.daemon", "--home", str(folder))
    with (folder / "farmd.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield home, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for_nodes(home: Home, nodes: int) -> None:
    """Until farmd knows that many daemons with slots."""
    deadline = time.monotonic() + START_PATIENCE
    while (found := sum(host.slots > 0 for host in _status(home).hosts) if _answers(home) else 0) < nodes:
        if time.monotonic() > deadline:
            raise AssertionError(f"only {found} of {nodes} nodes are known to farmd")
        time.sleep(0.5)


def _answers(home: Home) -> bool:
    try:
        fetch_status(home)
    except FarmError:
        return False
    return True


def _status(home: Home) -> Status:
    return fetch_status(home)


def measure(folder: Path, *, nodes: int = 200, jobs: int = 400) -> Cost:
    """All viewers at once on one scheduler; first farmd alone."""
    with simulated("cost", nodes, jobs) as farm, farmd(farm, folder) as (home, daemon):
        wait_for_nodes(home, nodes)
        time.sleep(SETTLE_SECONDS)
        scheduler = next(
            process
            for process in psutil.process_iter(["name"])
            if process.info["name"] == "icecc-scheduler" and inside(farm.namespace, process.pid)
        )
        before = sum(daemon.cpu_times()[:2])
        time.sleep(SECONDS)
        alone = (sum(daemon.cpu_times()[:2]) - before) / SECONDS
        with contextlib.ExitStack() as stack:

            def open_terminal(*argv: str) -> Terminal:
                terminal = Terminal(farm.inside(*argv))
                stack.callback(terminal.close)
                return terminal

            sundae = open_terminal("icecream-sundae", "-s", SCHEDULER)
            top = open_terminal(*FARM, "top", "--scheduler", SCHEDULER)
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
    totals = _status(home).totals
    return totals.done + totals.failed + totals.local


def measure_load(folder: Path, *, nodes: int = 500, jobs: int = 1000, seconds: float = 30.0) -> Load:
    """Whether farmd misses anything of what a simulator does."""
    with simulated("load", 1, 0) as place, farmd(place, folder) as (home, daemon):
        wait_for_nodes(home, 1)  # whatever is submitted from now on, farmd sees
        with simulated("more", nodes, jobs, place) as farm:
            wait_for_nodes(home, nodes + 1)
            time.sleep(2)
            before = _ended(home)
            time.sleep(seconds)
            rate = (_ended(home) - before) / seconds
            counts = farm.counts()
        time.sleep(2)
        totals = _status(home).totals
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
