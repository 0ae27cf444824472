"""HTTP connections to servers that may be hostile: whatever such a server sends, each of them ends."""

from __future__ import annotations

import http.client
import io
import socket
import time
import urllib.request
from typing import Any

PATIENCE = 30.0
"""Seconds without a byte until a connection counts as broken."""
SLOWEST = 1 << 10
"""Bytes a second, on average, below which a connection counts as broken after ``PATIENCE``."""
_MARGIN = 64 << 10
"""Bytes that may come besides the content: headers, and the body of an answer that is no file."""


class _Bounded(io.RawIOBase):
    """What a socket receives, up to ``most`` bytes, and not more slowly than ``SLOWEST``."""

    def __init__(self, source: io.RawIOBase) -> None:
        super().__init__()
        self.most = _MARGIN
        self._source, self._have, self._start = source, 0, time.monotonic()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._source.readinto(buffer)
        self._have += count or 0
        if self._have > self.most:
            raise http.client.HTTPException("The server sends more bytes than there can be.")
        if time.monotonic() - self._start > PATIENCE + self._have / SLOWEST:
            raise TimeoutError("The server sends too slowly.")
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _Reader(io.BufferedReader):
    """All that comes is read in pieces: http.client asks for it after redirects and negative lengths of chunks."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(_MARGIN if size is None or size < 0 else size)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, most: int, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._most, self._bounded = most, _Bounded(self.fp.detach())
        self.fp = _Reader(self._bounded)

    def begin(self) -> None:
        super().begin()
        if self.status in (http.client.OK, http.client.PARTIAL_CONTENT):
            self._bounded.most += 2 * self._most  # twice: chunks have a frame


class BoundedHandler(urllib.request.HTTPHandler):
    """Opens HTTP and HTTPS for answers whose content has some ``most`` bytes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._opened: list[http.client.HTTPResponse] = []

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Called by urllib's opener."""
        return self._open(http.client.HTTPConnection, request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Called by urllib's opener."""
        return self._open(http.client.HTTPSConnection, request)

    https_request = urllib.request.HTTPHandler.http_request

    def close(self) -> None:
        """Close all that was opened, also what urllib lost sight of on a wrong redirect."""
        for response in self._opened:
            response.close()

    def _open(
        self, kind: type[http.client.HTTPConnection], request: urllib.request.Request
    ) -> http.client.HTTPResponse:
        def connection(host: str, **options: Any) -> http.client.HTTPConnection:
            made = kind(host, **options)
            made.response_class = lambda *args, **more: _Response(*args, most=self._most, **more)  # type: ignore
            return made

        self._opened.append(self.do_open(connection, request))
        return self._opened[-1]
