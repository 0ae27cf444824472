"""Days on which something is wrong with a scheduler, its daemons or the network: the view of it stays true."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine

from farm.attach import Lost
from farm.attach.direct import Direct
from farm.doctor.workstation.peers import peers
from farm.scheduler.connection import poke
from farm.simulate import wire
from farm.simulate.plan import SimulationSettings
from farm.simulate.simulation import Simulation
from farm.view.live import Live
from farm.watch.activity import JobState
from farm.workstation.join.login import daemons
from tests.lab import NETNAME, PATIENCE, Namespace, namespaces

SERVER = "10.99.31.1"
ROOM = 32 << 20
"""Bytes that a connection holds for a reader."""


def have(day: Callable[[Namespace], Coroutine[None, None, None]]) -> None:
    """Live through it in a namespace."""
    with namespaces(f"{SERVER}/24") as (lab,):
        lab.gather(day(lab))


class Watcher:
    """A dashboard's view of the scheduler, without the dashboard."""

    def __init__(self, direct: Direct) -> None:
        self.direct = direct
        self.live = Live()

    async def follow(self) -> None:
        async with contextlib.aclosing(self.direct.updates()) as updates:
            async for update in updates:
                assert not isinstance(update, Lost)
                self.live.apply(update)

    async def until(self, what: str, holds: Callable[[Live], object]) -> None:
        """Wait until the view shows something; the limit ends a broken test."""
        deadline = time.monotonic() + PATIENCE
        while not holds(self.live):
            assert time.monotonic() < deadline, f"{what}: {self.live.overview} {list(self.live.nodes.values())[:3]}"
            await poke(self.direct.host, self.direct.port)
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def watching(host: str = SERVER, netname: str = "") -> AsyncIterator[Watcher]:
    watcher = Watcher(Direct(host, 8765, netname))
    task = asyncio.create_task(watcher.follow())
    try:
        await watcher.until("the scheduler is there", up)
        yield watcher
    finally:
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError), outcome


def up(live: Live) -> bool:
    return live.overview is not None and live.overview.scheduler.up


@contextlib.asynccontextmanager
async def daemon(name: str) -> AsyncIterator[asyncio.StreamWriter]:
    """One that has logged in; what the scheduler sends it is answered by nobody."""
    reader, writer = await asyncio.open_connection(SERVER, 8765)
    session = wire.DaemonSession(name)
    writer.write(struct.pack("<I", wire.DAEMON_PROTOCOL))
    while not session.ready:
        await poke(SERVER, 8765)
        with contextlib.suppress(TimeoutError):
            _, answer = session.receive(await asyncio.wait_for(reader.read(4096), 0.5))
            writer.write(answer)
    writer.write(wire.login(name, 10245, 4, no_remote=True))
    drain = asyncio.create_task(reader.read())
    try:
        yield writer
    finally:
        writer.close()
        drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)


def test_the_scheduler_is_killed_in_the_midst_of_a_build_and_comes_back() -> None:
    async def day(lab: Namespace) -> None:
        scheduler = lab.scheduler()
        simulation = Simulation(
            SimulationSettings(nodes=6, slots=2, jobs=20, submitters=2, idle=0, seconds=0.5, failures=0), SERVER, 8765
        )
        work = asyncio.create_task(simulation.run())
        async with watching() as watcher:
            await watcher.until(
                "jobs run", lambda live: any(job.state is JobState.RUNNING for job in live.jobs.values())
            )
            os.kill(scheduler.pid, signal.SIGKILL)
            await watcher.until("the loss is shown", lambda live: not up(live) and not live.jobs)
            assert not any(node.host and node.host.online for node in watcher.live.nodes.values())
            before = len(watcher.live.nodes)
            await asyncio.to_thread(lab.stop, scheduler)
            lab.start("scheduler-again", "icecc-scheduler", "-n", NETNAME, "-p", "8765", "-i", lab.interface, "-r")
            await watcher.until("jobs run again", lambda live: any(job.begun for job in live.jobs.values()))
            await watcher.until("all are back", lambda live: sum(online(live)) == 8)
            # Each is who it was, and what was cut off has not failed.
            assert len(watcher.live.nodes) == before
            # One that was back before we were may have logged in unseen: nobody says that it has not.
            for node in watcher.live.nodes.values():
                assert node.host
                assert node.host.logins in (1, 2)
                assert node.host.logins_missed
            await watcher.until("all is told", lambda live: watcher.direct.farm.activity.scheduler.settled)
            for login in (1, 2):
                async with daemon("late"):
                    await watcher.until("it is there, and each of its logins was seen", late(True, login))
                await watcher.until("it is gone", late(False, login))
            totals = watcher.direct.farm.activity.totals
            assert totals.lost > 0
            assert totals.failed == 0
        simulation.stop()
        await work

    have(day)


def online(live: Live) -> list[bool]:
    return [bool(node.host and node.host.online) for node in live.nodes.values()]


