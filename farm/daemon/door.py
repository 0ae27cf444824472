"""Taking connections: as many as there is room for, whoever comes. Who of them may ask what is farm/daemon/access.py's.

A host that opens connections and says nothing closes the API to nobody: the oldest idle one makes room for a new one.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Never

from aiohttp import web
from aiohttp.typedefs import Handler

log = logging.getLogger("farmd")

MAX_CONNECTIONS = 256
"""Connections that one listening socket serves at the same time."""
MAX_FROM_ONE = 32
"""From one address, or of one user."""
OPEN_FILES = 4096
"""All doors, the questions to nodes and what farmd reads need some 700 at most."""
BACKLOG = 4096
"""Connections that wait to be taken; the kernel may allow less."""
PAUSE_SECONDS = 1.0
"""After the kernel had no room for a connection."""
_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid: unix(7), SO_PEERCRED."""

Who = str | int
"""An address, or a user id."""


def raise_open_files() -> None:
    """Let this process open OPEN_FILES files, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def user(connection: socket.socket) -> int:
    """The user id at the other end of a Unix socket."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid


def address(connection: socket.socket) -> str:
    """The address at the other end of a TCP connection. Raises OSError when it is gone."""
    return str(connection.getpeername()[0])


def at_path(path: Path) -> socket.socket:
    """A listening socket at a file, which everyone on this machine may connect to, in the place of whatever is there.

    Raises OSError.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen(BACKLOG)
    return listener


def at_port(host: str, port: int) -> socket.socket:
    """A listening socket at a TCP port. Raises OSError when that is not to be had."""
    return socket.create_server((host, port), backlog=BACKLOG)


class Busy:
    """The connections whose requests are being answered, WebSockets among them."""

    def __init__(self) -> None:
        self._transports: set[asyncio.BaseTransport] = set()

    def __contains__(self, transport: asyncio.BaseTransport) -> bool:
        return transport in self._transports

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count a connection in while its request is answered."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._transports.add(transport)
        try:
            return await handler(request)
        finally:
            self._transports.discard(transport)


class Door:
    """The connections taken at one listening socket, for a server to answer. ``free``: who is not counted."""

    def __init__(self, server: web.Server, busy: Busy, free: frozenset[Who] = frozenset()) -> None:
        self._server = server
        self._busy = busy
        self._free = free
        self._taken: dict[asyncio.Transport, Who] = {}
        """In the order they came."""

    async def take(self, listener: socket.socket, who: Callable[[socket.socket], Who]) -> Never:
        """Take connections until cancelled; ``who`` says from whom one is."""
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                # Those two are of a client that has gone (accept(2)); anything else would fail again at once.
                if error.errno not in (errno.ECONNABORTED, errno.EPROTO):
                    log.warning("No connection can be taken: %s", error.strerror)
                    await asyncio.sleep(PAUSE_SECONDS)
                continue
            try:
                await self._admit(connection, who(connection))
            except OSError:  # it is gone already
                connection.close()

    async def _admit(self, connection: socket.socket, who: Who) -> None:
        if not self._make_room(who):
            connection.close()
            await asyncio.sleep(0)  # whoever comes again and again leaves time for others
            return
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(self._server, connection)
        if who not in self._free:
            self._taken[transport] = who

    def _make_room(self, who: Who) -> bool:
        """Whether there is room for one more, if need be after closing the oldest that waits for a request."""
        if who in self._free:
            return True
        self._taken = {transport: each for transport, each in self._taken.items() if not transport.is_closing()}
        candidates = [transport for transport, each in self._taken.items() if each == who]
        if len(candidates) < MAX_FROM_ONE:
            if len(self._taken) < MAX_CONNECTIONS:
                return True
            candidates = list(self._taken)
        idle = next((transport for transport in candidates if transport not in self._busy), None)
        if idle is not None:
            idle.abort()
            del self._taken[idle]
        return idle is not None


def free_users() -> frozenset[Who]:
    """Those who may give orders to farmd always get in."""
    return frozenset((0, os.getuid()))
