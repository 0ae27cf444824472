"""The simulated farm at the real scheduler."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network

import pytest

from farm.errors import FarmError
from farm.scheduler.control import list_nodes
from farm.scheduler.monitor import Connected
from farm.scheduler.protocol import JobBegun, JobDone, JobRequested, LocalBegun, LocalDone
from farm.simulate import own_scheduler
from farm.simulate.counts import SimulatedCounts
from farm.simulate.plan import SimulationSettings
from farm.simulate.simulation import Simulation
from farm.virtual.namespace import namespace_path
from tests.lab import PATIENCE, Namespace, namespaces, until
from tests.watching import watch

SERVER = "10.99.78.1"
PORT = 8765
NETWORK = IPv4Network("127.78.0.0/16")
FARM = [sys.executable, "-m", "farm", "simulate"]


@pytest.fixture
def lab() -> Iterator[Namespace]:
    with namespaces(f"{SERVER}/24") as (found,):
        yield found


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for it; the caller says how long."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.05)


class Witness:
    """What a monitor of the scheduler sees."""

    KEYS = ("JobRequested", "JobBegun", "JobDone", "LocalBegun", "LocalDone", "exit 1", "exit 255")

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.seen: Counter[str] = Counter()

    async def watch(self) -> None:
        async with contextlib.aclosing(watch(SERVER, PORT)) as events:
            async for event in events:
                if isinstance(event, Connected):
                    self.connected.set()
                self.seen[type(event).__name__] += 1
                if isinstance(event, JobDone):
                    self.seen[f"exit {event.exit}"] += 1

    def agrees(self, counts: SimulatedCounts) -> bool:
        return {
            JobRequested.__name__: counts.requested,
            JobBegun.__name__: counts.begun,
            JobDone.__name__: counts.done,
            LocalBegun.__name__: counts.local,
            LocalDone.__name__: counts.local_done,
            "exit 1": counts.failed,
            "exit 255": counts.lost,
        } == {key: self.seen[key] for key in self.KEYS}


async def witnessed(simulation: Simulation, duration: float) -> SimulatedCounts:
    """Run it beside a monitor, and wait until that has seen what was counted."""
    witness = Witness()
    watching = asyncio.create_task(witness.watch())
    try:
        async with asyncio.timeout(PATIENCE):
            await witness.connected.wait()
            counts = await simulation.run(duration)
            await eventually(lambda: witness.agrees(counts))
    except TimeoutError:
        raise AssertionError(f"counted {simulation.counts}, seen {witness.seen}") from None
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    return counts


def test_a_monitor_sees_what_was_counted(lab: Namespace) -> None:
    lab.scheduler()
    settings = SimulationSettings(nodes=20, jobs=50, idle=0.0, failures=0.1, seconds=0.3)

    counts = lab.gather(witnessed(Simulation(settings, SERVER, PORT, NETWORK), 4))
    assert counts.requested == counts.begun == counts.done > 100
    assert counts.local == counts.local_done > counts.fallback
    assert 0 == counts.lost == counts.own == counts.unfinished
    assert counts.failed == counts.fallback > 0


def test_lost_nodes(lab: Namespace) -> None:
    lab.scheduler()
    settings = SimulationSettings(nodes=20, jobs=100, idle=0.0, seconds=0.5, churn=120)
    counts = lab.gather(witnessed(Simulation(settings, SERVER, PORT, NETWORK), 4))
    assert counts.lost > 0
    assert counts.fallback == counts.lost + counts.failed
    assert 0 == counts.unfinished


def test_without_nodes_the_scheduler_gives_the_jobs_back(lab: Namespace) -> None:
    lab.scheduler()
    settings = SimulationSettings(nodes=0, submitters=2, submitter_slots=4, jobs=20, local=0.0, idle=0.0, seconds=0.3)
    counts = lab.gather(witnessed(Simulation(settings, SERVER, PORT, NETWORK), 2))
    assert counts.own == counts.begun == counts.done > 0


def test_daemons_share_an_address_and_find_a_restarted_scheduler(lab: Namespace) -> None:
    scheduler = lab.scheduler()

    async def restarted() -> SimulatedCounts:
        simulation = Simulation(SimulationSettings(nodes=10, jobs=30, seconds=0.2), SERVER, PORT)
        running = asyncio.create_task(simulation.run())
        async with asyncio.timeout(PATIENCE):
            await simulation.at_work.wait()
            nodes = await list_nodes(SERVER, PORT)
            assert {SERVER} == {node.address for node in nodes}
            assert {f"pc{number:03}" for number in range(1, 11)} < {node.name for node in nodes}
            await asyncio.to_thread(lab.stop, scheduler)
            await eventually(lambda: not simulation.logged_in)
            await asyncio.to_thread(lab.scheduler)
            await eventually(lambda: simulation.logged_in == 10)
            done = simulation.counts.done
            await eventually(lambda: simulation.counts.done > done + 20)
            simulation.stop()
            return await running

    lab.gather(restarted())


def test_nobody_there(lab: Namespace) -> None:
    with pytest.raises(FarmError, match="does not answer"):
        lab.gather(Simulation(SimulationSettings(nodes=2), SERVER, PORT).run())


def test_the_command_leaves_nothing() -> None:
    name = f"test-{os.getpid()}"
    argv = [*FARM, "--name", name, "--nodes", "10", "--jobs", "40", "--seconds", "0.2", "--json"]
    done = subprocess.run([*argv, "--duration", "2"], check=True, capture_output=True, text=True, timeout=120)
    counts = json.loads(done.stdout)["jobs"]
    assert counts["requested"] == counts["done"] > 0
    assert not namespace_path(f"farm-sim-{name}").exists()

    looked = ["sh", "-c", 'test -d "/sys/class/net/$0" || ip -br link; exit 7', "none"]
    done = subprocess.run([*argv, "--", *looked], check=False, capture_output=True, text=True, timeout=120)
    assert 7 == done.returncode
    assert own_scheduler.SIMULATED_INTERFACE in done.stdout
    assert not namespace_path(f"farm-sim-{name}").exists()


def pids_inside(name: str) -> list[str]:
    """Processes in a network namespace, which may not be there yet."""
    return subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_is_ended(number: signal.Signals) -> None:
    name = f"test-{os.getpid()}"
    handle = namespace_path(f"farm-sim-{name}")

    argv = [*FARM, "--name", name, "--nodes", "10"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: handle.exists() and len(pids_inside(handle.name)) == 2, "the scheduler does not start")
            pids = pids_inside(handle.name)
        finally:
            process.send_signal(number)
        assert 0 == process.wait(PATIENCE)
    assert not handle.exists()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_a_namespace_in_use_is_left_alone(lab: Namespace) -> None:
    lab.start("sleep", "sleep", "1000")
    until(lambda: pids_inside(lab.name), "no sleep")
    with pytest.raises(FarmError, match="already"), own_scheduler.own_namespace(lab.name):
        pass


def test_a_namespace_left_behind_is_replaced() -> None:
    name = f"farm-sim-left-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    before = os.stat("/proc/thread-self/ns/net").st_ino
    with own_scheduler.own_namespace(name):
        assert before != os.stat("/proc/thread-self/ns/net").st_ino
    assert before == os.stat("/proc/thread-self/ns/net").st_ino
    assert not namespace_path(name).exists()
