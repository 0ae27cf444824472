"""Where farmd's events come from. Each source runs until it is cancelled, and hands what it sees to ``publish``."""

from __future__ import annotations

import asyncio
import time

from farm import ordered
from farm.config import Config
from farm.daemon import services
from farm.daemon.follow import Follower
from farm.discovery import discovering, farm_advertisement
from farm.events import BootEvent, Ordered, OrdersSeen, Stage
from farm.home import Home
from farm.netboot.events import parse_dnsmasq, parse_nginx
from farm.scheduler.connection import poke
from farm.services import Supervisor
from farm.state import Node
from farm.watching import Look, Publish

LOG_SECONDS = 0.25
SERVICES_SECONDS = 2.0
ORDERS_SECONDS = 1.0
POKE_SECONDS = 1.2
"""A poke counts only when a second has passed since the scheduler last accepted a connection."""
BOOT_SECONDS = 300.0
"""A boot that takes longer hangs; nobody is waited for."""


class BootLogs:
    """dnsmasq's and nginx's logs, from their beginning."""

    def __init__(self, home: Home) -> None:
        self._dnsmasq = Follower(home.logs / "dnsmasq.log")
        self._nginx = Follower(home.logs / "nginx-access.log")

    def read(self, now: float) -> list[BootEvent]:
        """What has happened since the last call, in its order; blocks while it reads.

        nginx's log is read first: what a request followed from is then surely in dnsmasq's.
        """
        requests = [parse_nginx(line) for line in self._nginx.lines()]
        leases = [parse_dnsmasq(line, now) for line in self._dnsmasq.lines()]
        return sorted((event for event in [*leases, *requests] if event is not None), key=lambda event: event.time)


async def follow_boots(logs: BootLogs, publish: Publish) -> None:
    """Boot events from the logs."""
    while True:
        for event in await asyncio.to_thread(logs.read, time.time()):
            publish(event)
        await asyncio.sleep(LOG_SECONDS)


async def watch_services(home: Home, publish: Publish) -> None:
    """What supervisord says of the farm's processes."""
    supervisor = Supervisor(home)
    while True:
        publish(await asyncio.to_thread(services.look, supervisor))
        await asyncio.sleep(SERVICES_SECONDS)


async def watch_orders(home: Home, publish: Publish) -> None:
    """What nodes were told and have not done yet."""
    known: tuple[Ordered, ...] = ()
    while True:
        if (orders := await asyncio.to_thread(ordered.read, home)) or known:
            publish(OrdersSeen(orders))
        known = orders
        await asyncio.sleep(ORDERS_SECONDS)


async def poke_scheduler(config: Config, look: Look) -> None:
    """Keep the scheduler awake while nodes are about to log in: asleep, it lets them wait for up to 36 s."""
    while True:
        now = time.time()
        if any(_boots(node, now) for node in look().nodes.values()):
            await poke(config.server, config.scheduler.port)
        await asyncio.sleep(POKE_SECONDS)


def _boots(node: Node, now: float) -> bool:
    return node.stage in (Stage.KERNEL, Stage.ROOT, Stage.AGENT) and now - node.since < BOOT_SECONDS


async def discover(config: Config, publish: Publish) -> None:
    """The nodes' advertisements; the farm's own stands meanwhile."""
    async with discovering(config.server, publish) as zeroconf:
        await zeroconf.async_register_service(farm_advertisement(config), allow_name_change=True)
        await asyncio.Event().wait()
