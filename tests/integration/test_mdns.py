"""Multicast DNS with a stranger on the network: what it sends hides nobody, ends nothing and fills no log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from farm.config import Config, SchedulerConfig
from farm.watch.events import BeaconLost, BeaconSeen
from farm.watch.mdns import FoundFarm, discovering, farm_advertisement, find_farms, find_nodes
from farm.workstation.join.candidates import look_around
from tests.lab import NETNAME, PATIENCE, Namespace, namespaces

SERVER, DESK, STRANGER = "10.99.61.1", "10.99.61.2", "10.99.61.3"
FARMS, NODES = (b"_farm", b"_tcp", b"local"), (b"_farm-node", b"_tcp", b"local")
GROUP = ("224.0.0.251", 5353)
LAB = FoundFarm("lab", "icecream-lab", SERVER, 8765, "")
EVIL = [
    b"evil\x1b[2J\x1b]0;owned\x07",
    b"\x00",
    b"\xff" * 63,
    "ü".encode() * 31,
    b"a.b",
    b"a..b",
    b"x\r\nfarmd: all is well",
    b"\x9b31m",
]
"""\\xff becomes three bytes each when it is repeated, and the label too long."""


def name(*labels: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 120, len(data)) + data


def packet(*records: bytes) -> bytes:
    return struct.pack("!6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def pointer(service: tuple[bytes, ...], instance: bytes) -> bytes:
    """That there is such an instance, and nothing of it."""
    return record(name(*service), 12, name(instance, *service))


def evil(service: tuple[bytes, ...]) -> list[bytes]:
    """Instances that are none, by a service's name and by the same in capitals, which zeroconf keeps with it."""
    capitals = tuple(label.upper() for label in service)
    return [
        packet(record(name(*owner), 12, name(instance, *of)))
        for instance in EVIL
        for owner, of in ((service, service), (capitals, service), (capitals, capitals))
    ]


def fake_farm(number: int) -> list[bytes]:
    """All that a farm would say of itself."""
    instance = name(b"fake%d" % number, *FARMS)
    text = [b"farm=fake%d" % number, b"netname=icecream-fake", b"scheduler=10.99.61.%d:8765" % (100 + number % 100)]
    return [
        pointer(FARMS, b"fake%d" % number),
        record(instance, 33, struct.pack("!3H", 0, 0, 8765) + name(b"fake", b"local")),
        record(instance, 16, b"".join(bytes([len(each)]) + each for each in text)),
        record(name(b"fake", b"local"), 1, socket.inet_aton(STRANGER)),
    ]


@pytest.fixture
def lab() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    with namespaces(f"{SERVER}/24", f"{DESK}/24", f"{STRANGER}/24") as (server, desk, stranger):
        yield server, desk, stranger


@contextlib.contextmanager
def sending(stranger: Namespace, *packets: bytes) -> Iterator[None]:
    """The stranger sends these again and again."""
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(STRANGER))
            while not stop.wait(0.1):
                for each in packets:
                    sock.sendto(each, GROUP)

    thread = threading.Thread(target=lambda: stranger.call(send))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


LAB_CONFIG = Config(name="lab", address=f"{SERVER}/24")


@contextlib.contextmanager
def advertised(server: Namespace, config: Config = LAB_CONFIG) -> Iterator[None]:
    """A farm says that it is there."""
    done = threading.Event()
    up = threading.Event()

    async def advertise() -> None:
        zeroconf = AsyncZeroconf(interfaces=[SERVER], ip_version=IPVersion.V4Only)
        await (await zeroconf.async_register_service(farm_advertisement(config)))
        up.set()
        await asyncio.to_thread(done.wait)
        await zeroconf.async_close()

    thread = threading.Thread(target=lambda: server.gather(advertise()))
    thread.start()
    try:
        assert up.wait(PATIENCE)
        yield
    finally:
        done.set()
        thread.join()


def test_names_that_are_none_hide_no_farm(
    lab: tuple[Namespace, Namespace, Namespace], caplog: pytest.LogCaptureFixture
) -> None:
    server, desk, stranger = lab
    with advertised(server), sending(stranger, *evil(FARMS)):
        assert LAB in desk.gather(find_farms())
    assert [] == caplog.records


