"""The dashboard in a browser: the page, its guard, and what its web socket brings."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import psutil
import pytest
from yarl import URL

from tests.lab import PATIENCE, Namespace, namespaces, until

PORT = 8123


@pytest.fixture
def space() -> Iterator[Namespace]:
    """Where nobody else takes the port."""
    with namespaces("10.99.80.1/24") as (found,):
        yield found


@asynccontextmanager
async def served() -> AsyncIterator[tuple[asyncio.subprocess.Process, URL]]:
    """`farm top --web` on a scheduler that does not answer; its process and the address that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "farm", "top", "--web", "--port", f"{PORT}", "--scheduler", "127.0.0.1:1"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "XDG_CONFIG_HOME": "/nonexistent", "XDG_STATE_HOME": "/nonexistent"},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("farm top is at http://127.0.0.1:")
        yield process, URL(line.split()[4])
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            await process.wait()


def test_the_page_and_its_guard(space: Namespace) -> None:
    async def look() -> None:
        async with (
            served() as (_, address),
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        ):
            bare = address.with_query(None)
            async with session.get(bare) as refused:
                assert refused.status == 403
            async with session.get(bare.with_query(token="wrong")) as refused:
                assert refused.status == 403
            async with session.get(bare / "ws") as refused:
                assert refused.status == 403
            async with session.get(address, headers={"Host": f"evil.example:{PORT}"}) as refused:
                assert refused.status == 403
            async with session.get(address) as page:
                assert page.status == 200
                assert page.url.query_string == ""
                text = await page.text()
            assert f"ws://127.0.0.1:{PORT}/ws" in text
            assert "farm top" in text
            async with session.get(bare / "static/js/textual.js") as script:
                assert script.status == 200

    space.gather(look())


def test_the_socket_brings_the_dashboard(space: Namespace) -> None:
    async def look() -> None:
        async with served() as (_, address), aiohttp.ClientSession() as session:
            web_socket = address.with_path("/ws").with_query({"width": "80", "height": "24"})
            cookie = {"Cookie": f"farm-top={address.query['token']}"}
            async with session.ws_connect(web_socket, headers=cookie) as web:
                seen = b""
                async with asyncio.timeout(PATIENCE):
                    while b"Overview" not in seen:
                        message = await web.receive()
                        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
                        seen += message.data if isinstance(message.data, bytes) else message.data.encode()

    space.gather(look())


def test_a_page_that_is_closed_while_its_dashboard_begins_leaves_none_behind(space: Namespace) -> None:
    async def look() -> None:
        async with served() as (process, address), aiohttp.ClientSession() as session:
            web_socket = address.with_path("/ws").with_query({"width": "80", "height": "24"})
            cookie = {"Cookie": f"farm-top={address.query['token']}"}
            server = psutil.Process(process.pid)
            async with session.ws_connect(web_socket, headers=cookie) as web:
                for height in (34, 42):
                    await web.send_json(["resize", {"width": 144, "height": height}])
                await asyncio.to_thread(until, server.children, "no dashboard began")
            await asyncio.to_thread(until, lambda: not server.children(), "its dashboard has not ended")

    space.gather(look())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGKILL"])
def test_dashboards_end_with_their_server(space: Namespace, name: str) -> None:
    async def look() -> None:
        async with served() as (process, address), aiohttp.ClientSession() as session:
            web_socket = address.with_path("/ws").with_query({"width": "80", "height": "24"})
            cookie = {"Cookie": f"farm-top={address.query['token']}"}
            async with session.ws_connect(web_socket, headers=cookie) as web:
                seen = b""
                async with asyncio.timeout(PATIENCE):
                    while b"Overview" not in seen:
                        message = await web.receive()
                        seen += message.data if isinstance(message.data, bytes) else message.data.encode()
                (dashboard,) = psutil.Process(process.pid).children()
                process.send_signal(signal.Signals[name])
                await asyncio.to_thread(until, lambda: not dashboard.is_running(), "its dashboard has not ended")

    space.gather(look())


async def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "farm", "top", "--web", "--port", f"{taken.getsockname()[1]}"),
            *("--scheduler", "127.0.0.1:1"),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"cannot be used" in said
    assert b"--port N" in said
