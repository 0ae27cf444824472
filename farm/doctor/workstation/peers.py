"""Who is logged in at a scheduler: from its monitor connection, and from its control port where that answers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable

from farm.doctor.workstation.facts import Peer
from farm.errors import FarmError
from farm.node.ports import ICECCD_PORT
from farm.scheduler.control import Control, ListedNode, list_all
from farm.scheduler.protocol import NodeStats
from farm.workstation.join.login import daemons

QUIET_SECONDS = 1.0
"""After the last daemon that the scheduler told of: here it matters more to know all than to be quick."""
CONNECT_SECONDS = 3.0
ROUNDS = 3
AT_A_TIME = 32


async def peers(host: str, port: int) -> tuple[list[Peer], tuple[str, ...] | None]:
    """The daemons, and the blocked names; raises FarmError when the scheduler does not answer.

    None for the blocked when the control port does not answer, as behind the filter of a farm's server.
    """
    stats = await daemons(host, port, QUIET_SECONDS)
    try:
        async with Control(host, port) as control:
            listed, blocked = await list_all(control)
    except FarmError:
        return _merged(stats, ()), None
    return _merged(stats, listed), tuple(blocked)


def _merged(stats: Iterable[NodeStats], listed: Iterable[ListedNode]) -> list[Peer]:
    by_key = {(node.name, node.address): node for node in listed}
    found = []
    for each in stats:
        more = by_key.get((each.name, each.address))
        found.append(
            Peer(
                name=each.name,
                address=each.address,
                slots=each.max_jobs,
                load=more.load if more else each.load,
                protocol=each.protocol,
                platform=each.platform,
                no_remote=each.no_remote,
                features=each.features,
                port=more.port if more else ICECCD_PORT,
                jobs=more.jobs if more else None,
                installing=more.installing if more else None,
                load_average=each.load_averages[0] if each.load_averages else None,
                free_memory=each.free_memory,
            )
        )
    return sorted(found, key=lambda peer: peer.name)


async def round_trips(nodes: Iterable[Peer]) -> dict[str, float | str]:
    """Address → the quickest of three TCP connections from here to a node's iceccd in seconds, or why there is none."""
    turn = asyncio.Semaphore(AT_A_TIME)
    targets = {node.address: node.port for node in nodes}

    async def ask(address: str, port: int) -> float | str:
        async with turn:
            try:
                return min([await _connect(address, port) for _ in range(ROUNDS)])
            except TimeoutError:
                return f"no answer within {CONNECT_SECONDS:.0f} s, as when a firewall drops it"
            except OSError as error:
                return (error.strerror or str(error)).lower()

    answers = await asyncio.gather(*(ask(address, port) for address, port in targets.items()))
    return dict(zip(targets, answers, strict=True))


async def _connect(address: str, port: int) -> float:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        started = time.perf_counter()
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
        return time.perf_counter() - started
