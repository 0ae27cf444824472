"""Live views over WebSockets: a snapshot for whoever comes, then one delta per tick, made once for all.

Nothing is computed while nobody watches. A watcher that does not keep up is sent away, and no other notices.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from aiohttp import WSCloseCode, WSMsgType, web

from farm.daemon.access import ApiError, caller
from farm.view.live import delta, encode, snapshot
from farm.view.status import Overview
from farm.watch.state import Farm

DELTA_SECONDS = 0.5
MAX_WATCHERS = 64
FOR_ROOT = 8
"""Of these, the places that root alone gets."""
MAX_WAITING = 16
"""Messages that may wait for one watcher; it is sent away when it reads more slowly."""
MAX_WAITING_BYTES = 8 << 20
"""Bytes that all of these may have together; a single message may be larger."""
MAX_RECEIVED = 1024
"""Bytes of a message from a watcher; what it says is ignored."""
HEARTBEAT_SECONDS = 20.0
CLOSE_SECONDS = 5.0

Look = Callable[[], tuple[Farm, Overview]]
"""Gives the present state."""


class Watcher:
    """The messages that wait for one watcher."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[WSCloseCode] = asyncio.get_running_loop().create_future()
        """Resolved when it is to go."""
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._news = asyncio.Event()

    def put(self, message: bytes) -> bool:
        """Let a message wait; False when too much waits already."""
        if self._messages and (len(self._messages) >= MAX_WAITING or self._bytes + len(message) > MAX_WAITING_BYTES):
            return False
        self._messages.append(message)
        self._bytes += len(message)
        self._news.set()
        return True

    async def get(self) -> bytes:
        """The next message; waits until there is one."""
        while not self._messages:
            self._news.clear()
            await self._news.wait()
        message = self._messages.popleft()
        self._bytes -= len(message)
        return message

    def end(self, code: WSCloseCode) -> None:
        """End the connection, with the code that tells the watcher why."""
        if not self.ended.done():
            self.ended.set_result(code)


class Hub:
    """Sends each connected watcher a snapshot and then, tick by tick, what has changed."""

    def __init__(self, look: Look, seconds: float = DELTA_SECONDS) -> None:
        self._look = look
        self._seconds = seconds
        self._watchers: set[Watcher] = set()
        self._wanted = asyncio.Event()
        self._base: tuple[Farm, Overview] | None = None
        """The state that the watchers know."""
        self._snapshot: bytes | None = None
        """Of ``_base``, for those who come within one tick."""
        self.count = 0
        """Watchers, and those who are about to be."""
        self.dropped = 0
        """Watchers that did not keep up, since the start."""

    async def run(self) -> None:
        """Tick while somebody watches, until cancelled."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._seconds)
            self._tick()

    def _tick(self) -> None:
        if not self._watchers or self._base is None:
            self._base = self._snapshot = None
            self._wanted.clear()
            return
        old, old_overview = self._base
        new, overview = self._base = self._look()
        self._snapshot = None
        message = encode(delta(old, new, old_overview, overview, time.time()))
        for watcher in list(self._watchers):
            if not watcher.put(message):
                self._watchers.discard(watcher)
                self.dropped += 1
                watcher.end(WSCloseCode.TRY_AGAIN_LATER)

    def _join(self, watcher: Watcher) -> None:
        """From now on it gets deltas; what these follow on it gets first."""
        if self._base is None:
            self._base = self._look()
            self._wanted.set()
        if self._snapshot is None:
            self._snapshot = encode(snapshot(*self._base, time.time()))
        watcher.put(self._snapshot)
        self._watchers.add(watcher)

    async def close(self) -> None:
        """Send everyone away: farmd ends."""
        for watcher in self._watchers:
            watcher.end(WSCloseCode.GOING_AWAY)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One watcher, from its request to its end."""
        if self.count >= (MAX_WATCHERS if caller(request) == 0 else MAX_WATCHERS - FOR_ROOT):
            raise ApiError(503, "Too many WebSockets.", f"farmd serves at most {MAX_WATCHERS}.", "Close one.")
        self.count += 1
        watcher = Watcher()
        try:
            socket = web.WebSocketResponse(
                heartbeat=HEARTBEAT_SECONDS, timeout=CLOSE_SECONDS, max_msg_size=MAX_RECEIVED, compress=False
            )
            try:
                await socket.prepare(request)
            except ValueError as error:  # of a key that is no base64
                raise web.HTTPBadRequest(text=f"The handshake is invalid: {error}") from error
            self._join(watcher)
            await _attend(socket, watcher, request.transport)
        finally:
            self._watchers.discard(watcher)
            self.count -= 1
        return socket


async def _attend(socket: web.WebSocketResponse, watcher: Watcher, transport: asyncio.Transport | None) -> None:
    """Send what there is until the watcher leaves or is sent away."""

    async def send() -> None:
        while True:
            await socket.send_frame(await watcher.get(), WSMsgType.TEXT)

    async def ignore() -> None:
        async for _ in socket:
            pass

    tasks = [asyncio.create_task(send()), asyncio.create_task(ignore())]
    ends: list[asyncio.Future[None] | asyncio.Future[WSCloseCode]] = [*tasks, watcher.ended]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    code = watcher.ended.result() if watcher.ended.done() else WSCloseCode.OK
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(code=code)
            return
    if transport is not None:
        transport.abort()  # it reads no more: nothing that still waits for it shall be kept
