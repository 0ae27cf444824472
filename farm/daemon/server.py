"""Serving the API: at a Unix socket, and on the lab's network if farm.yaml says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from farm.daemon.access import admit, explain
from farm.daemon.api import ROUTES, WATCHING, Watching

MAX_BODY = 4096
"""Bytes; no request needs a body."""
IDLE_SECONDS = 30.0
"""So long may a connection say nothing between requests, or before its first."""


def application(watching: Watching) -> web.Application:
    """The API of a farmd."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[explain, admit(watching.home)])
    app[WATCHING] = watching
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler, name=route.name)

    async def close(_: web.Application) -> None:
        await watching.hub.close()

    app.on_shutdown.append(close)
    return app


@asynccontextmanager
async def serving(watching: Watching, path: Path) -> AsyncIterator[web.AppRunner]:
    """Answer at a socket file inside the ``async with``; the runner can serve elsewhere besides."""
    runner = web.AppRunner(application(watching), access_log=None, shutdown_timeout=1.0, keepalive_timeout=IDLE_SECONDS)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        # Everyone on this machine may ask; who may give orders is seen to.
        await asyncio.to_thread(path.chmod, 0o666)
        yield runner
    finally:
        await runner.cleanup()


@asynccontextmanager
async def on_network(runner: web.AppRunner, host: str, port: int) -> AsyncIterator[None]:
    """Answer on a TCP port too inside the ``async with``. Raises OSError when the port is not to be had."""
    site = web.TCPSite(runner, host, port)
    await site.start()
    try:
        yield
    finally:
        await site.stop()
