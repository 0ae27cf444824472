"""Who is let in over TCP, whatever bytes they send."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from farm.daemon.access import admit, explain, token
from farm.home import Home


async def fine(_: web.Request) -> web.Response:
    return web.Response(text="fine")


@pytest.mark.parametrize("given", [b"\xff\xfe", b"", b"Bearer \xff\xfe", "Bearer ä".encode(), b"Basic eDp5", None])
async def test_whatever_is_no_token_is_refused(tmp_path: Path, given: bytes | None) -> None:
    home = Home.at(tmp_path)
    home.create()
    app = web.Application(middlewares=[explain, admit(home)])
    app.router.add_get("/status", fine)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        sent = given if given is not None else f"Bearer {token(home)}".encode()
        writer.write(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: " + sent + b"\r\n\r\n")
        status = (await reader.readline()).split()[1]
        writer.close()
        await writer.wait_closed()
    finally:
        await runner.cleanup()
    assert (b"200" if given is None else b"401") == status


async def test_without_a_token_and_room_for_one_nobody_is_let_in(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    app = web.Application(middlewares=[explain, admit(home)])
    app.router.add_get("/status", fine)
    (tmp_path / "state").write_text("no folder")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        async with (
            aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as session,
            session.get(f"http://{host}:{port}/status") as answer,
        ):
            assert (answer.status, (await answer.json())["error"]["what"]) == (503, "There is no token.")
    finally:
        await runner.cleanup()
