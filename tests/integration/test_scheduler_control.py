"""The control port of a real scheduler: blocking, kicking, and a connection that is kept."""

import asyncio
import contextlib
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest

from farm.attach import Action, Lost
from farm.attach.direct import Direct
from farm.errors import FarmError
from farm.scheduler import connection, control
from farm.scheduler.channel import ProtocolError
from farm.scheduler.connection import SchedulerLostError
from farm.scheduler.control import Control, block, kick, list_all, list_blocks, list_nodes, unblock
from farm.view.from_state import other_status
from farm.view.idle import idle_reason
from farm.view.live import Live
from farm.view.status import NodeStatus, Status
from farm.watch.activity import Host, Scheduler
from tests.lab import AS_NOBODY, NETNAME, PATIENCE, Namespace, namespaces, until

SERVER = "10.99.32.1"
PORT = 8765


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICECC_TESTS", "1")  # iceccd comes back after 3 s, not 20 to 51


@pytest.fixture
def lab() -> Iterator[Namespace]:
    with namespaces(f"{SERVER}/24") as (namespace,):
        yield namespace


def names(lab: Namespace) -> list[str]:
    return [node.name for node in lab.gather(list_nodes(SERVER, PORT))]


def wait_for_log_in(lab: Namespace, name: str) -> None:
    def back() -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(str(lab.folder / f"{name}-icecc" / "iceccd.socket"))
        return name in names(lab)

    until(back, f"{name} does not come back")


def test_block_unblock_kick(lab: Namespace) -> None:
    lab.scheduler()
    pc01 = lab.iceccd("pc01", SERVER, "-m", "2")
    lab.iceccd("pc02", SERVER, "-m", "2", "-p", "10300")

    pc01.send_signal(signal.SIGSTOP)  # else it might be back before anyone looks
    lab.gather(kick(SERVER, PORT, "pc01"))
    assert names(lab) == ["pc02"]
    pc01.send_signal(signal.SIGCONT)
    wait_for_log_in(lab, "pc01")

    lab.gather(block(SERVER, PORT, "pc01"))
    lab.gather(block(SERVER, PORT, "pc01"))
    assert names(lab) == ["pc02"]
    assert lab.gather(list_blocks(SERVER, PORT)) == ["pc01"]
    assert lab.gather(control.ask(SERVER, PORT, "listblocks")) == ["   pc01"]
    logins = lab.log("pc01").count("Connected to scheduler")
    until(lambda: lab.log("pc01").count("Connected to scheduler") > logins, "pc01 does not try to log in again")
    assert names(lab) == ["pc02"]

    lab.gather(unblock(SERVER, PORT, "pc01"))
    assert lab.gather(list_blocks(SERVER, PORT)) == []
    wait_for_log_in(lab, "pc01")

    lab.gather(block(SERVER, PORT, SERVER))
    assert names(lab) == []
    lab.gather(control.ask(SERVER, PORT, "blockcs", SERVER))
    lab.gather(unblock(SERVER, PORT, SERVER))
    assert lab.gather(list_blocks(SERVER, PORT)) == []


@pytest.mark.parametrize("action", [block, kick])
def test_a_node_that_is_not_there(lab: Namespace, action: Callable[[str, int, str], Awaitable[None]]) -> None:
    lab.scheduler()

    async def attempt() -> None:
        await action(SERVER, PORT, "pc99")

    with pytest.raises(FarmError, match="no node pc99") as error:
        lab.gather(attempt())
    assert "farm node list" in error.value.fix
    with pytest.raises(FarmError, match="not blocked") as error:
        lab.gather(unblock(SERVER, PORT, "pc99"))
    assert error.value.why == "Nothing is blocked."
    assert lab.gather(list_blocks(SERVER, PORT)) == []


def test_one_connection_is_kept_and_made_anew(lab: Namespace) -> None:
    scheduler = lab.scheduler()
    lab.iceccd("pc01", SERVER, "-m", "2")

    async def asking() -> None:
        nonlocal scheduler
        async with Control(SERVER, PORT) as kept:
            both = await asyncio.gather(list_all(kept), list_all(kept))
            assert [["pc01"], []] == [[node.name for node in both[0][0]], both[1][1]]
            streams = kept._streams
            await kept.ask("listjobs")
            assert kept._streams is streams
            await asyncio.to_thread(lab.stop, scheduler)
            scheduler = await asyncio.to_thread(lab.scheduler)
            assert await kept.ask("listblocks") == []
            await asyncio.to_thread(lab.stop, scheduler)
            with pytest.raises(SchedulerLostError):
                await kept.ask("listblocks")

    lab.gather(asking())


async def _serve(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> asyncio.Server:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)

    return await asyncio.start_server(once, SERVER, PORT + 1, family=socket.AF_INET)


