"""Serving the API: at a Unix socket, and on the lab's network if farm.yaml says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Never

from aiohttp import web

from farm.daemon import door
from farm.daemon.access import BROKEN_REQUESTS, admit, explain
from farm.daemon.door import Busy, Door
from farm.daemon.routes import ROUTES, WATCHING, Watching

MAX_BODY = 4096
"""Bytes; what `farm run` tells of itself is the longest."""
IDLE_CONNECTION_SECONDS = 30.0
"""So long may a connection say nothing between requests, or before its first."""


def application(watching: Watching, busy: Busy | None = None) -> web.Application:
    """The API of a farmd."""
    app = web.Application(
        client_max_size=MAX_BODY, middlewares=[explain, (busy or Busy()).middleware, admit(watching.home)]
    )
    app[WATCHING] = watching
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler, name=route.name)

    async def close(_: web.Application) -> None:
        await watching.hub.close()

    app.on_shutdown.append(close)
    return app


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether what the library logs is a fault of this program: a request that makes no sense is none."""
    return record.exc_info is None or not isinstance(record.exc_info[1], BROKEN_REQUESTS)


class Serving:
    """The API, to be answered at doors."""

    def __init__(self, server: web.Server, busy: Busy) -> None:
        self._server = server
        self._busy = busy

    async def at_path(self, path: Path) -> Never:
        """Answer at a socket file until cancelled. Raises OSError."""
        with contextlib.closing(await asyncio.to_thread(door.at_path, path)) as listener:
            await Door(self._server, self._busy, door.free_users()).take(listener, door.user)

    async def at_port(self, host: str, port: int) -> Never:
        """Answer at a TCP port until cancelled. Raises OSError when the port is not to be had."""
        with contextlib.closing(door.at_port(host, port)) as listener:
            await Door(self._server, self._busy).take(listener, door.address)


@asynccontextmanager
async def serving(watching: Watching) -> AsyncIterator[Serving]:
    """What can answer inside the ``async with``."""
    busy, logger = Busy(), logging.getLogger("farmd.http")
    logger.addFilter(_is_ours)
    runner = web.AppRunner(
        application(watching, busy),
        access_log=None,
        shutdown_timeout=1.0,
        keepalive_timeout=IDLE_CONNECTION_SECONDS,
        auto_decompress=False,
        logger=logger,
    )
    await runner.setup()
    try:
        assert runner.server is not None
        yield Serving(runner.server, busy)
    finally:
        await runner.cleanup()
