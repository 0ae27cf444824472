"""Where farmd's events come from. Each source runs until it is cancelled, and hands what it sees to ``publish``."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import msgspec

from farm import ordered
from farm.config import Config
from farm.daemon import services
from farm.daemon.follow import Follower
from farm.discovery import discovering, farm_advertisement
from farm.events import BootEvent, Ordered, OrdersSeen, Stage, Telemetry, TelemetryLost, TelemetrySeen
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
TELEMETRY_SECONDS = 5.0
TELEMETRY_TIMEOUT = aiohttp.ClientTimeout(total=4.0)
MAX_TELEMETRY = 64 * 1024
MAX_ASKED = 32
"""Nodes asked at a time."""
FAILURES = 3
"""So often in a row must a node fail to answer before it counts as silent."""


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


async def poll_telemetry(look: Look, publish: Publish) -> None:
    """Ask the nodes that run how they do: every few seconds, and every second while one is coming up."""
    asked: dict[str, float] = {}
    failures: dict[str, int] = {}
    free = asyncio.Semaphore(MAX_ASKED)

    async def ask(session: aiohttp.ClientSession, node: Node) -> None:
        async with free:
            telemetry = await fetch_telemetry(session, node.address, node.port)
        asked[node.mac] = time.monotonic()
        failures[node.mac] = 0 if telemetry else failures.get(node.mac, 0) + 1
        if telemetry:
            publish(TelemetrySeen(node.mac, node.address, telemetry, time.time()))
        elif failures[node.mac] >= FAILURES and node.telemetry is not None:
            publish(TelemetryLost(node.mac, time.time()))

    async with aiohttp.ClientSession(timeout=TELEMETRY_TIMEOUT) as session, asyncio.TaskGroup() as group:
        while True:
            now = time.monotonic()
            for node in look().nodes.values():
                interval = 1.0 if node.stage in (Stage.AGENT, Stage.REGISTERED) else TELEMETRY_SECONDS
                if _answers(node) and now - asked.get(node.mac, -interval) >= interval:
                    asked[node.mac] = now + TELEMETRY_SECONDS  # not again before this question has ended
                    group.create_task(ask(session, node))
            await asyncio.sleep(0.5)


def _answers(node: Node) -> bool:
    """Its agent may be expected to run."""
    return bool(node.address) and (node.verified or node.host is not None or Stage.AGENT in node.stages)


async def fetch_telemetry(session: aiohttp.ClientSession, address: str, port: int) -> Telemetry | None:
    """A node's telemetry, or None when it does not answer, or not with that."""
    data = b""
    try:
        async with session.get(f"http://{address}:{port}/status.json", allow_redirects=False) as answer:
            async for chunk in answer.content.iter_chunked(16384):
                data += chunk
                if len(data) > MAX_TELEMETRY:
                    return None
            return msgspec.json.decode(data, type=Telemetry) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError, UnicodeError):
        return None