def test_many_farms_hide_none(lab: tuple[Namespace, Namespace, Namespace]) -> None:
    server, desk, stranger = lab
    empty = [packet(*(pointer(FARMS, b"empty%d" % number) for number in range(100)))]
    full = [packet(*fake_farm(number)) for number in range(100)]
    with advertised(server), sending(stranger, *empty, *full):
        found = desk.gather(find_farms())
    assert LAB in found
    assert len(found) > 64


def test_a_farms_scheduler_is_asked_at_the_port_that_it_has(lab: tuple[Namespace, Namespace, Namespace]) -> None:
    server, desk, _ = lab
    server.scheduler(9000)
    config = msgspec.structs.replace(LAB_CONFIG, scheduler=SchedulerConfig(netname=NETNAME, port=9000))
    with advertised(server, config):
        (found,) = desk.gather(look_around())
    assert ("lab", NETNAME, SERVER, 9000) == (found.farm, found.netname, found.scheduler, found.port)
    assert ("zeroconf", "icecream") == found.found
    assert found.protocol > 0


@contextlib.asynccontextmanager
async def questions() -> AsyncIterator[asyncio.Queue[str]]:
    """The addresses that ask for nodes, one for each question that comes by."""
    found: asyncio.Queue[str] = asyncio.Queue()

    class Listener(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if not data[2] & 0x80 and data[12:].startswith(name(*NODES) + b"\0\x0c"):
                found.put_nowait(addr[0])

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", GROUP[1]))
        sock.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP[0]) + socket.inet_aton(STRANGER)
        )
        sock.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Listener, sock=sock)
        try:
            yield found
        finally:
            transport.close()


def test_the_server_goes_on_asking_for_nodes(
    lab: tuple[Namespace, Namespace, Namespace], caplog: pytest.LogCaptureFixture
) -> None:
    """farmd's browser: it tells of the real node only, and repeats its questions whatever it was told."""
    server, _, stranger = lab
    asked = threading.Semaphore(0)
    stop = threading.Event()

    async def listen() -> None:
        async with questions() as found:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    assert SERVER == await asyncio.wait_for(found.get(), 0.5)
                    asked.release()

    thread = threading.Thread(target=lambda: stranger.gather(listen()))

    async def watch() -> list[BeaconSeen | BeaconLost]:
        told: list[BeaconSeen | BeaconLost] = []
        async with discovering(SERVER, told.append):
            # It asks at once, and again after a second or more; the first may be before all that is sent.
            for _ in range(3):
                assert await asyncio.to_thread(asked.acquire, timeout=PATIENCE), "it asks no more"
        return told

    thread.start()
    try:
        with sending(stranger, *evil(NODES)):
            told = server.gather(watch())
    finally:
        stop.set()
        thread.join()
    assert [] == told
    assert [] == [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_node_is_seen_among_many_that_are_none(lab: tuple[Namespace, Namespace, Namespace]) -> None:
    server, desk, stranger = lab
    text = {"farm": "lab", "mac": "52:54:00:00:00:01", "image": "v1", "stage": "ready"}
    info = AsyncServiceInfo(
        "_farm-node._tcp.local.",
        "pc01._farm-node._tcp.local.",
        addresses=[socket.inet_aton(DESK)],
        port=9199,
        properties=text,
        server="pc01.local.",
    )
    empty = [packet(*(pointer(NODES, b"empty%d" % number) for number in range(100)))]

    async def node() -> None:
        zeroconf = AsyncZeroconf(interfaces=[DESK], ip_version=IPVersion.V4Only)
        await (await zeroconf.async_register_service(info))
        await asyncio.to_thread(done.wait)
        await zeroconf.async_close()

    async def watch() -> BeaconSeen | BeaconLost:
        told: asyncio.Queue[BeaconSeen | BeaconLost] = asyncio.Queue()
        async with discovering(SERVER, told.put_nowait):
            return await asyncio.wait_for(told.get(), PATIENCE)

    done = threading.Event()
    thread = threading.Thread(target=lambda: desk.gather(node()))
    thread.start()
    try:
        with sending(stranger, *empty):
            seen = server.gather(watch())
            found = server.gather(find_nodes())
    finally:
        done.set()
        thread.join()
    assert isinstance(seen, BeaconSeen)
    assert (DESK, 9199) == (seen.beacon.address, seen.beacon.port)
    assert [(DESK, 9199)] == [(each.address, each.port) for each in found]
