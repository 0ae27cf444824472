"""Whether this machine's iceccd is logged in to its scheduler, and what the farm offers it.

Asked is the scheduler's own port, as monitors do: a farm's server lets nobody else get at the control port.
"""

from __future__ import annotations

import asyncio
import contextlib

from msgspec import Struct

from farm.scheduler.connection import poking
from farm.scheduler.control import ListedNode
from farm.scheduler.monitor import Connected, Watched, watch_batches, watch_once
from farm.scheduler.protocol import NodeOffline, NodeStats
from farm.workstation.join.iceccd import answers
from farm.workstation.membership import Membership

LOGIN_SECONDS = 60.0
"""An iceccd that has just lost a scheduler waits for up to 51 s (daemon/main.cpp)."""
NUDGE_SECONDS = 0.5
FIRST_SECONDS = 3.0
"""A scheduler without daemons tells nothing, and a busy one is late."""
SETTLE_SECONDS = 0.3
"""After the log-in the scheduler tells of all its daemons at once."""
LISTEN_SECONDS = 10.0
"""For all of that, though new daemons log in without end."""
MAX_DAEMONS = 4096


class Offer(Struct, frozen=True):
    """What a farm has for a workstation."""

    logged_in: bool = False
    """Its iceccd."""
    nodes: int = 0
    """That take jobs; some may be too busy at the moment."""
    slots: int = 0
    """Of those."""


class Hosts:
    """The daemons that a scheduler has told of, by their login."""

    def __init__(self) -> None:
        self._hosts: dict[int, NodeStats] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    @property
    def all(self) -> list[NodeStats]:
        """What each last said."""
        return list(self._hosts.values())

    def fold(self, event: Watched) -> bool:
        """Take in an event; whether it tells of a daemon that was not known."""
        before = len(self._hosts)
        match event:
            case Connected():
                self._hosts.clear()
            case NodeStats():
                self._hosts[event.host] = event
            case NodeOffline():
                self._hosts.pop(event.host, None)
        return len(self._hosts) > before

    def offer(self, submitter: str) -> Offer:
        """What they have for that submitter."""
        takers = [host for host in self._hosts.values() if host.max_jobs > 0 and not host.no_remote]
        others = [host for host in takers if host.name != submitter]
        return Offer(
            logged_in=any(host.name == submitter for host in self._hosts.values()),
            nodes=len(others),
            slots=sum(host.max_jobs for host in others),
        )


async def wait_for_login(membership: Membership, seconds: float = LOGIN_SECONDS) -> Offer:
    """Wait until this machine's iceccd is logged in; after ``seconds`` the offer says that it is not.

    The scheduler is poked meanwhile: it may sleep for 36 s before it looks at who wants to log in.
    """
    hosts = Hosts()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), poking(membership.scheduler, membership.port):
            follower = asyncio.create_task(_follow(membership, hosts))
            try:
                while not hosts.offer(membership.submitter).logged_in:
                    await asyncio.to_thread(answers, membership.socket)  # iceccd then looks for its scheduler
                    await asyncio.sleep(NUDGE_SECONDS)
                await asyncio.sleep(SETTLE_SECONDS)
            finally:
                follower.cancel()
                await asyncio.wait([follower])
    return hosts.offer(membership.submitter)


async def logged_in(membership: Membership) -> list[ListedNode]:
    """The daemons that are logged in, as the control port would list them, but for the jobs that they have in hand.

    Raises SchedulerLostError or ProtocolError.
    """
    return [
        ListedNode(
            name=host.name,
            address=host.address,
            port=0,
            platform=host.platform,
            speed=host.speed,
            jobs=0,
            max_jobs=0 if host.no_remote else host.max_jobs,
            load=host.load,
        )
        for host in await daemons(membership.scheduler, membership.port)
    ]


async def daemons(host: str, port: int, settle: float = SETTLE_SECONDS) -> list[NodeStats]:
    """The daemons of which the scheduler tells a new monitor; ``settle`` seconds after the last that was new.

    What else it tells meanwhile does not count: a busy one is never silent. Raises SchedulerLostError or ProtocolError.
    """
    hosts = Hosts()
    clock = asyncio.get_running_loop().time
    with contextlib.suppress(TimeoutError):
        async with contextlib.aclosing(watch_once(host, port)) as events:
            await anext(events)  # connected; a scheduler that is away ends here
            end = clock() + LISTEN_SECONDS
            async with asyncio.timeout(FIRST_SECONDS) as limit:
                async for event in events:
                    if hosts.fold(event):
                        limit.reschedule(min(clock() + settle, end))
                    if len(hosts) >= MAX_DAEMONS:
                        break
    return hosts.all


async def _follow(membership: Membership, hosts: Hosts) -> None:
    async with contextlib.aclosing(watch_batches(membership.scheduler, membership.port, seed=False)) as batches:
        async for batch in batches:
            for event in batch:
                hosts.fold(event)
