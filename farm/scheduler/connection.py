"""Connections to a scheduler, and the poke that makes it look up from its sleep.

After each accept the scheduler leaves its listening sockets alone for a second, but may then sleep in poll() for up to
36 s without them: whoever connects next waits that long. Any datagram on its UDP port wakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

from farm.errors import FarmError
from farm.scheduler.channel import NEWEST_PROTOCOL

SCHEDULER_SILENCE_SECONDS = 10.0
"""Seconds for a connection and its first words, and between two parts of one message."""
POKE_INTERVAL = 0.4
RECEIVE_BUFFER = 4 << 20
"""Bytes: some 100,000 messages of a scheduler."""
SO_RCVBUFFORCE = 33
"""socket(7); Python's socket module does not name it."""


class SchedulerLostError(FarmError):
    """There is no connection to the scheduler: it is down, unreachable, or has closed it."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"The scheduler at {host}:{port} does not answer.", why, "Check its state: farm status")


async def poke(host: str, port: int) -> None:
    """Send the one byte with which daemons look for a scheduler; its answer is not waited for, failure not reported.

    Worth repeating every few seconds while daemons are expected to log in.
    """
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(host, port), family=socket.AF_INET
        )
        transport.sendto(bytes([NEWEST_PROTOCOL]))
        transport.close()


@contextlib.asynccontextmanager
async def poking(host: str, port: int) -> AsyncIterator[None]:
    """Poke the scheduler again and again inside the ``async with``: wait in it for a connection's first bytes."""

    async def repeat() -> None:
        while True:
            await poke(host, port)
            await asyncio.sleep(POKE_INTERVAL)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextlib.asynccontextmanager
async def connect(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection that notices a vanished peer within a minute; closed at the end. Raises SchedulerLostError."""
    try:
        async with asyncio.timeout(SCHEDULER_SILENCE_SECONDS):
            reader, writer = await asyncio.open_connection(sock=await _connected(host, port))
    except TimeoutError:
        raise SchedulerLostError(host, port, f"No connection within {SCHEDULER_SILENCE_SECONDS:.0f} s.") from None
    except OSError as error:
        raise SchedulerLostError(host, port, reason(error)) from error
    try:
        _keep_alive(writer.get_extra_info("socket"))
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _connected(host: str, port: int) -> socket.socket:
    """A connected socket with much room for what has not been read: the scheduler drops a monitor that falls behind."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # only root may; without it the kernel gives more room bit by bit
            connection.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        await asyncio.get_running_loop().sock_connect(connection, (host, port))
    except BaseException:
        connection.close()
        raise
    return connection


def reason(error: OSError) -> str:
    """The system's words for an error; asyncio puts its own, with the address in Python's writing, before them."""
    return os.strerror(error.errno) if error.errno else str(error)


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
