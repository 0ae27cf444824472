"""Watching a scheduler: its events as they come, over as many connections as that takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from farm.node.retry import pauses
from farm.scheduler.channel import ProtocolError
from farm.scheduler.connection import SCHEDULER_SILENCE_SECONDS, SchedulerLostError, connect, poking, reason
from farm.scheduler.control import Control, ListedJob, ListedNode, list_all, parse_jobs
from farm.scheduler.protocol import Event, JobDone, LocalDone, MonitorSession, SchedulerEnd

SOCKET_CHUNK = 1 << 16
SHORTEST_RETRY = 1.0
LONGEST_RETRY = 30.0
SETTLE_SECONDS = 0.3
"""After the log-in the scheduler tells of all its daemons at once."""


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


class Seeded(Struct, frozen=True):
    """What the control port told: the jobs that were in flight, without those that have ended since, and more.

    Comes once per connection, after the first node's stats; empty when the control port does not answer. Jobs that
    began meanwhile may have been seen already, or are told of later. Ids and names are the monitor's.
    """

    jobs: tuple[ListedJob, ...] = ()
    nodes: tuple[ListedNode, ...] = ()
    blocked: tuple[str, ...] = ()


Watched = Event | Connected | Disconnected | Seeded


async def watch_once(host: str, port: int) -> AsyncGenerator[Watched, None]:
    """The events of one connection.

    Never ends well: raises SchedulerLostError when there is no connection (any more), ProtocolError when what comes is
    not icecream. Close it (``contextlib.aclosing``) to stop.
    """
    async with contextlib.aclosing(_batches(host, port)) as batches:
        async for batch in batches:
            for event in batch:
                yield event


async def _batches(host: str, port: int) -> AsyncGenerator[list[Watched], None]:
    """The events of one connection, those together that were read together. Never empty; ends like `watch_once`."""
    async with connect(host, port) as (reader, writer):
        session = MonitorSession()
        writer.write(session.greeting())
        connected = False
        while True:
            try:
                data = await _read(reader, session, host, port)
            except TimeoutError:
                within = " within a message" if session.protocol else ": the program is not a scheduler, or hangs"
                raise SchedulerLostError(
                    host, port, f"There was no message for {SCHEDULER_SILENCE_SECONDS:.0f} s{within}."
                ) from None
            except OSError as error:
                raise SchedulerLostError(host, port, reason(error)) from error
            malformed = None
            try:
                events, answer = session.receive(data)
            except ProtocolError as error:
                events, answer, malformed = session.events, b"", error
            if answer:
                writer.write(answer)
            if session.protocol and not connected:
                connected = True
                yield [Connected(host, port, session.protocol)]
            if events:
                yield [*events]
            if malformed:
                raise malformed
            if not data or SchedulerEnd() in events:
                raise SchedulerLostError(host, port, "The scheduler closed the connection.")


async def _read(reader: asyncio.StreamReader, session: MonitorSession, host: str, port: int) -> bytes:
    if not session.unfinished:
        return await reader.read(SOCKET_CHUNK)
    async with asyncio.timeout(SCHEDULER_SILENCE_SECONDS):
        if session.protocol:
            return await reader.read(SOCKET_CHUNK)
        async with poking(host, port):
            return await reader.read(SOCKET_CHUNK)


async def watch_batches(host: str, port: int, *, seed: bool = True) -> AsyncGenerator[list[Watched], None]:
    """The scheduler's events for ever: when a connection ends it tries again, after 1 s, then less and less often.

    What came together is in one list: a busy scheduler has thousands of events a second. With ``seed`` the jobs in
    flight are asked for at the control port.
    """
    waits = pauses(SHORTEST_RETRY, LONGEST_RETRY)
    while True:
        try:
            async with contextlib.aclosing(_seeded(host, port) if seed else _batches(host, port)) as batches:
                async for batch in batches:
                    waits = pauses(SHORTEST_RETRY, LONGEST_RETRY)
                    yield batch
        except (SchedulerLostError, ProtocolError) as error:
            retry = next(waits)
            yield [Disconnected(error.why, retry)]
            await asyncio.sleep(retry)


async def _seeded(host: str, port: int) -> AsyncGenerator[list[Watched], None]:
    """`_batches`, and amidst them what the control port told.

    It is asked when the first event is there: from then on the scheduler tells us of every job's end, so that none is
    listed whose end we would miss. Those whose end came before the list did are taken from it.
    """
    async with contextlib.aclosing(_batches(host, port)) as batches:
        yield await anext(batches)  # Connected
        batch = await anext(batches)
        ended: set[int] = set()
        listing, reading = asyncio.create_task(_listing_or_nothing(host, port)), None
        try:
            while True:
                ended.update([event.job for event in batch if isinstance(event, JobDone | LocalDone)])
                yield batch
                reading = asyncio.ensure_future(anext(batches))
                await asyncio.wait([reading, listing], return_when=asyncio.FIRST_COMPLETED)
                if listing.done():
                    break
                batch = reading.result()
            listed = listing.result()
            yield [replace(listed, jobs=tuple([job for job in listed.jobs if job.id not in ended]))]
            yield await reading
        finally:
            await _cancel(listing, *([reading] if reading else []))
        async for batch in batches:
            yield batch


async def listing(host: str, port: int) -> Seeded:
    """What the control port tells. Raises SchedulerLostError or ProtocolError."""
    async with Control(host, port) as control:
        jobs = parse_jobs(await control.ask("listjobs"))
        nodes, blocked = await list_all(control)
        return Seeded(tuple(jobs), tuple(nodes), tuple(blocked))


async def _listing_or_nothing(host: str, port: int) -> Seeded:
    try:
        return await listing(host, port)
    except (SchedulerLostError, ProtocolError):
        return Seeded()


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
