"""The scheduler client against the real icecc-scheduler and iceccd."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from farm.scheduler import connection, control, monitor
from farm.scheduler.channel import ProtocolError, encode, encode_text, encode_version
from farm.scheduler.connection import SchedulerLostError, poking
from farm.scheduler.control import ListedJob, ask, list_jobs, list_nodes
from farm.scheduler.monitor import Connected, Disconnected, Seeded, Watched, watch_batches, watch_once
from farm.scheduler.protocol import LocalDone, MonitorMessage, NodeOffline, NodeStats
from tests.lab import PATIENCE, Namespace, namespaces
from tests.watching import watch

SERVER = "10.99.1.1"
PORT = 8765


@pytest.fixture
def lab() -> Iterator[Namespace]:
    with namespaces(f"{SERVER}/24") as (namespace,):
        yield namespace


def test_nodes_come_and_go(lab: Namespace) -> None:
    lab.scheduler()

    async def watching() -> None:
        async with asyncio.timeout(PATIENCE), contextlib.aclosing(watch_once(SERVER, PORT)) as events:
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
        async with asyncio.timeout(PATIENCE):
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
        async with asyncio.timeout(PATIENCE), contextlib.aclosing(watch(SERVER, PORT)) as events:
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


def test_a_killed_scheduler_is_found_again_with_its_nodes(lab: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICECC_TESTS", "1")  # iceccd comes back after 3 s, not 20 to 51
    scheduler = lab.scheduler()
    lab.iceccd("pc01", SERVER, "-m", "2")

    def kill() -> None:
        scheduler.kill()
        lab.stop(scheduler)
        lab.scheduler()

    async def watching() -> list[object]:
        seen: list[object] = []
        async with asyncio.timeout(PATIENCE), poking(SERVER, PORT), contextlib.aclosing(watch(SERVER, PORT)) as events:
            async for event in events:
                seen.append(event)
                if isinstance(event, Seeded) and len(seen) < 10:
                    await asyncio.to_thread(kill)
                if isinstance(event, NodeStats) and any(isinstance(one, Disconnected) for one in seen):
                    return seen
        return seen

    seen = lab.gather(watching())
    kinds = [type(event) for event in seen]
    assert [Connected, NodeStats] == kinds[:2]
    assert kinds.index(Seeded) < kinds.index(Disconnected)
    assert [Connected, NodeStats] == kinds[-2:]
    assert isinstance(seen[-1], NodeStats)
    assert seen[-1].name == "pc01"


def integers(*values: int) -> bytes:
    return struct.pack(f"!{len(values)}I", *values)


@contextlib.asynccontextmanager
async def busy_submitter(name: str) -> AsyncIterator[None]:
    """A daemon that is too busy to take jobs (load 1000), and has asked for one on itself: it has to wait."""
    login = integers(10245, 2, 0) + encode_text(name) + encode_text("x86_64") + integers(1, 0, 0)
    request = integers(1) + encode_text("x86_64") + encode_text("abc") + encode_text("src/waits.c") + integers(0, 1)
    request += encode_text("x86_64") + integers(0, 9) + encode_text(name) + integers(0, 0, 0, 0, 0)
    async with connection.connect(SERVER, PORT) as (reader, writer), poking(SERVER, PORT):
        writer.write(encode_version(43))
        await reader.readexactly(4)
        writer.write(encode_version(43))
        await reader.readexactly(4)
        writer.write(encode(80, login) + encode(81, integers(1000, 0, 0, 0, 0)) + encode(71, request))
        while not await list_jobs(SERVER, PORT):
            pass
        yield


def test_jobs_in_flight_are_seeded(lab: Namespace) -> None:
    lab.scheduler()
    name = "\x1b[31m" + "x" * 300

    async def watching() -> None:
        async with asyncio.timeout(PATIENCE), busy_submitter(name):
            for _ in range(2):
                seen: list[Watched] = []
                async with contextlib.aclosing(watch_batches(SERVER, PORT)) as batches:
                    async for batch in batches:
                        seen += batch
                        if any(isinstance(event, Seeded) for event in batch):
                            break
                assert isinstance(seen[0], Connected)
                assert any(isinstance(event, NodeStats) and event.name == name for event in seen)
                seeded = seen[-1]
                assert isinstance(seeded, Seeded)
                assert [name] == [node.name for node in seeded.nodes]
                expected = ListedJob(1, "PEND", name, None, "src/waits.c")
                assert (expected,) == seeded.jobs

    lab.gather(watching())


HANDSHAKE = encode_version(43) * 2
STATS = encode(MonitorMessage.MON_STATS, integers(5) + encode_text("Name:pc01\nIP:10.0.0.1\n"))
OFFLINE = encode(MonitorMessage.MON_STATS, integers(5) + encode_text("State:Offline\n"))
GREETING = b"200-ICECC 1.4\n200 help\n"


async def _watch_fakes(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamWriter], Awaitable[None]],
    last: Watched,
    seen: list[Watched],
) -> None:
    """Put into ``seen``, up to ``last``, what a scheduler tells that has one node, and ``talk`` for a control port.

    ``talk`` may also write to the monitor.
    """
    monitors: list[asyncio.StreamWriter] = []

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        monitors.append(writer)
        writer.write(HANDSHAKE + STATS)
        await reader.read(-1)
        writer.close()

    async def answer_control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            await talk(reader, writer, monitors[0])

    servers = [
        await asyncio.start_server(answer, SERVER, port, family=socket.AF_INET)
        for answer, port in ((tell, PORT), (answer_control, PORT + 1))
    ]
    async with asyncio.timeout(PATIENCE), contextlib.aclosing(watch(SERVER, PORT)) as events:
        async for event in events:
            seen.append(event)
            if event == last:
                break
    for server in servers:
        server.close()


def test_a_job_that_ends_before_the_list_comes_is_not_seeded(lab: Namespace) -> None:
    seen: list[Watched] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, monitor: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        jobs = b" 7 PEND sub:pc01 on:<unknown> a.c\n 8 PEND sub:pc01 on:<unknown> b.c\n"
        while command := (await reader.readline()).decode().strip():
            if command == "listjobs":
                monitor.write(encode(MonitorMessage.JOB_LOCAL_DONE, integers(7)))
                while LocalDone(7) not in seen:  # noqa: ASYNC110  # it is a plain list, filled by the watcher
                    await asyncio.sleep(0.01)
            reply = jobs if command == "listjobs" else b""
            writer.write(reply if command.startswith("list") else f"Invalid command '{command}'\n".encode())
            writer.write(b"200 done\n")

    expected = Seeded((ListedJob(8, "PEND", "pc01", None, "b.c"),), ())
    lab.gather(_watch_fakes(talk, expected, seen))
    assert expected == seen[-1]


@pytest.mark.parametrize("words", [b"", GREETING, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x" * 100_000])
@pytest.mark.parametrize("closes", [False, True])
def test_a_control_port_that_fails_harms_nothing(
    lab: Namespace, monkeypatch: pytest.MonkeyPatch, words: bytes, closes: bool
) -> None:
    monkeypatch.setattr(control, "SCHEDULER_SILENCE_SECONDS", 0.5)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, monitor: asyncio.StreamWriter) -> None:
        writer.write(words)
        if not closes:
            await reader.read(-1)
        await writer.drain()
        writer.close()
        while Seeded() not in seen:  # noqa: ASYNC110  # it is a plain list, filled by the watcher
            await asyncio.sleep(0.01)
        monitor.write(OFFLINE)

    seen: list[Watched] = []
    lab.gather(_watch_fakes(talk, NodeOffline(5), seen))
    assert [Connected, NodeStats, Seeded, NodeOffline] == [type(event) for event in seen]


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


@pytest.mark.parametrize(
    ("words", "closes", "error"),
    [
        (HANDSHAKE + OFFLINE + OFFLINE[:9], False, SchedulerLostError),
        (HANDSHAKE + OFFLINE + OFFLINE[:9], True, SchedulerLostError),
        (HANDSHAKE + OFFLINE + encode(MonitorMessage.END), False, SchedulerLostError),
        (HANDSHAKE + OFFLINE + b"\xff" * 8, False, ProtocolError),
    ],
)
def test_a_connection_that_goes_wrong_ends(
    lab: Namespace, monkeypatch: pytest.MonkeyPatch, words: bytes, closes: bool, error: type[Exception]
) -> None:
    monkeypatch.setattr(monitor, "SCHEDULER_SILENCE_SECONDS", 3.0)

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