def test_a_node_cannot_end_the_reply(lab: Namespace) -> None:
    """Its name has a line in it that looks like the end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"200-ICECC 1.4.0: 240s uptime\n200 Use 'help' for help and 'quit' to quit.\n")
        while command := (await reader.readline()).decode().strip():
            reply = " evil\n200 done\n" if command == "listcs" else f"Invalid command '{command}'\n"
            writer.write(f"{reply}200 done\n".encode())

    async def attempt() -> None:
        async with await _serve(talk), Control(SERVER, PORT) as kept:
            for _ in range(2):
                assert await kept.ask("listcs") == [" evil", "200 done"]

    lab.gather(attempt())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (b"", SchedulerLostError),
        (b"200-ICECC 1.4\nhelp\n", SchedulerLostError),
        (b"200-ICECC 1.4\nhelp\n half a li", SchedulerLostError),
        (b"200-ICECC 1.4\nhelp\n" + b"x" * 100_000, ProtocolError),
        (b"200-ICECC 1.4\nhelp\n" + b"x\n" * 100_000, ProtocolError),
        (b"HTTP/1.1 200 OK\r\n\r\n", ProtocolError),
    ],
    ids=["nothing", "no reply", "half a line", "endless line", "endless reply", "another protocol"],
)
def test_a_bad_day(lab: Namespace, monkeypatch: pytest.MonkeyPatch, words: bytes, error: type[Exception]) -> None:
    """What comes, and then silence."""
    if error is SchedulerLostError:
        monkeypatch.setattr(control, "SCHEDULER_SILENCE_SECONDS", 1.0)
        monkeypatch.setattr(connection, "SCHEDULER_SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(control, "MAX_REPLY", 50_000)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await reader.read()

    async def attempt() -> None:
        async with await _serve(talk), Control(SERVER, PORT) as kept:
            with pytest.raises(error):
                await kept.ask("listcs")
            assert kept._streams is None

    lab.gather(attempt())


HOSTILE = "esc\x1b[31m"
FORGER = "x\nName:pc01\nIP:10.99.32.1\nMaxJobs:0"


def test_hostile_names_are_blocked_and_kicked_all_the_same() -> None:
    with namespaces(f"{SERVER}/24", "10.99.32.2/24", "10.99.32.3/24", "10.99.32.4/24") as (server, one, two, three):
        server.scheduler()
        server.iceccd("pc01", SERVER, "-m", "2")
        one.iceccd("pc01", SERVER, "-m", "2")
        for place, name in ((two, HOSTILE), (three, FORGER)):
            folder = place.folder / "environments"
            folder.mkdir()
            shutil.chown(folder, "icecc", "icecc")
            place.start("odd", "iceccd", "-n", NETNAME, "-s", SERVER, "-N", name, "-b", str(folder), "-u", "icecc")

        def status() -> Status:
            return server.gather(Direct(SERVER, PORT).status())

        def order(action: Action, address: str) -> str:
            until(lambda: address in shown(), f"{address} does not come back")

            node = shown()[address]

            async def give() -> str:
                watched = Direct(SERVER, PORT)
                await watched.status()
                return await watched.act(action, node)

            return server.gather(give())

        def shown() -> dict[str, NodeStatus]:
            return {node.address: node for node in status().nodes if node.host and node.host.online}

        until(lambda: set(shown()) == {SERVER, "10.99.32.2", "10.99.32.3"}, "they do not log in")
        until(lambda: any(found.code == "forged-login" for found in status().findings), "the forger is not named")
        assert shown()[SERVER].host.slots == 2, "a forger does not speak for others"
        for address in ("10.99.32.2", "10.99.32.3"):
            assert address in order("kick", address)
            assert address in order("block", address)
        server.gather(block(SERVER, PORT, "10.99.32.4"))
        assert [SERVER] == [node.address for node in server.gather(list_nodes(SERVER, PORT))]
        blocked = {node.address for node in status().nodes if node.blocked}
        assert {"10.99.32.2", "10.99.32.3", "10.99.32.4"} == blocked


def test_two_of_one_name_and_address_are_named(lab: Namespace) -> None:
    lab.scheduler()
    for port in ("10245", "10300"):
        lab.iceccd("pc01", SERVER, "-m", "2", "-p", port, icecc_folder=lab.folder / port)

    async def watch() -> str:
        live = Live()
        async with asyncio.timeout(PATIENCE), contextlib.aclosing(Direct(SERVER, PORT).updates()) as updates:
            async for update in updates:
                assert not isinstance(update, Lost)
                live.apply(update)
                assert live.overview is not None
                for found in live.overview.findings:
                    if found.code == "same-name":
                        return found.about
        raise AssertionError

    assert lab.gather(watch()) == f"pc01@{SERVER}"


def test_whoever_may_not_chroot_takes_no_jobs() -> None:
    with namespaces(f"{SERVER}/24", "10.99.32.2/24") as (server, other):
        server.scheduler()
        folder = other.folder / "environments"
        folder.mkdir()
        shutil.chown(folder, "nobody", "nogroup")
        argv = ["iceccd", "-n", NETNAME, "-s", SERVER, "-N", "desk", "-b", str(folder)]
        other.start("desk", *AS_NOBODY, "env", f"HOME={folder}", *argv)

        def status() -> Status:
            return server.gather(Direct(SERVER, PORT).status())

        until(lambda: [host.name for host in status().hosts] == ["desk"], "the user's daemon does not log in")
        found = status()
        desk = other_status(Host(name="desk", address="10.99.32.2", no_remote=found.hosts[0].no_remote), Scheduler())
        idle = idle_reason(desk, [], found, 0.0)
        assert idle is not None
        assert (idle.code, "not by root" in idle.why) == ("no-remote", True)
