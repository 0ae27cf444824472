"""Daemons that the farm does not know: each new one is tried with a small compilation, and blocked if that is wanted.

To compile, a program of its own is run (farm/doctor/workstation/sample.py), without root's rights and with bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import cast, get_args

import msgspec

from farm.daemon.watchdog import Now
from farm.errors import NOT_JSON, FarmError
from farm.home import Home, write_atomic
from farm.nodes import blocking
from farm.nodes.blocking import Order
from farm.view.strangers import is_known, node_addresses, strangers
from farm.watch.activity import Canary, Host, HostKey
from farm.watch.events import CanarySeen, StrangersRefused
from farm.watch.scheduler_source import Look, Publish
from farm.watch.state import NO_JOBS

GUARD_POLL_SECONDS = 0.5
GRACE_SECONDS = 10.0
"""A machine of ours that boots, or whose boot farmd has missed, is known by then."""
CANARY_RETRY_SECONDS = 60.0
ATTEMPTS = 3
"""So often is a daemon tried that gives no object: it may be busy, or not fit."""
CANARY_SECONDS = 240.0


async def refuse_strangers(home: Home, instance: Now, look: Look, publish: Publish) -> None:
    """With `nodes.strangers: block`, have the scheduler block whoever is not known; let in again who is by now."""
    path = home.runtime / "strangers.json"
    refused = await asyncio.to_thread(_recall, path)
    publish(StrangersRefused(frozenset(refused)))
    seen: dict[HostKey, float] = {}
    while True:
        farm, config = look(), instance().config
        blocks = config.nodes.strangers == "block"
        present = strangers(farm, config) if blocks else []
        now = time.monotonic()
        seen = {host.key: seen.get(host.key, now) for host in present}
        coming = {node.address for node in farm.nodes.values()} | set(farm.claims)
        due = {host.address for host in present if host.address not in coming or now - seen[host.key] > GRACE_SECONDS}
        pardoned = {address for address in refused if not blocks or is_known(address, farm, config)}
        before = set(refused)
        if farm.activity.scheduler.up:
            where = config.scheduler_host, config.scheduler.port
            due -= {*farm.activity.scheduler.blocked}
            refused |= {address for address in due if await _give("block", *where, address)}
            for address in pardoned:
                await _give("unblock", *where, address)
            refused -= pardoned
        if refused != before:
            await asyncio.to_thread(write_atomic, path, msgspec.json.encode(sorted(refused)))
            publish(StrangersRefused(frozenset(refused)))
        await asyncio.sleep(GUARD_POLL_SECONDS)


async def _give(order: Order, host: str, port: int, address: str) -> bool:
    with contextlib.suppress(FarmError):  # it has gone, or somebody has let it in again
        await blocking.give(order, host, port, address)
        return True
    return False


def _recall(path: Path) -> set[str]:
    """Whom an earlier farmd had blocked."""
    with contextlib.suppress(OSError, *NOT_JSON):
        return set(msgspec.json.decode(path.read_bytes(), type=list[str]))
    return set()


async def try_newcomers(look: Look, publish: Publish) -> None:
    """Compile a small source on each daemon that takes jobs and is no node of this farm, once it has come."""
    tried: dict[HostKey, tuple[int, float]] = {}
    while True:
        now, farm = time.monotonic(), look()
        nodes = node_addresses(farm)
        for key, host in farm.activity.hosts.items():
            attempts, last = tried.get(key, (0, 0.0))
            settled = host.canary in ("right", "wrong") or attempts >= ATTEMPTS
            if (
                not settled
                and host.address not in nodes
                and _free(host)
                and (not last or now - last > CANARY_RETRY_SECONDS)
            ):
                tried[key] = attempts + 1, now
                publish(CanarySeen(key, await _compile_on(host)))
                break  # the state has gone on meanwhile
        tried = {key: each for key, each in tried.items() if key in farm.activity.hosts}
        await asyncio.sleep(GUARD_POLL_SECONDS)


def _free(host: Host) -> bool:
    return bool(host.online and host.offered > host.running and host.load < NO_JOBS)


async def _compile_on(host: Host) -> Canary:
    """What came of it; nothing when there is no compiler here."""
    argv = [sys.executable, "-P", "-m", "farm.doctor.workstation.sample", host.address]
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(CANARY_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        output = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = output.decode(errors="replace").strip()
    return cast(Canary, said) if said in get_args(Canary) and said else "none"
