"""Where farmd's events come from. Each source runs until it is cancelled, and hands what it sees to ``publish``."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time

from msgspec import Struct

from farm.config import Config
from farm.daemon.follow import Follower, Position, cut
from farm.home import Home
from farm.netboot.boot_logs import parse_dnsmasq, parse_nginx
from farm.netboot.leases import addresses, parse_leases
from farm.nodes import pending
from farm.scheduler.connection import poke
from farm.supervisor import Supervisor
from farm.watch import service_source
from farm.watch.events import BootEvent, Ordered, OrdersSeen, Stage
from farm.watch.mdns import discovering, farm_advertisement
from farm.watch.scheduler_source import Look, Publish
from farm.watch.state import Node

LOG_SECONDS = 0.25
LEASE_SECONDS = 2.0
REOPEN_SECONDS = 10.0
EVENTS_AT_ONCE = 256
"""Boot events taken before others have their turn."""
MIN_LOG_ROOM = 64 * 1024
"""Bytes: so little is no room for logs."""
SERVICES_SECONDS = 2.0
STARTING_SECONDS = 0.25
"""While one starts, which takes a second."""
ORDERS_SECONDS = 1.0
POKE_SECONDS = 1.2
"""A poke counts only when a second has passed since the scheduler last accepted a connection."""
LONGEST_BOOT_SECONDS = 300.0
"""A boot that takes longer hangs; nobody is waited for."""


class Seen(Struct, frozen=True):
    """How far the logs were read, for who goes on from there."""

    time: float = 0.0
    """Unix time at which there was last something to read."""
    positions: dict[str, Position] = {}


class BootLogs:
    """dnsmasq's and nginx's logs, from their beginning, or from where an earlier farmd had come to."""

    def __init__(self, home: Home, since: Seen | None = None) -> None:
        since = since or Seen()
        self._folder = home.logs
        self._dnsmasq = Follower(home.logs / "dnsmasq.log", since.positions.get("dnsmasq.log"))
        self._nginx = Follower(home.logs / "nginx-access.log", since.positions.get("nginx-access.log"))
        self._since = since.time
        self._read = self.seen = since
        """``seen``: as far as the state knows what is in them."""
        self.problem = ""
        """What keeps dnsmasq and nginx from writing them."""

    def read(self, now: float) -> list[BootEvent]:
        """What has happened since the last call, in its order; blocks while it reads.

        nginx's log is read first: what a request followed from is then surely in dnsmasq's.
        """
        requests = [event for line in self._nginx.lines() if (event := parse_nginx(line))]
        lines = self._dnsmasq.lines()
        leases = parse_dnsmasq(lines, min(now, self._dnsmasq.written))
        # dnsmasq's stamps are whole seconds.
        events = [
            *self._fresh(self._dnsmasq, leases, math.floor(self._since)),
            *self._fresh(self._nginx, requests, self._since),
        ]
        places = {log.path.name: place for log in (self._dnsmasq, self._nginx) if (place := log.position())}
        if places != self._read.positions:
            self._read = Seen(now, places)
        return sorted(events, key=lambda event: event.time)

    def _fresh(self, log: Follower, events: list[BootEvent], since: float) -> list[BootEvent]:
        """Those that an earlier farmd has not seen: it may have read a file that is not there any more."""
        return events if log.resumed else [event for event in events if event.time >= since]

    def taken(self) -> None:
        """What was read last is in the state."""
        self.seen, self._since = self._read, 0.0

    def tidy(self) -> None:
        """Cut logs that have become long, and look whether there is room for them; blocks."""
        self._dnsmasq.cut()
        self._nginx.cut()
        with contextlib.suppress(OSError):
            for path in (self._folder / "nginx-error.log", *self._folder.glob("*.console.log")):
                cut(path)
            room = os.statvfs(self._folder)
            self.problem = (
                ""
                if room.f_bfree * room.f_frsize > MIN_LOG_ROOM
                else (f"The disk is full, so boots are not logged and not seen. Free some space: df -h {self._folder}")
            )


async def follow_boots(logs: BootLogs, publish: Publish) -> None:
    """Boot events from the logs."""
    while True:
        for number, event in enumerate(await asyncio.to_thread(logs.read, time.time()), 1):
            publish(event)
            if number % EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)  # after an outage there are many, and clients wait for their answers
        logs.taken()
        await asyncio.to_thread(logs.tidy)
        await asyncio.sleep(LOG_SECONDS)


async def watch_leases(home: Home, look: Look, publish: Publish) -> None:
    """Addresses from dnsmasq's lease file, which still tells them when a log was lost, or had too much in it."""
    path, known = home.state / "dhcp.leases", 0
    while True:
        with contextlib.suppress(OSError):
            changed = path.stat().st_mtime_ns
            if changed != known:
                text = await asyncio.to_thread(path.read_text, errors="replace")
                now, known = time.time(), changed
                for mac, address in addresses(parse_leases(text), now).items():
                    node = look().nodes.get(mac)
                    if node is None or node.lease != address:
                        publish(BootEvent(None, now, mac, address))
        await asyncio.sleep(LEASE_SECONDS)


async def reopen_logs(home: Home) -> None:
    """Let dnsmasq and nginx open their logs again, now and then.

    They may have been removed; and dnsmasq gives its own up for good when it cannot be written once (a full disk).
    """
    supervisor = Supervisor(home)
    while True:
        await asyncio.sleep(REOPEN_SECONDS)
        await asyncio.to_thread(supervisor.signal, "dnsmasq", "USR2")
        await asyncio.to_thread(supervisor.signal, "nginx", "USR1")


async def watch_services(home: Home, publish: Publish) -> None:
    """What supervisord says of the farm's processes."""
    supervisor = Supervisor(home)
    while True:
        seen = await asyncio.to_thread(service_source.ask_supervisor, supervisor)
        publish(seen)
        starts = any(service.state == "STARTING" for service in seen.services)
        await asyncio.sleep(STARTING_SECONDS if starts else SERVICES_SECONDS)


async def watch_orders(home: Home, publish: Publish) -> None:
    """What nodes were told and have not done yet."""
    known: tuple[Ordered, ...] = ()
    while True:
        if (orders := await asyncio.to_thread(pending.read, home)) or known:
            publish(OrdersSeen(orders))
        known = orders
        await asyncio.sleep(ORDERS_SECONDS)


async def poke_scheduler(config: Config, look: Look) -> None:
    """Keep the scheduler awake while nodes are about to log in: asleep, it lets them wait for up to 36 s."""
    while True:
        now = time.time()
        if any(_boots(node, now) for node in look().nodes.values()):
            await poke(config.scheduler_host, config.scheduler.port)
        await asyncio.sleep(POKE_SECONDS)


def _boots(node: Node, now: float) -> bool:
    return node.stage in (Stage.KERNEL, Stage.ROOT, Stage.AGENT) and now - node.since < LONGEST_BOOT_SECONDS


async def discover(config: Config, publish: Publish) -> None:
    """The nodes' advertisements; the farm's own stands meanwhile."""
    async with discovering(config.server, publish) as zeroconf:
        await zeroconf.async_register_service(farm_advertisement(config), allow_name_change=True)
        await asyncio.Event().wait()
