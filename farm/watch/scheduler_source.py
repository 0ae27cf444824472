"""Watching one scheduler: each function is a source, which runs until cancelled and hands on what it sees."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from farm.errors import FarmError
from farm.node.retry import pauses
from farm.scheduler import discovery, monitor
from farm.scheduler.control import Control, list_all
from farm.watch.activity import Listed, RivalsSeen, Tick
from farm.watch.events import Event, Examined, Finding, SchedulerSaid
from farm.watch.state import ANSWERS, Farm

log = logging.getLogger("farmd")

Publish = Callable[[Event], None]
Look = Callable[[], Farm]
"""Gives the present state."""

CONTROL_SECONDS = 5.0
SCHEDULER_RIVALS_SECONDS = 30.0
SCHEDULER_ANSWER_SECONDS = 4.0
ANSWER_PATIENCE = 2.0
SILENCES = 2
"""So often in a row must a service stay silent before it counts as hung."""
STATE_TICK_SECONDS = 1.0
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


async def watch_scheduler(host: str, port: int, publish: Publish) -> None:
    """The monitor connection, over as many connections as that takes."""
    async with contextlib.aclosing(monitor.watch_batches(host, port)) as batches:
        async for batch in batches:
            now = time.time()
            for event in batch:
                publish(SchedulerSaid(event, now))


async def poll_control(host: str, port: int, look: Look, publish: Publish) -> None:
    """What only the control port tells: who receives an environment, who is blocked. It keeps one connection."""
    async with Control(host, port) as control:
        while True:
            if look().activity.scheduler.up:
                with contextlib.suppress(FarmError):  # the monitor connection tells of a lost scheduler
                    nodes, blocked = await list_all(control)
                    publish(SchedulerSaid(Listed(tuple(nodes), tuple(blocked)), time.time()))
            await asyncio.sleep(CONTROL_SECONDS if look().activity.scheduler.up else STATE_TICK_SECONDS)


async def look_for_rivals(host: str, port: int, netname: str, publish: Publish, interface: str | None = None) -> None:
    """Other schedulers that answer for the netname, by broadcast on ``interface``, or on all of them."""
    seen: tuple[discovery.FoundScheduler, ...] = ()
    while True:
        # Asked by this address it answers from it, and is known by its start time at the others.
        own, found = await asyncio.gather(
            discovery.discover(port, host=host), discovery.discover(port, interface=interface)
        )
        rivals = tuple(discovery.rivals([*own, *found], host, netname))
        if rivals != seen:
            seen = rivals
            publish(SchedulerSaid(RivalsSeen(rivals), time.time()))
        await asyncio.sleep(SCHEDULER_RIVALS_SECONDS)


async def watch_answers(host: str, port: int, publish: Publish) -> None:
    """Whether a scheduler goes on answering: its monitors' connections stay as they are when it hangs.

    One that never answered does not count: a firewall may keep the question from it.
    """
    answered, silences, hung = False, 0, False
    while True:
        found = await discovery.discover(port, ANSWER_PATIENCE, host)
        answered, silences = answered or bool(found), 0 if found else silences + 1
        if hung != (answered and silences >= SILENCES):
            hung = not hung
            why = Finding("service-silent", "The connection is open, but no messages arrive.", "", "scheduler")
            publish(Examined(ANSWERS, (why,) if hung else ()))
        # After a first silence the scheduler is asked again at once: a packet may have been lost.
        await asyncio.sleep(SCHEDULER_ANSWER_SECONDS if silences in (0, SILENCES) else 0)


async def tick(publish: Publish) -> None:
    """A sample of the present every second."""
    while True:
        await asyncio.sleep(STATE_TICK_SECONDS)
        publish(SchedulerSaid(Tick(), time.time()))


async def keep(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run a source, and again when it fails: its trouble is logged, and the others go on meanwhile."""
    waits = pauses(SHORTEST_PAUSE, LONGEST_PAUSE)
    while True:
        started = time.monotonic()
        try:
            await part()
        except Exception:
            log.exception("%s failed and is started again", name)
        if time.monotonic() - started > LONGEST_PAUSE:
            waits = pauses(SHORTEST_PAUSE, LONGEST_PAUSE)
        await asyncio.sleep(next(waits))
