"""The scheduler client against the real icecc-scheduler and iceccd."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from farm.scheduler import monitor
from farm.scheduler.connection import SchedulerLostError
from farm.scheduler.control import ask, list_jobs, list_nodes
from farm.scheduler.monitor import Connected, Disconnected, watch, watch_once
from farm.scheduler.protocol import Kind, NodeOffline, NodeStats, ProtocolError, encode, encode_text, encode_version
from tests.lab import Namespace, namespaces

SERVER = "10.99.1.1"
PORT = 8765


@pytest.fixture
def lab() -> Iterator[Namespace]:
    with namespaces(f"{SERVER}/24") as (namespace,):
        yield namespace


def test_nodes_come_and_go(lab: Namespace) -> None:
    lab.scheduler()

    async def watching() -> None:
        async with asyncio.timeout(60), contextlib.aclosing(watch_once(SERVER, PORT)) as events:
            first = await anext(events)
            assert isinstance(first, Connected)
            assert first.protocol == 43
            daemon = await asyncio.to_thread(lab.iceccd, "pc01", SERVER, "-m", "3")
            stats = await anext(events)
            assert isinstance(stats, NodeStats)
            assert (stats.name, stats.address, stats.max_jobs, stats.no_remote) == ("pc01", SERVER, 3, False)
            await asyncio.to_thread(lab.stop, daemon)
            async for event in events:
                if event == NodeOffline(stats.host):
                    return

    lab.gather(watching())


def test_a_monitor_learns_of_nodes_that_are_there(lab: Namespace) -> None:
    lab.scheduler()
    lab.iceccd("pc01", SERVER, "-m", "2")
    lab.iceccd("pc02", SERVER, "-m", "5", "-p", "10300", "--no-remote")

    async def watching() -> dict[str, NodeStats]:
        async with asyncio.timeout(60):
            found: dict[str, NodeStats] = {}
            async with contextlib.aclosing(watch_once(SERVER, PORT)) as events:
                async for event in events:
                    if isinstance(event, NodeStats):
                        found[event.name] = event
                    if len(found) == 2:
                        break
            return found

    nodes = lab.gather(watching())
    assert (nodes["pc01"].max_jobs, nodes["pc01"].no_remote) == (2, False)
    assert (nodes["pc02"].max_jobs, nodes["pc02"].no_remote) == (5, True)


def test_control_port(lab: Namespace) -> None:
    lab.scheduler()
    lab.iceccd("pc01", SERVER, "-m", "2")
    (node,) = lab.gather(list_nodes(SERVER, PORT))
    assert (node.name, node.address, node.port, node.jobs, node.max_jobs) == ("pc01", SERVER, 10245, 0, 2)
    assert lab.gather(list_jobs(SERVER, PORT)) == []
    assert lab.gather(ask(SERVER, PORT, "listblocks")) == []


def test_a_restarted_scheduler_is_found_again(lab: Namespace) -> None:
    async def watching() -> list[str]:
        seen = []
        async with asyncio.timeout(60), contextlib.aclosing(watch(SERVER, PORT)) as events:
            async for event in events:
                seen.append(type(event).__name__)
                if isinstance(event, Connected) and seen.count("Connected") == 1:
                    await asyncio.to_thread(lab.stop, scheduler)
                elif isinstance(event, Disconnected) and seen.count("Disconnected") == 1:
                    await asyncio.to_thread(lab.scheduler)
                elif isinstance(event, Connected):
                    return seen
        return seen

    scheduler = lab.scheduler()
    seen = lab.gather(watching())
    assert (seen[0], seen[-1]) == ("Connected", "Connected")
    assert "Disconnected" in seen


def test_nobody_answers(lab: Namespace) -> None:
    for attempt in (list_nodes(SERVER, PORT), anext(watch_once(SERVER, PORT))):
        with pytest.raises(SchedulerLostError, match="does not answer"):
            lab.gather(_result(attempt))


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x" * 100_000])
def test_something_else_answers(lab: Namespace, words: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async def attempt() -> None:
        servers = [await asyncio.start_server(talk, SERVER, port, family=socket.AF_INET) for port in (PORT, PORT + 1)]
        with pytest.raises(ProtocolError):
            async for _ in watch_once(SERVER, PORT):
                pass
        with pytest.raises(ProtocolError):
            await list_nodes(SERVER, PORT)
        for server in servers:
            server.close()

    lab.gather(attempt())


async def _result(awaitable: object) -> object:
    return await awaitable  # type: ignore[misc]


HANDSHAKE = encode_version(43) * 2
OFFLINE = encode(Kind.MON_STATS, b"\0\0\0\5" + encode_text("State:Offline\n"))


@pytest.mark.parametrize(
    ("words", "closes", "error"),
    [
        (HANDSHAKE + OFFLINE + OFFLINE[:9], False, SchedulerLostError),
        (HANDSHAKE + OFFLINE + OFFLINE[:9], True, SchedulerLostError),
        (HANDSHAKE + OFFLINE + encode(Kind.END), False, SchedulerLostError),
        (HANDSHAKE + OFFLINE + b"\xff" * 8, False, ProtocolError),
    ],
)
def test_a_connection_that_goes_wrong_ends(
    lab: Namespace, monkeypatch: pytest.MonkeyPatch, words: bytes, closes: bool, error: type[Exception]
) -> None:
    monkeypatch.setattr(monitor, "PATIENCE", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        if not closes:
            with contextlib.suppress(OSError):
                await reader.read(-1)
        writer.close()

    async def attempt() -> list[object]:
        server = await asyncio.start_server(talk, SERVER, PORT, family=socket.AF_INET)
        seen: list[object] = []
        with pytest.raises(error):
            async for event in watch_once(SERVER, PORT):
                seen.append(event)  # noqa: PERF401  # kept although the loop ends with an error
        server.close()
        return seen

    assert lab.gather(attempt())[0] == Connected(SERVER, PORT, 43)
