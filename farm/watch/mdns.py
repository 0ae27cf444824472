"""Multicast DNS: the nodes' advertisements on the lab's network, the farm's own, and farms that a workstation may join.

What arrives is a hint from a stranger. It is bounded here in number and size, and judged in `farm.watch.state`, or by
the person who joins.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping

from msgspec import Struct
from zeroconf import (
    Error,
    InterfaceChoice,
    IPVersion,
    RecordUpdate,
    RecordUpdateListener,
    ServiceStateChange,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from farm.config import Config
from farm.node.contract import MAC, MAX_PORT, SCHEDULER
from farm.watch.events import Beacon, BeaconLost, BeaconSeen

NODES = "_farm-node._tcp.local."
FARMS = "_farm._tcp.local."
MAX_INSTANCES = 4096
MAX_ADVERTISED = 128
MAX_NAME = 254
"""Bytes of a name with its last dot, as those of a label below: RFC 1035, section 2.3.4."""
MAX_LABEL = 63
MAX_QUESTIONS = 64
"""Instances asked about at a time. Most need no question, since their details came with the advertisement."""
ANSWER_MILLISECONDS = 3000
FARM_SECONDS = 2.0
"""For farms to say that they are there, and once more for what they say."""

logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # it would report the odd packets of every stranger


Publish = Callable[[BeaconSeen | BeaconLost], None]


def parse_beacon(
    instance: str, addresses: list[str], port: int | None, properties: Mapping[bytes, bytes | None]
) -> Beacon | None:
    """An advertisement as a record; None when it cannot be a node's (no MAC, no address, text that is none)."""
    text = {}
    for key in ("farm", "mac", "image", "stage", "boot"):
        value = (properties.get(key.encode()) or b"")[: MAX_ADVERTISED + 1].decode(errors="replace")
        if len(value) > MAX_ADVERTISED or not value.isprintable():
            return None
        text[key] = value
    if not MAC.fullmatch(text["mac"]) or not addresses or not port:
        return None
    if len(instance) > 2 * MAX_ADVERTISED or not instance.isprintable():
        return None
    return Beacon(
        instance=instance,
        farm=text["farm"],
        mac=text["mac"],
        address=addresses[0],
        port=port,
        image=text["image"],
        stage=text["stage"],
        boot=text["boot"],
    )


def _beacon(info: AsyncServiceInfo) -> Beacon | None:
    return parse_beacon(info.name, info.parsed_addresses(IPVersion.V4Only), info.port, info.properties)


def _instance(service: str, name: str) -> AsyncServiceInfo | None:
    """What is to be known of an instance; None for a name that is none, as with a control character in it."""
    try:
        return AsyncServiceInfo(service, name)
    except Error:
        return None


async def _answered(info: AsyncServiceInfo, zeroconf: Zeroconf, milliseconds: float) -> bool:
    """Ask for an instance's details; whether they came."""
    try:
        return await info.async_request(zeroconf, milliseconds)
    except Error:  # the name came as bytes that no question can hold
        return False


class _Names(RecordUpdateListener):
    """Takes names that cannot be sent out of zeroconf's cache, however their records are spelled.

    It repeats in its questions what it knows: a label that is too long ends them, and nobody understands an empty one.
    """

    def __init__(self, zeroconf: Zeroconf) -> None:
        self._cache = zeroconf.cache
        self._bad: list[RecordUpdate] = []
        zeroconf.async_add_listener(self, None)

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Called by zeroconf before records come into its cache."""
        self._bad += [one for one in records if not _can_be_sent(getattr(one.new, "alias", NODES))]

    def async_update_records_complete(self) -> None:
        """Called by zeroconf when they are there."""
        self._cache.async_remove_records([one.new for one in self._bad])
        self._bad.clear()


def _can_be_sent(name: str) -> bool:
    labels = name.removesuffix(".").split(".")
    return len(name.encode()) <= MAX_NAME and all(0 < len(label.encode()) <= MAX_LABEL for label in labels)


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
            return
        info = _instance(NODES, name)
        if info is None or (name not in self._instances and len(self._instances) >= MAX_INSTANCES):
            return
        if info.load_from_cache(self._zeroconf.zeroconf):
            self._instances.add(name)
            self._tell(info)
        elif len(self._questions) < MAX_QUESTIONS:
            self._instances.add(name)
            task = asyncio.get_running_loop().create_task(self._ask(info))
            self._questions.add(task)
            task.add_done_callback(self._questions.discard)

    async def _ask(self, info: AsyncServiceInfo) -> None:
        if await _answered(info, self._zeroconf.zeroconf, ANSWER_MILLISECONDS) and info.name in self._instances:
            self._tell(info)

    def _tell(self, info: AsyncServiceInfo) -> None:
        if beacon := _beacon(info):
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
    _Names(zeroconf.zeroconf)
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


class FoundFarm(Struct, frozen=True):
    """What somebody says is a farm."""

    name: str
    netname: str
    scheduler: str
    """Address of the farm's scheduler."""
    port: int
    api: str
    """Where farmd answers over HTTP, on the scheduler's machine; empty when it does not."""


