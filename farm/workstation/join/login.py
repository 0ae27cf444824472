"""Whether this machine's iceccd is logged in to its scheduler, and what the farm offers it.

Asked is the scheduler's own port, as monitors do: a farm's server lets nobody else get at the control port.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from msgspec import Struct

from farm.scheduler.connection import poking
from farm.scheduler.monitor import SETTLE_SECONDS, Connected, Disconnected, Watched, watch_batches, watch_once
from farm.scheduler.protocol import NodeForged, NodeOffline, NodeStats
from farm.watch.activity import Activity, Host, fold
from farm.watch.activity.daemons import MAX_HOSTS
from farm.workstation.join.iceccd import answers
from farm.workstation.membership import Membership

LOGIN_SECONDS = 60.0
"""An iceccd that has just lost a scheduler waits for up to 51 s (daemon/main.cpp)."""
NUDGE_SECONDS = 0.5
FIRST_SECONDS = 3.0
"""A scheduler without daemons tells nothing, and a busy one is late."""
LISTEN_SECONDS = 10.0
"""For all of that, though new daemons log in without end."""
ABOUT_DAEMONS = (Connected, Disconnected, NodeStats, NodeForged, NodeOffline)


class Offer(Struct, frozen=True):
    """What a farm has for a workstation."""

    logged_in: bool = False
    """Whether the workstation's iceccd is logged in."""
    nodes: int = 0
    """That take jobs; some may be too busy at the moment."""
    slots: int = 0
    """Slots of these nodes together."""


def offer(activity: Activity, submitter: str) -> Offer:
    """What the daemons that are logged in have for that submitter."""
    others = [host for host in activity.online if host.offered and host.name != submitter]
    return Offer(
        logged_in=any(host.name == submitter for host in activity.online),
        nodes=len(others),
        slots=sum(host.offered for host in others),
    )


class _Look:
    """The daemons of which a scheduler tells, without the jobs."""

    def __init__(self) -> None:
        self.activity = Activity()

    def take(self, event: Watched) -> bool:
        """Take in an event; whether it tells of a daemon that was not known."""
        before = len(self.activity.ids)
        if isinstance(event, ABOUT_DAEMONS):
            self.activity = fold(self.activity, event, time.time())
        return len(self.activity.ids) > before


async def wait_for_login(membership: Membership, seconds: float = LOGIN_SECONDS) -> Offer:
    """Wait until this machine's iceccd is logged in; after ``seconds`` the offer says that it is not.

    The scheduler is poked meanwhile: it may sleep for 36 s before it looks at who wants to log in.
    """
    look = _Look()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), poking(membership.scheduler, membership.port):
            follower = asyncio.create_task(_follow(membership, look))
            try:
                while not offer(look.activity, membership.submitter).logged_in:
                    await asyncio.to_thread(answers, membership.socket)  # iceccd then looks for its scheduler
                    await asyncio.sleep(NUDGE_SECONDS)
                await asyncio.sleep(SETTLE_SECONDS)
            finally:
                follower.cancel()
                await asyncio.wait([follower])
    return offer(look.activity, membership.submitter)


async def logged_in(membership: Membership) -> list[Host]:
    """The daemons that are logged in; their jobs are not known. Raises SchedulerLostError or ProtocolError."""
    return (await daemons(membership.scheduler, membership.port)).online


async def daemons(host: str, port: int, settle: float = SETTLE_SECONDS) -> Activity:
    """The daemons of which the scheduler tells a new monitor; ``settle`` seconds after the last that was new.

    What else it tells meanwhile does not count: a busy one is never silent. Raises SchedulerLostError or ProtocolError.
    """
    look = _Look()
    clock = asyncio.get_running_loop().time
    with contextlib.suppress(TimeoutError):
        async with contextlib.aclosing(watch_once(host, port)) as events:
            await anext(events)  # connected; a scheduler that is away ends here
            end = clock() + LISTEN_SECONDS
            async with asyncio.timeout(FIRST_SECONDS) as limit:
                async for event in events:
                    if look.take(event):
                        limit.reschedule(min(clock() + settle, end))
                    if len(look.activity.hosts) >= MAX_HOSTS:
                        break
    return look.activity


async def _follow(membership: Membership, look: _Look) -> None:
    async with contextlib.aclosing(watch_batches(membership.scheduler, membership.port, seed=False)) as batches:
        async for batch in batches:
            for event in batch:
                look.take(event)
