"""Live views: one delta for all watchers, and those that do not keep up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType, web
from immutables import Map
from msgspec.structs import replace

from farm.daemon import hub as hub_module
from farm.daemon.access import explain
from farm.daemon.hub import MAX_WAITING, MAX_WATCHERS, Hub, Watcher
from farm.view.from_state import bare_overview
from farm.view.live import Delta, Live, Snapshot, decode
from farm.view.status import Overview
from farm.watch.activity import Activity, Host
from farm.watch.state import Farm

TICK = 0.01


class Source:
    """A farm in which every look finds all hosts changed."""

    def __init__(self, hosts: int) -> None:
        names = [f"pc{number}" for number in range(hosts)]
        self.looks = 0
        self.farm = Farm(name="lab", activity=Activity(hosts=Map({(n, "10.0.0.1"): host(n) for n in names})))

    def look(self) -> tuple[Farm, Overview]:
        self.looks += 1
        hosts = self.farm.activity.hosts
        changed = Map({key: replace(each, done=self.looks) for key, each in hosts.items()})
        self.farm = replace(self.farm, activity=replace(self.farm.activity, hosts=changed))
        return self.farm, bare_overview(self.farm, "net")


def host(name: str) -> Host:
    return Host(name=name, address="10.0.0.1", platform="x" * 100)


@contextlib.asynccontextmanager
async def serving(hub: Hub, path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application(middlewares=[explain])
    app.router.add_get("/ws", hub.serve)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    ticking = asyncio.create_task(hub.run())
    try:
        await web.UnixSite(runner, str(path)).start()
        async with aiohttp.ClientSession("http://x", connector=aiohttp.UnixConnector(str(path), limit=0)) as session:
            yield session
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        await runner.cleanup()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for it; the limit is there to end a broken test."""
    async with asyncio.timeout(30):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


async def test_all_get_the_same_and_nothing_is_made_for_nobody(tmp_path: Path) -> None:
    source = Source(3)
    hub = Hub(source.look, TICK)
    async with serving(hub, tmp_path / "s") as session:
        await asyncio.sleep(5 * TICK)
        assert source.looks == 0
        async with session.ws_connect("/ws") as one, session.ws_connect("/ws") as two:
            for watcher in (one, two):
                live = Live()
                first = decode(await watcher.receive_str())
                assert isinstance(first, Snapshot)
                live.apply(first)
                for _ in range(3):
                    update = decode(await watcher.receive_str())
                    assert isinstance(update, Delta)
                    assert len(update.nodes) == 3
                    before = {node.host.jobs_done for node in live.nodes.values() if node.host}
                    live.apply(update)
                    assert {done + 1 for done in before} == {n.host.jobs_done for n in live.nodes.values() if n.host}
            assert hub.count == 2
        await eventually(lambda: hub.count == 0)
        await asyncio.sleep(3 * TICK)
        seen = source.looks
        await asyncio.sleep(5 * TICK)
        assert source.looks == seen


async def test_who_does_not_keep_up_is_sent_away_and_nobody_else_notices(tmp_path: Path) -> None:
    hub = Hub(Source(500).look, TICK)
    async with serving(hub, tmp_path / "s") as session:
        async with session.ws_connect("/ws", max_msg_size=0) as slow, session.ws_connect("/ws", max_msg_size=0) as good:
            slow._response.connection.transport.pause_reading()  # type: ignore[union-attr]
            deltas = 0
            async with asyncio.timeout(30):
                while not hub.dropped:
                    await good.receive_str()
                    deltas += 1
            assert deltas > MAX_WAITING
            slow._response.connection.transport.resume_reading()  # type: ignore[union-attr]
            async with asyncio.timeout(30):
                while (message := await slow.receive()).type is WSMsgType.TEXT:
                    pass
            assert (slow.close_code, message.type) == (WSCloseCode.TRY_AGAIN_LATER, WSMsgType.CLOSE)
            assert isinstance(decode(await good.receive_str()), Delta)
            await eventually(lambda: hub.count == 1)
        await eventually(lambda: hub.count == 0)
        assert hub.dropped == 1


async def test_who_never_reads_again_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "CLOSE_SECONDS", 0.1)
    hub = Hub(Source(500).look, TICK)
    async with serving(hub, tmp_path / "s"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(dead, str(tmp_path / "s"))
            key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
            request = f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n"
            await loop.sock_sendall(dead, request.encode())
            await eventually(lambda: hub.dropped == 1 and hub.count == 0)


async def test_what_a_watcher_says_is_ignored_and_bounded(tmp_path: Path) -> None:
    hub = Hub(Source(1).look, TICK)
    async with serving(hub, tmp_path / "s") as session, session.ws_connect("/ws") as watcher:
        await watcher.send_str("{}")
        for _ in range(3):
            decode(await watcher.receive_str())
        await watcher.send_str("x" * 5000)
        async with asyncio.timeout(30):
            while (await watcher.receive()).type is WSMsgType.TEXT:
                pass
        assert watcher.close_code == WSCloseCode.MESSAGE_TOO_BIG


async def test_too_many_watchers_are_turned_away(tmp_path: Path) -> None:
    hub = Hub(Source(1).look, TICK)
    async with serving(hub, tmp_path / "s") as session, contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_WATCHERS):
            await stack.enter_async_context(session.ws_connect("/ws"))
        async with session.get("/ws") as answer:
            assert (answer.status, (await answer.json())["error"]["what"]) == (503, "Too many WebSockets.")


async def test_watchers_are_told_that_farmd_ends(tmp_path: Path) -> None:
    hub = Hub(Source(1).look, TICK)
    async with serving(hub, tmp_path / "s") as session, session.ws_connect("/ws") as watcher:
        await watcher.receive_str()
        await hub.close()
        async with asyncio.timeout(30):
            while (await watcher.receive()).type is WSMsgType.TEXT:
                pass
        assert watcher.close_code == WSCloseCode.GOING_AWAY


async def test_a_large_message_passes_when_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MAX_WAITING_BYTES", 10)
    watcher = Watcher()
    assert watcher.put(b"x" * 100)
    assert not watcher.put(b"x")
    assert await watcher.get() == b"x" * 100
    assert watcher.put(b"x")
