"""What watching costs: farmd and the dashboard beside icecream-sundae, on one simulated farm at one time."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from farm.api.client import fetch_status
from farm.config import Config, SchedulerConfig
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.simulate.own_scheduler import allow_many_connections
from farm.view.status import Status
from farm.virtual.namespace import exec_prefix, inside
from tests.bench.terminal import Answer, Terminal
from tests.lab import NETNAME, Namespace, namespaces, until

FARM = [sys.executable, "-m", "farm"]
SETTLE_SECONDS = 12.0
SECONDS = 20.0
ROUNDS = 3
KEY_SECONDS = 0.35, 0.5, 0.7, 0.41, 0.62
"""Between a key's answer and the next key: not in step with the refresh."""
ROUND: tuple[tuple[str, bytes, str], ...] = (
    ("help", b"?", "Keys: everywhere"),
    ("back", b"\x1b", "efficient"),
    ("Nodes", b"2", "Free MiB"),
    ("turn the order", b"S", "[▼▲]"),
    ("turn the order", b"S", "[▼▲]"),
    ("sort", b"s", "[▼▲]"),
    ("search", b"/", "ame, address"),
    ("type", b"1", 'are "1"'),
    ("type", b"0", 'are "10"'),
    ("type", b"3", 'are "103"'),
    ("erase", b"\x7f", 'are "10"'),
    ("show all", b"\x1b", "nodes, "),
    ("open a node", b"\r", "compiling:|Why it is idle"),
    ("back", b"\x1b", "Free MiB"),
    ("actions", b"a", "enter chooses"),
    ("back", b"\x1b", "Free MiB"),
    ("Jobs", b"3", "newest first"),
    ("hold", b"f", "paused"),
    ("follow", b"f", "newest first"),
    ("filter", b"/", "ode: submitter:"),
    ("type", b"c", "match"),
    ("show all", b"\x1b", " jobs · "),
    ("open a job", b"\r", "requested"),
    ("back", b"\x1b", "newest first"),
    ("Timeline", b"4", "█=1s"),
    ("zoom out", b"-", "█=2s"),
    ("zoom in", b"+", "█=1s"),
    ("earlier", b"\x1b[D", "held"),
    ("Builds", b"5", "space marks"),
    ("Boot", b"6", "no machine"),
    ("Scheduler", b"7", "it speaks"),
    ("palette", b"\x10", "earch for"),
    ("back", b"\x1b", "it speaks"),
    ("next tab", b"L", "no log-ins"),
    ("next tab", b"L", "efficient"),
)
"""What keys do, the keys, and what only their answer draws; it begins and ends in the overview."""
START_PATIENCE = 120.0
SERVER = "10.99.33.1"


@dataclass(frozen=True)
class Cost:
    """Shares of one core, as means over SECONDS; ``keys``: the answer to each key press."""

    sundae: float
    farmd: float
    farmd_watched: float
    """The same with a dashboard attached."""
    top: float
    """The dashboard on the scheduler itself, decoding included."""
    top_farmd: float
    """The dashboard attached to farmd."""
    keys: list[Answer]
    rate: float
    """Jobs a second that ended."""
    scheduler: float


@dataclass(frozen=True)
class Load:
    """Counts of a simulator and of farmd, which watched it; farmd's megabytes in the end."""

    simulated: dict[str, int]
    seen: dict[str, int]
    unfinished: int
    """Jobs that the simulator gave up in the end: with any, the machine was too busy for the counts to mean much."""
    rate: float
    """Jobs a second that ended, while they were submitted."""
    shares: dict[str, float]
    """Of one core, in that time: scheduler, simulator, farmd."""
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

    @property
    def process(self) -> psutil.Process:
        """The simulator itself."""
        return psutil.Process(self._process.pid)

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
        quiet_scheduler(lab)
        with farmd(lab, folder) as (home, daemon):
            until(lambda: (status := known(home)) and status.scheduler.up, "farmd does not see the scheduler")
            farm = Simulated(lab, nodes, jobs, seconds)
            try:
                wait_for_nodes(home, nodes)
                yield lab, farm, home, daemon
            finally:
                farm.close()


