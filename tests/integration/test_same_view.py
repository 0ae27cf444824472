"""The dashboard's view beside icecream-sundae's and the scheduler's own lists: the same nodes, slots and jobs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network

from msgspec import Struct

from farm.attach import Lost
from farm.attach.direct import Direct
from farm.scheduler.control import Control, list_all, list_jobs
from farm.simulate.plan import SimulationSettings
from farm.simulate.simulation import Simulation
from farm.view.live import Live
from farm.watch.activity import JobPlace, JobState
from tests.lab import PATIENCE, Namespace, namespaces

SERVER = "10.99.32.1"
PORT = 8765
NODES, SLOTS, SUBMITTERS = 8, 3, 3
ROW = re.compile(
    r"^[+-] *\d+ +(?P<name>\S+) +\d+ +(?P<running>\d+) +(?P<slots>\d+) +\[.*\] +\d+ +\d+ +\d+ +(?P<pending>\d+)"
)
"""A line of icecream-sundae: ID NAME IN CUR MAX JOBS OUT LOCAL ACTIVE PENDING SPEED."""


class Daemon(Struct, frozen=True, order=True):
    """What all of them tell of a daemon."""

    name: str
    slots: int
    running: int
    pending: int = 0


class Sundae:
    """icecream-sundae in a terminal of its own."""

    def __init__(self, lab: Namespace) -> None:
        self._tmux = ["tmux", "-L", lab.name]
        size = ["-x", "160", "-y", "50"]
        lab.run(*self._tmux, "-f", "/dev/null", "new-session", "-d", *size, f"icecream-sundae -s {SERVER}")

    def daemons(self) -> list[Daemon]:
        """Its table."""
        screen = subprocess.run([*self._tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True).stdout
        rows = filter(None, map(ROW.match, screen.splitlines()))
        return sorted(Daemon(row["name"], int(row["slots"]), int(row["running"]), int(row["pending"])) for row in rows)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=True)


def ours(live: Live) -> list[Daemon]:
    """The dashboard's nodes and submitters, by what their rows show."""
    hosts = [node.host for node in live.nodes.values() if node.host is not None]
    return sorted(Daemon(host.name, host.slots, host.jobs_running, host.jobs_pending) for host in hosts)


def jobs(live: Live) -> list[tuple[int, str, str]]:
    """Its jobs in flight: id, file, and the node that compiles it, if one does."""
    return sorted(
        (job.id, job.file, job.node[0] if job.state is JobState.RUNNING else "")
        for job in live.jobs.values()
        if job.place in (JobPlace.REMOTE, JobPlace.OWN)
    )


@contextlib.asynccontextmanager
async def view() -> AsyncIterator[Live]:
    """What `farm top --scheduler` shows."""
    live = Live()

    async def follow() -> None:
        async with contextlib.aclosing(Direct(SERVER, PORT).updates()) as updates:
            async for update in updates:
                assert not isinstance(update, Lost)
                live.apply(update)

    task = asyncio.create_task(follow())
    try:
        yield live
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def agree(live: Live, sundae: Sundae, busy: int) -> None:
    """Wait for a moment at which all three tell the same, with at least so many jobs running."""
    deadline = time.monotonic() + 3 * PATIENCE
    async with Control(SERVER, PORT) as control:
        while True:
            listed, _ = await list_all(control)
            in_hand = await list_jobs(SERVER, PORT)
            await asyncio.sleep(1.2)  # sundae and the dashboard draw twice a second
            mine, its = ours(live), await asyncio.to_thread(sundae.daemons)
            begun = Counter(job.node for job in in_hand if job.state == "COMP")
            waiting = Counter(job.submitter for job in in_hand if job.state != "COMP")
            theirs = sorted(Daemon(node.name, node.max_jobs, begun[node.name], waiting[node.name]) for node in listed)
            jobs_listed = sorted((job.id, job.file, (job.node or "") if job.state == "COMP" else "") for job in in_hand)
            if mine == theirs == its and jobs(live) == jobs_listed and sum(begun.values()) >= busy:
                addresses = {(node.name, node.address, node.platform) for node in listed}
                shown = {(node.name, node.address, node.host.platform) for node in live.nodes.values() if node.host}
                assert addresses == shown
                assert len(mine) == NODES + SUBMITTERS
                return
            assert time.monotonic() < deadline, f"dashboard {mine}\nscheduler {theirs}\nsundae {its}"


@contextlib.contextmanager
def lab() -> Iterator[Namespace]:
    with namespaces(f"{SERVER}/24") as (namespace,):
        namespace.scheduler()
        yield namespace


def test_at_rest_and_under_load_all_tell_the_same() -> None:
    async def watch(namespace: Namespace) -> None:
        # Jobs long enough that there are moments at which nothing changes for a second or two.
        options = SimulationSettings(
            nodes=NODES, slots=SLOTS, submitters=SUBMITTERS, jobs=0.7, seconds=20, idle=0, local=0
        )
        resting = Simulation(
            SimulationSettings(nodes=NODES, slots=SLOTS, submitters=SUBMITTERS, jobs=0), SERVER, PORT, ADDRESSES
        )
        sundae = Sundae(namespace)
        try:
            async with view() as live:
                for simulation, busy in ((resting, 0), (Simulation(options, SERVER, PORT, ADDRESSES), 6)):
                    work = asyncio.create_task(simulation.run())
                    await simulation.at_work.wait()
                    await agree(live, sundae, busy)
                    simulation.stop()
                    await work
        finally:
            sundae.close()

    with lab() as namespace:
        namespace.gather(watch(namespace))


ADDRESSES = IPv4Network("127.78.0.0/16")