def late(online: bool, logins: int) -> Callable[[Live], bool]:
    """Whether a daemon that came while we watched has logged in as often as it has."""

    def holds(live: Live) -> bool:
        hosts = [node.host for node in live.nodes.values() if node.name == "late"]
        told = [(host.online, host.logins, host.logins_missed) for host in hosts if host is not None]
        return told == [(online, logins, False)]

    return holds


def test_another_scheduler_answers_for_the_same_network() -> None:
    with namespaces(f"{SERVER}/24", "10.99.31.2/24") as (lab, other):
        lab.scheduler()
        time.sleep(1.1)  # one scheduler that answers from two addresses is known by its start, in seconds
        # Bound to no interface, as usual: it hears broadcasts.
        rival = other.start("rival", "icecc-scheduler", "-n", NETNAME, "-p", "8765", "-r")

        async def day() -> None:
            async with watching(netname=NETNAME) as watcher:
                await watcher.until("the rival is named", lambda live: "10.99.31.2" in problems(live))
                other.stop(rival)
                assert up(watcher.live)
                assert watcher.live.overview is not None
                assert watcher.live.overview.scheduler.address == f"{SERVER}:8765"

        lab.gather(day())


def problems(live: Live) -> str:
    return " ".join(live.overview.problems) if live.overview else ""


def test_a_name_as_long_and_foul_as_can_be() -> None:
    async def day(lab: Namespace) -> None:
        lab.scheduler()
        name = "\x1b]0;owned\x07\x1b[2J[bold red]" + "n" * 300
        async with watching() as watcher, daemon(name) as writer:
            writer.write(wire.local_begin("[/]\x1b[31m" + "f" * 300 + ".o", 1, 0))
            await watcher.until("it is shown", lambda live: live.jobs)
            (node,) = watcher.live.nodes.values()
            (job,) = watcher.live.jobs.values()
            for text in (node.name, job.file):
                assert text.isprintable()
            assert (128, 256) == (len(node.name), len(job.file))
            assert job.file.endswith("f.o"), "the end of a path tells most"

    have(day)


def test_ten_thousand_local_jobs_in_a_burst() -> None:
    async def day(lab: Namespace) -> None:
        # The scheduler drops a monitor that is slow to read, as one is that waits for a processor: give it room.
        lab.run("sysctl", "-q", "-w", f"net.ipv4.tcp_wmem=4096 {ROOM} {ROOM}")
        lab.scheduler()
        count = 10_000
        async with watching() as watcher, daemon("dev") as writer:
            for number in range(count):
                writer.write(wire.local_begin(f"part{number}.o", number, 0))
            await writer.drain()
            await watcher.until("all have begun", lambda live: begun(watcher) == count)
            for number in range(count):
                writer.write(wire.local_done(number))
            await writer.drain()
            await watcher.until("all have ended", lambda live: len(live.ended) == count and not live.jobs)
            totals = watcher.direct.farm.activity.totals
            assert (totals.local, totals.lost, totals.failed) == (count, 0, 0)
            assert len(watcher.live.ended) == count
            (node,) = watcher.live.nodes.values()
            assert node.host is not None
            assert node.host.local_running == 0

    have(day)


def begun(watcher: Watcher) -> int:
    return watcher.direct.farm.activity.totals.local_begun


def test_a_clock_that_is_years_off() -> None:
    async def day(lab: Namespace) -> None:
        lab.scheduler()
        async with watching() as watcher, daemon("dev") as writer:
            for number, clock in enumerate((0, 2**32 - 1)):
                writer.write(wire.local_begin(f"part{number}.o", number, clock))
            await watcher.until("both are shown", lambda live: len(live.jobs) == 2)
            for job in watcher.live.jobs.values():
                assert abs(time.time() - job.begun) < PATIENCE

    have(day)


def test_a_scheduler_that_is_never_silent_can_be_asked_who_is_there() -> None:
    """What `farm doctor` and `farm run` ask first: they waited for a pause that a busy farm does not make."""

    async def chatter(writer: asyncio.StreamWriter) -> None:
        for number in itertools.count():
            writer.write(wire.local_begin("a.o", number, 0) + wire.local_done(number))
            await writer.drain()
            await asyncio.sleep(0.02)

    async def day(lab: Namespace) -> None:
        lab.scheduler()
        async with daemon("busy") as writer, daemon("quiet"):
            task = asyncio.create_task(chatter(writer))
            async with asyncio.timeout(PATIENCE):
                while len((await daemons(SERVER, 8765)).online) < 2:  # the second may not be logged in yet
                    await poke(SERVER, 8765)
                told, complete = await peers(SERVER, 8765)
            assert ["busy", "quiet"] == sorted(host.name for host in told.online)
            assert (True, ()) == (complete, told.scheduler.blocked)
            assert not task.done()
            task.cancel()

    have(day)
