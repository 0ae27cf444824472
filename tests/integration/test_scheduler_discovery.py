"""Finding real schedulers."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from farm.errors import FarmError, UsageError
from farm.scheduler.channel import NEWEST_PROTOCOL
from farm.scheduler.discovery import MAX_FOUND, FoundScheduler, choose, discover, parse_reply, resolve, rivals
from tests.lab import NETNAME, PATIENCE, Namespace, namespaces

HERE, THERE = "10.99.31.1", "10.99.31.2"


@pytest.fixture
def lab() -> Iterator[tuple[Namespace, Namespace]]:
    with namespaces(f"{HERE}/24", f"{THERE}/24") as (here, there):
        yield here, there


async def heard(*addresses: str) -> list[FoundScheduler]:
    """What answers, asked until all these do: a scheduler may have started just now."""
    found: list[FoundScheduler] = []
    async with asyncio.timeout(PATIENCE):
        while not set(addresses) <= {scheduler.address for scheduler in found}:
            found = await discover(seconds=1.0)
    return found


def test_schedulers_are_found_and_rivals_noticed(lab: tuple[Namespace, Namespace]) -> None:
    here, there = lab
    there.start("scheduler", "icecc-scheduler", "-n", NETNAME, "-r")  # bound to an interface it heard no broadcast
    there.wait_for(8765)
    (found,) = here.gather(heard(THERE))
    assert (THERE, 8765, 43, NETNAME) == (found.address, found.port, found.protocol, found.netname)
    assert found.started > 0
    assert here.gather(resolve(None, NETNAME.upper())) == (THERE, 8765)
    assert here.gather(resolve(None, None)) == (THERE, 8765)
    assert here.gather(discover(host=THERE)) == [found]
    assert rivals([found], THERE, NETNAME) == []

    here.scheduler()
    both = here.gather(heard(HERE, THERE))
    assert found == choose(both, NETNAME)
    assert [found] == rivals(both, HERE, NETNAME)
    with pytest.raises(FarmError, match="'other'"):
        choose(both, "other")


def test_nobody_is_there(lab: tuple[Namespace, Namespace]) -> None:
    here, _ = lab
    assert here.gather(discover(seconds=0.2)) == []
    assert here.gather(discover(seconds=0.2, host=THERE)) == []


def test_where_a_scheduler_is_said_to_be(lab: tuple[Namespace, Namespace]) -> None:
    here, _ = lab
    assert here.gather(resolve("localhost", None)) == ("127.0.0.1", 8765)
    assert here.gather(resolve(f"{THERE}:9000", None)) == (THERE, 9000)
    with pytest.raises(UsageError):
        here.gather(resolve(THERE, NETNAME))
    for host in ("no-such-host.invalid", "x" * 300):
        with pytest.raises(FarmError, match="no IPv4 address"):
            here.gather(resolve(host, None))


def test_strangers_who_answer_nonsense_are_not_heard(lab: tuple[Namespace, Namespace]) -> None:
    here, there = lab

    class Stranger(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            assert isinstance(self.transport, asyncio.DatagramTransport)
            for reply in (b"", data, b"\x2f" * 268, b"\xff" * 5000):
                self.transport.sendto(reply, addr)

    async def answer(ready: asyncio.Event) -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Stranger, local_addr=("0.0.0.0", 8765))
        with contextlib.closing(transport):
            ready.set()
            await asyncio.Event().wait()

    async def attempt() -> list[FoundScheduler]:
        ready = asyncio.Event()
        task = asyncio.create_task(answer(ready))
        await ready.wait()
        found = await discover(seconds=0.5, host=THERE)
        task.cancel()
        await asyncio.wait([task])
        return found

    assert there.gather(attempt()) == []
    assert here.gather(discover(seconds=0.2)) == []


def test_one_host_that_answers_from_many_ports_hides_nobody() -> None:
    with namespaces("10.99.31.1/24", "10.99.31.2/24", "10.99.31.3/24") as (here, there, stranger):
        there.start("scheduler", "icecc-scheduler", "-n", NETNAME, "-r")
        there.wait_for(8765)
        reply = bytes([NEWEST_PROTOCOL + 1]) + b"fake".ljust(15, b"\0")
        assert parse_reply(reply) is not None

        class Stranger(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                for _ in range(MAX_FOUND):
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                        other.sendto(reply, addr)

        async def answer() -> None:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(Stranger, local_addr=("0.0.0.0", 8765))
            up.set()
            await asyncio.to_thread(done.wait)
            transport.close()

        up, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: stranger.gather(answer()))
        thread.start()
        try:
            assert up.wait(PATIENCE)
            assert [THERE] == [each.address for each in here.gather(heard(THERE))]
        finally:
            done.set()
            thread.join()
