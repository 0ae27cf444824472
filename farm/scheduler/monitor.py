"""Watching a scheduler: its events as they come, over as many connections as that takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from msgspec import Struct

from farm.scheduler.connection import PATIENCE, SchedulerLostError, connect, poking
from farm.scheduler.protocol import Event, ProtocolError, SchedulerEnd, Session

CHUNK = 1 << 16
SHORTEST_RETRY = 1.0
LONGEST_RETRY = 30.0


class Connected(Struct, frozen=True):
    """Logged in as a monitor: every node's stats follow, but nothing about jobs already in flight."""

    host: str
    port: int
    protocol: int


class Disconnected(Struct, frozen=True):
    """The connection is lost or was not to be had; another is tried after ``retry`` seconds.

    What was known of nodes and jobs may be outdated, and host ids have lost their meaning.
    """

    why: str
    retry: float


async def watch_once(host: str, port: int) -> AsyncGenerator[Event | Connected, None]:
    """The events of one connection.

    Never ends well: raises SchedulerLostError when there is no connection (any more), ProtocolError when what comes is
    not icecream. Close it (``contextlib.aclosing``) to stop.
    """
    async with connect(host, port) as (reader, writer):
        session = Session()
        writer.write(session.greeting())
        connected = False
        while True:
            try:
                data = await _read(reader, session, host, port)
            except TimeoutError:
                raise SchedulerLostError(host, port, f"It fell silent for {PATIENCE:.0f} s within a message.") from None
            except OSError as error:
                raise SchedulerLostError(host, port, error.strerror or str(error)) from error
            malformed = None
            try:
                events, answer = session.receive(data)
            except ProtocolError as error:
                events, answer, malformed = error.events, b"", error
            if answer:
                writer.write(answer)
            if session.protocol and not connected:
                connected = True
                yield Connected(host, port, session.protocol)
            for event in events:
                yield event
            if malformed:
                raise malformed
            if not data or SchedulerEnd() in events:
                raise SchedulerLostError(host, port, "It closed the connection.")


async def _read(reader: asyncio.StreamReader, session: Session, host: str, port: int) -> bytes:
    if not session.unfinished:
        return await reader.read(CHUNK)
    async with asyncio.timeout(PATIENCE):
        if session.protocol:
            return await reader.read(CHUNK)
        async with poking(host, port):
            return await reader.read(CHUNK)


async def watch(host: str, port: int) -> AsyncGenerator[Event | Connected | Disconnected, None]:
    """The scheduler's events for ever: when a connection ends it tries again, after 1 s, then less and less often."""
    retry = SHORTEST_RETRY
    while True:
        try:
            async with contextlib.aclosing(watch_once(host, port)) as events:
                async for event in events:
                    retry = SHORTEST_RETRY
                    yield event
        except (SchedulerLostError, ProtocolError) as error:
            yield Disconnected(error.why, retry)
        await asyncio.sleep(retry)
        retry = min(2 * retry, LONGEST_RETRY)