def parse_farm(properties: Mapping[bytes, bytes | None]) -> FoundFarm | None:
    """An advertisement's text as a record; None when it is not one of a farm's."""
    text = {}
    for key in ("farm", "netname", "scheduler", "api"):
        value = (properties.get(key.encode()) or b"")[: MAX_ADVERTISED + 1].decode(errors="replace")
        if len(value) > MAX_ADVERTISED or not value.isprintable():
            return None
        text[key] = value
    scheduler = _address_and_port(text["scheduler"])
    if not text["farm"] or not text["netname"] or scheduler is None or scheduler[1] == MAX_PORT:
        return None
    api = _address_and_port(text["api"].removeprefix("http://")) if text["api"].startswith("http://") else None
    if text["api"] and (api is None or api[0] != scheduler[0]):
        return None  # whoever has a token for the farm would show it to somebody else
    return FoundFarm(text["farm"], text["netname"], *scheduler, text["api"])


def _address_and_port(text: str) -> tuple[str, int] | None:
    if not SCHEDULER.fullmatch(text):
        return None
    address, _, port = text.partition(":")
    return address, int(port)


async def find_farms(seconds: float = FARM_SECONDS) -> list[FoundFarm]:
    """The farms that say within ``seconds``, on any network of this machine, that they are there; by name."""
    found = {farm for info in await _advertised(FARMS, seconds) if (farm := parse_farm(info.properties)) is not None}
    return sorted(found, key=lambda farm: (farm.name, farm.scheduler, farm.port))


async def find_nodes(seconds: float = FARM_SECONDS) -> list[Beacon]:
    """The nodes that say within ``seconds``, on any network of this machine, that they are there."""
    return [beacon for info in await _advertised(NODES, seconds) if (beacon := _beacon(info)) is not None]


async def _advertised(service: str, seconds: float) -> list[AsyncServiceInfo]:
    """What is advertised within ``seconds``, with its details; those that are missing are asked for as long again.

    Names without details cost nothing to invent, so only so many are asked about: they must not hide who has told all.
    """
    infos: dict[str, AsyncServiceInfo] = {}

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Removed or len(infos) >= MAX_INSTANCES:
            return
        if info := _instance(service, name):
            infos[name] = info

    try:
        zeroconf = AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.V4Only)
    except (OSError, Error, RuntimeError):  # no network, or none that multicast may be sent to; no interface at all
        return []
    _Names(zeroconf.zeroconf)
    try:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, service, handlers=[changed])
        try:
            await asyncio.sleep(seconds)
        finally:
            await browser.async_cancel()
        unknown = [info for info in infos.values() if not info.load_from_cache(zeroconf.zeroconf)][:MAX_QUESTIONS]
        await asyncio.gather(*[_answered(info, zeroconf.zeroconf, seconds * 1000) for info in unknown])
    finally:
        await zeroconf.async_close()
    return list(infos.values())


def farm_advertisement(config: Config) -> AsyncServiceInfo:
    """What the server says of itself: farm, scheduler, and where farmd answers, if it does on this network."""
    properties = {
        "farm": config.name,
        "netname": config.netname,
        "scheduler": f"{config.scheduler_host}:{config.scheduler.port}",
    }
    if config.api.port:
        properties["api"] = f"http://{config.server}:{config.api.port}"
    return AsyncServiceInfo(
        FARMS,
        f"{config.name}.{FARMS}",
        parsed_addresses=[config.server],
        port=config.scheduler.port,
        properties=properties,
        server=f"{config.name}-server.local.",
    )