def quiet_scheduler(lab: Namespace) -> None:
    """A scheduler that does not write down all it does, as tests want it: that takes longer than the work itself."""
    lab.start("scheduler", "icecc-scheduler", "-n", NETNAME, "-p", "8765", "-i", lab.interface, "-r")
    lab.wait_for(8765)


def scheduler_of(lab: Namespace) -> psutil.Process:
    """The process of the lab's scheduler."""
    return next(
        process
        for process in psutil.process_iter(["name"])
        if process.info["name"] == "icecc-scheduler" and inside(lab.name, process.pid)
    )


@contextlib.contextmanager
def farmd(lab: Namespace, folder: Path) -> Iterator[tuple[Home, psutil.Process]]:
    """A farmd that watches the lab's scheduler; it has no nodes of its own to look after."""
    home = Home.at(folder)
    home.create()
    config = Config(name="bench", address=f"{SERVER}/16", scheduler=SchedulerConfig(netname=NETNAME))
    Instance(config=config, interface=lab.interface, images={}, started=time.time()).save(home)
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
        scheduler = scheduler_of(lab)
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
            keys = press(attached)
        return Cost(shares[2], alone, shares[0], shares[3], shares[4], keys, rate, shares[1])


def press(terminal: Terminal) -> list[Answer]:
    """Every kind of key, several times."""
    pauses = itertools.cycle(KEY_SECONDS)
    answers = []
    for name, key, text in ROUND * ROUNDS:
        answers.append(terminal.answer(name, key, text))
        time.sleep(next(pauses))
    return answers


def _ended(home: Home) -> int:
    totals = fetch_status(home).totals
    return totals.done + totals.failed + totals.local


def measure_load(folder: Path, *, nodes: int = 500, jobs: int = 1000, seconds: float = 30.0) -> Load:
    """Whether farmd misses anything of what a simulator does."""
    with simulated(folder, nodes, jobs, seconds) as (lab, farm, home, daemon):
        processes = {"scheduler": scheduler_of(lab), "simulator": farm.process, "farmd": daemon}
        time.sleep(0.2 * seconds)  # the first jobs take a while to end
        ended, at, spent = _ended(home), time.monotonic(), _spent(processes)
        time.sleep(0.6 * seconds)
        rate, passed = _ended(home) - ended, time.monotonic() - at
        shares = {name: (now - spent[name]) / passed for name, now in _spent(processes).items()}
        counts = farm.counts()
        expected = _comparable(counts)
        with contextlib.suppress(AssertionError):  # what differs in the end is the result
            until(lambda: _seen(home) == expected, "farmd has not seen the same", SETTLE_SECONDS)
        megabytes = daemon.memory_info().rss / 1e6
        return Load(expected, _seen(home), counts["unfinished"], rate / passed, shares, megabytes)


def _spent(processes: dict[str, psutil.Process]) -> dict[str, float]:
    return {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}


def _comparable(counts: dict[str, int]) -> dict[str, int]:
    names = {"requested": "requested", "begun": "begun", "ended": "done"}
    names |= {"local begun": "local", "local ended": "local_done"}
    return {name: counts[field] for name, field in names.items()}


def _seen(home: Home) -> dict[str, int]:
    totals = fetch_status(home).totals
    return {
        "requested": totals.requested,
        "begun": totals.begun,
        "ended": totals.done + totals.failed,
        "local begun": totals.local_begun,
        "local ended": totals.local,
    }


def measure_hour(folder: Path) -> dict[str, float]:
    """An hour's jobs, replayed in a process of their own."""
    argv = [sys.executable, "-m", "tests.bench.hour", str(folder)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    result: dict[str, float] = json.loads(said)
    return result
