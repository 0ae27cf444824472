"""Who is logged in at a scheduler: from its monitor connection, and from its control port where that answers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Collection

from farm.errors import FarmError
from farm.scheduler.monitor import listing
from farm.watch.activity import Activity, fold
from farm.workstation.join.login import daemons

PEERS_QUIET_SECONDS = 1.0
"""After the last daemon that the scheduler told of: here it matters more to know all than to be quick."""
PEER_CONNECT_SECONDS = 3.0
ROUNDS = 3
AT_A_TIME = 32
Target = tuple[str, int]
"""An address and a TCP port."""


async def peers(host: str, port: int) -> tuple[Activity, bool]:
    """The daemons, and whether the control port has told their jobs and what is blocked.

    It does not behind the filter of a farm's server. Raises FarmError when the scheduler does not answer.
    """
    activity = await daemons(host, port, PEERS_QUIET_SECONDS)
    try:
        return fold(activity, await listing(host, port), time.time()), True
    except FarmError:
        return activity, False


async def round_trips(targets: Collection[Target]) -> dict[Target, float | str]:
    """To each the quickest of three TCP connections from here in seconds, or why there is none."""
    turn = asyncio.Semaphore(AT_A_TIME)

    async def ask(address: str, port: int) -> float | str:
        async with turn:
            try:
                return min([await _connect(address, port) for _ in range(ROUNDS)])
            except TimeoutError:
                return f"no answer within {PEER_CONNECT_SECONDS:.0f} s, perhaps because a firewall drops it"
            except OSError as error:
                return (error.strerror or str(error)).lower()

    answers = await asyncio.gather(*(ask(*target) for target in targets))
    return dict(zip(targets, answers, strict=True))


async def _connect(address: str, port: int) -> float:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        started = time.perf_counter()
        async with asyncio.timeout(PEER_CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
        return time.perf_counter() - started
