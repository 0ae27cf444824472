"""Finding schedulers: one byte by UDP asks, whoever schedules answers with its version, start time and netname.

Source: DiscoverSched and Broadcasts in services/comm.cpp of icecc/icecream.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from ipaddress import IPv4Interface
from struct import Struct as Layout

import psutil
from msgspec import Struct

from farm.errors import FarmError, UsageError
from farm.node.contract import MAX_PORT, PORT
from farm.node.ports import SCHEDULER_PORT
from farm.scheduler.channel import NEWEST_PROTOCOL

DISCOVERY_SECONDS = 2.0
"""As long as the reference waits for all to answer."""
MAX_FOUND = 256
"""Schedulers; whoever invents more has them left out."""
MAX_NETNAME = 255
MAX_NAMED_NETNAMES = 8
"""Netnames that an error lists."""

_SHORT, _MIDDLE, _LONG = 16, 32, 268
"""Bytes of an answer: up to protocol 32, to 35, and since."""
_HOST_ORDER = (Layout("<xIQ"), Layout(">xIQ"))
_NETWORK_ORDER = Layout("!xIQ")
_ANNOUNCEMENT = Layout("!3sBQ")


class Found(Struct, frozen=True):
    """What a scheduler says of itself. ``started`` is Unix time by its clock; 0: too old to tell."""

    protocol: int
    started: int
    netname: str


class FoundScheduler(Struct, frozen=True):
    """A scheduler that has answered from ``address`` and ``port``."""

    address: str
    port: int
    protocol: int
    started: int
    netname: str


def parse_reply(data: bytes, asked_version: int = NEWEST_PROTOCOL) -> Found | None:
    """The answer to a question for ``asked_version``, or a scheduler's unsolicited announcement; None for all else."""
    if len(data) == _LONG and data.startswith(b"ICF"):
        _, protocol, started = _ANNOUNCEMENT.unpack_from(data)
        return _found(protocol, started, data[_ANNOUNCEMENT.size :])
    match len(data), data[:1]:
        case (n, mark) if n == _SHORT and mark == bytes([asked_version + 1]):
            return _found(32, 0, data[1:])
        case (n, mark) if n in (_MIDDLE, _LONG) and mark == bytes([asked_version + 2]):
            # Written in the byte order of the scheduler's machine: the one in which its version makes sense.
            for layout in _HOST_ORDER:
                protocol, started = layout.unpack_from(data)
                if found := _found(protocol, started, data[layout.size :]):
                    return found
        case (n, mark) if n == _LONG and mark == bytes([asked_version + 3]):
            protocol, started = _NETWORK_ORDER.unpack_from(data)
            return _found(protocol, started, data[_NETWORK_ORDER.size :])
    return None


def _found(protocol: int, started: int, netname: bytes) -> Found | None:
    """None for a version that the reference calls bogus. The last byte is no part of the name, whatever it says."""
    if not 1 <= protocol < 128:
        return None
    return Found(protocol, started, netname[:-1].partition(b"\0")[0][:MAX_NETNAME].decode(errors="replace"))


class _Collector(asyncio.DatagramProtocol):
    """Keeps the latest answer of each address. A scheduler answers from the ``port`` that it is asked at."""

    def __init__(self, port: int) -> None:
        self.found: dict[str, FoundScheduler] = {}
        self.answered = asyncio.Event()
        self._port = port

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        address, port = addr
        found = parse_reply(data) if port == self._port else None
        if found and (len(self.found) < MAX_FOUND or address in self.found):
            self.found[address] = FoundScheduler(address, port, found.protocol, found.started, found.netname)
            self.answered.set()

    def error_received(self, exc: Exception) -> None:
        """An interface that cannot send, a host without a scheduler: nobody answers, and that says it."""


async def discover(
    port: int = SCHEDULER_PORT,
    seconds: float = DISCOVERY_SECONDS,
    host: str | None = None,
    interface: str | None = None,
) -> list[FoundScheduler]:
    """The schedulers that answer within ``seconds``, by address.

    Asked are all that hear a broadcast on any of this machine's interfaces (or on ``interface``), or ``host`` alone,
    which is not waited for any longer once it has answered. Raises FarmError when ``host`` has no address.
    """
    targets = addresses_to_ask(interface) if host is None else [await address_of(host)]
    loop = asyncio.get_running_loop()
    transport, collector = await loop.create_datagram_endpoint(
        lambda: _Collector(port), family=socket.AF_INET, allow_broadcast=True, local_addr=("0.0.0.0", 0)
    )
    with contextlib.closing(transport):
        for _ in range(2):  # once more half-way, since a datagram may get lost
            for target in targets:
                transport.sendto(bytes([NEWEST_PROTOCOL]), (target, port))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds / 2):
                    await (collector.answered.wait() if host is not None else asyncio.Event().wait())
                break
    return [collector.found[key] for key in sorted(collector.found)]


