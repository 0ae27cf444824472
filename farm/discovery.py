"""Multicast DNS on the lab's network: the nodes' advertisements, and the farm's own.

What arrives is a hint from a stranger. It is bounded here in number and size, and judged in `farm.state`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from farm.config import Config
from farm.events import Beacon, BeaconLost, BeaconSeen

NODES = "_farm-node._tcp.local."
FARMS = "_farm._tcp.local."
MAX_INSTANCES = 4096
MAX_TEXT = 128
MAX_QUESTIONS = 64
"""Instances asked about at a time; the details of more than these are not fetched."""
ANSWER_MILLISECONDS = 3000

_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")

Publish = Callable[[BeaconSeen | BeaconLost], None]


def parse_beacon(
    instance: str, addresses: list[str], port: int | None, properties: Mapping[bytes, bytes | None]
) -> Beacon | None:
    """An advertisement as a record; None when it cannot be a node's (no MAC, no address, values too long)."""
    text = {}
    for key in ("farm", "mac", "image", "version", "slots", "stage", "boot"):
        value = (properties.get(key.encode()) or b"")[: MAX_TEXT + 1].decode(errors="replace")
        if len(value) > MAX_TEXT or not value.isprintable():
            return None
        text[key] = value
    slots = int(text["slots"]) if re.fullmatch(r"[0-9]{1,4}", text["slots"]) else 0
    if not _MAC.fullmatch(text["mac"]) or not addresses or not port or len(instance) > 2 * MAX_TEXT:
        return None
    return Beacon(
        instance=instance,
        farm=text["farm"],
        mac=text["mac"],
        address=addresses[0],
        port=port,
        image=text["image"],
        version=text["version"],
        slots=slots,
        stage=text["stage"],
        boot=text["boot"],
    )


class Browser:
    """Follows the advertisements of nodes and hands each change to ``publish``."""

    def __init__(self, zeroconf: AsyncZeroconf, publish: Publish) -> None:
        self._zeroconf = zeroconf
        self._publish = publish
        self._instances: set[str] = set()
        self._questions: set[asyncio.Task[None]] = set()

    def changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        """Called by zeroconf (it passes these by name) for every instance that comes, changes or goes."""
        if state_change is ServiceStateChange.Removed:
            self._instances.discard(name)
            self._publish(BeaconLost(name, time.time()))
        elif len(self._questions) < MAX_QUESTIONS and (name in self._instances or len(self._instances) < MAX_INSTANCES):
            self._instances.add(name)
            task = asyncio.get_running_loop().create_task(self._ask(name))
            self._questions.add(task)
            task.add_done_callback(self._questions.discard)

    async def _ask(self, name: str) -> None:
        info = AsyncServiceInfo(NODES, name)
        if not await info.async_request(self._zeroconf.zeroconf, ANSWER_MILLISECONDS):
            return
        addresses = info.parsed_addresses(IPVersion.V4Only)
        beacon = parse_beacon(name, addresses, info.port, info.properties)
        if beacon is not None and name in self._instances:
            self._publish(BeaconSeen(beacon, time.time()))

    async def close(self) -> None:
        """Give up the questions that are open."""
        questions = list(self._questions)
        for task in questions:
            task.cancel()
        await asyncio.gather(*questions, return_exceptions=True)


@contextlib.asynccontextmanager
async def discovering(address: str, publish: Publish) -> AsyncIterator[AsyncZeroconf]:
    """Hand the nodes' advertisements that reach ``address`` to ``publish`` inside the ``async with``."""
    zeroconf = AsyncZeroconf(interfaces=[address], ip_version=IPVersion.V4Only)
    try:
        browser = Browser(zeroconf, publish)
        watch = AsyncServiceBrowser(zeroconf.zeroconf, NODES, handlers=[browser.changed])
        try:
            yield zeroconf
        finally:
            await watch.async_cancel()
            await browser.close()
    finally:
        await zeroconf.async_close()


def farm_advertisement(config: Config) -> AsyncServiceInfo:
    """What the server says of itself: farm, where it is served from, the scheduler."""
    return AsyncServiceInfo(
        FARMS,
        f"{config.name}.{FARMS}",
        parsed_addresses=[config.server],
        port=config.http_port,
        properties={
            "farm": config.name,
            "api": f"http://{config.server}:{config.http_port}",
            "scheduler": f"{config.server}:{config.scheduler.port}",
        },
        server=f"{config.name}-server.local.",
    )
