"""A real scheduler at its turns: log-ins that follow on one another, its own end, a control port behind a wall."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from farm.attach.direct import Direct
from farm.scheduler.channel import encode_version
from farm.scheduler.connection import poking
from farm.scheduler.monitor import watch_batches
from farm.simulate import wire
from farm.virtual.namespace import exec_prefix
from farm.watch.activity import Activity, fold
from tests.lab import PATIENCE, Namespace, namespaces, until

SERVER, PORT = "10.99.84.1", 8765


@pytest.fixture
def lab() -> Iterator[Namespace]:
    with namespaces(f"{SERVER}/24") as (space,):
        yield space


@contextlib.asynccontextmanager
async def daemon() -> AsyncIterator[asyncio.StreamWriter]:
    """Always the same daemon; it logs in."""
    reader, writer = await asyncio.open_connection(SERVER, PORT)
    try:
        writer.write(encode_version(43))
        await reader.readexactly(4)
        writer.write(encode_version(43))
        await reader.readexactly(4)
        writer.write(wire.login("dev01", 10245, 0, no_remote=True))
        yield writer
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_machine_that_comes_back_before_it_was_missed_runs_nothing(lab: Namespace) -> None:
    lab.scheduler()
    activity = Activity()

    changed = asyncio.Condition()

    async def until_known(local: int, logins: int) -> None:
        def known() -> bool:
            return [(host.local_running, host.logins) for host in activity.hosts.values()] == [(local, logins)]

        async with changed:
            await changed.wait_for(known)

    async def watch() -> None:
        nonlocal activity
        async with contextlib.aclosing(watch_batches(SERVER, PORT, seed=False)) as batches:
            async for batch in batches:
                async with changed:
                    for event in batch:
                        activity = fold(activity, event, 100.0)
                    changed.notify_all()

    async def come_back() -> None:
        watching = asyncio.create_task(watch())
        try:
            async with asyncio.timeout(PATIENCE), poking(SERVER, PORT), daemon() as writer:
                await until_known(0, 1)
                writer.write(wire.local_begin("lib.so", 1, 0))
                await until_known(1, 1)
                async with daemon():
                    await until_known(0, 2)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    lab.gather(come_back())
    assert ({}, 1) == (dict(activity.jobs), activity.totals.lost)


def test_a_control_port_behind_a_wall_is_not_waited_for(lab: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.scheduler()
    rules = (
        "table inet wall { chain input { type filter hook input priority 0; tcp dport 8766 reject with tcp reset; }; }"
    )
    lab.run("nft", rules)
    # What waited for it would wait until the limit below.
    monkeypatch.setattr("farm.attach.direct.SCHEDULER_SILENCE_SECONDS", 3600.0)

    async def look() -> None:
        async with asyncio.timeout(PATIENCE), poking(SERVER, PORT), daemon():
            status = await Direct(SERVER, PORT).status()
            while not status.hosts:
                status = await Direct(SERVER, PORT).status()
            assert ["dev01"] == [host.name for host in status.hosts]

    lab.gather(look())


def test_who_has_no_farm_is_told_how_to_look_at_another(lab: Namespace) -> None:
    for command in (("status",), ("node", "list"), ("jobs",), ("scheduler",)):
        done = lab.run(sys.executable, "-m", "farm", "--home", "/nonexistent", *command, check=False)
        assert (1, True) == (done.returncode, "farm status --scheduler HOST" in done.stderr), done.stderr


def test_status_goes_on_showing_when_the_scheduler_goes_and_comes_back(lab: Namespace) -> None:
    process = lab.scheduler()
    argv = [sys.executable, "-m", "farm", "status", "--watch", "--scheduler", SERVER]
    told: list[str] = []
    with subprocess.Popen([*exec_prefix(lab.name), *argv], stdout=subprocess.PIPE, text=True) as shown:
        assert shown.stdout is not None
        reading = threading.Thread(target=lambda stdout=shown.stdout: told.extend(iter(stdout.readline, "")))
        reading.start()
        try:
            until(lambda: f"Scheduler {SERVER}:8765 up" in "".join(told), "it is shown")
            lab.stop(process)
            until(lambda: "does not answer" in "".join(told), "its end is shown")
            before = len(told)
            lab.scheduler()
            until(lambda: f"Scheduler {SERVER}:8765 up" in "".join(told[before:]), "its return is shown")
        finally:
            shown.send_signal(signal.SIGINT)
            reading.join()
    assert 130 == shown.returncode