def addresses_to_ask(interface: str | None = None) -> list[str]:
    """The broadcast address of every interface (or of one) that has one, and its own; loopback when there are none.

    A scheduler that was bound to an interface (``-i``) hears no broadcast: at least this machine's own can be found.
    """
    found: dict[str, None] = {}
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses if interface in (None, name.partition(":")[0]) else []:
            loopback = address.address.startswith("127.")
            if address.family == socket.AF_INET and address.netmask and not address.ptp and not loopback:
                network = IPv4Interface(f"{address.address}/{address.netmask}").network
                found |= {address.broadcast or str(network.broadcast_address): None, address.address: None}
    return list(found) or ["127.0.0.1"]


async def address_of(host: str) -> str:
    """The IPv4 address of a host name or address: icecream speaks no IPv6. Raises FarmError."""
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        mend = "Check the name, or give its IPv4 address: --scheduler HOST[:PORT]"
        raise FarmError(f"The scheduler's host {host!r} has no IPv4 address.", f"{why}.", mend) from error
    return str(infos[0][4][0])


def choose(found: Iterable[FoundScheduler], netname: str | None) -> FoundScheduler:
    """The scheduler that a daemon of that netname takes: of the highest version the one that has run longest.

    Case does not matter in netnames; without one, all that answered must share one. Raises FarmError.
    """
    candidates = list(found)
    names = sorted({scheduler.netname.lower(): scheduler.netname for scheduler in candidates}.values())
    named = ", ".join(map(repr, names[:MAX_NAMED_NETNAMES])) + (
        f" and {len(names) - MAX_NAMED_NETNAMES} more" * (len(names) > MAX_NAMED_NETNAMES)
    )
    if not candidates:
        raise FarmError(
            "No scheduler answers.",
            "There was no reply to a broadcast on this machine's networks.",
            "Start one, or give its address: --scheduler HOST[:PORT]",
        )
    if netname is None and len(names) > 1:
        raise FarmError("There are several icecream networks.", f"Their netnames: {named}.", "Name one: --netname NAME")
    if netname is not None:
        candidates = [scheduler for scheduler in candidates if scheduler.netname.lower() == netname.lower()]
        if not candidates:
            raise FarmError(
                f"No scheduler of netname {netname!r} answers.",
                f"There are: {named}.",
                "Name one of them: --netname NAME",
            )
    return max(candidates, key=lambda scheduler: (scheduler.protocol, -scheduler.started))


def rivals(found: Iterable[FoundScheduler], address: str, netname: str) -> list[FoundScheduler]:
    """Other schedulers than the one at ``address`` that call the same netname their own: daemons may go to them.

    A scheduler that answers from several addresses is one, which its start time gives away.
    """
    same = [scheduler for scheduler in found if scheduler.netname.lower() == netname.lower()]
    ours = {_identity(scheduler) for scheduler in same if scheduler.address == address and scheduler.started}
    return [scheduler for scheduler in same if scheduler.address != address and _identity(scheduler) not in ours]


def _identity(scheduler: FoundScheduler) -> tuple[int, int, int]:
    return scheduler.started, scheduler.port, scheduler.protocol


async def resolve(scheduler: str | None, netname: str | None) -> tuple[str, int]:
    """Address and port of the scheduler that ``--scheduler HOST[:PORT]`` or ``--netname NAME`` means.

    Without either, of the only one that answers. Raises FarmError, or UsageError for what cannot be meant.
    """
    if scheduler is None:
        chosen = choose(await discover(), netname)
        return chosen.address, chosen.port
    if netname is not None:
        raise UsageError("Use either --scheduler or --netname.", "The address already determines the scheduler.", "")
    host, port = parse_target(scheduler)
    return await address_of(host), port


def parse_target(text: str) -> tuple[str, int]:
    """``HOST[:PORT]`` taken apart. Raises UsageError."""
    host, colon, port = text.partition(":")
    good = PORT.fullmatch(port) and int(port) < MAX_PORT  # the control port is the next
    if not host or not host.isprintable() or (colon and not good):
        raise UsageError(
            f"{text!r} is not a valid scheduler address.",
            f"The format is HOST or HOST:PORT, with IPv4; the default port is {SCHEDULER_PORT}.",
            "",
        )
    return host, int(port) if colon else SCHEDULER_PORT
