"""HTTP over a Unix socket, for requests to farmd and supervisord."""

from __future__ import annotations

import http.client
import math
import socket
from pathlib import Path
from struct import Struct

LONGEST_SOCKET = 107
"""Bytes of a path in sockaddr_un, without the last NUL (unix(7))."""
_TIMEVAL = Struct("@ll")
"""`struct timeval`, which socket options take: seconds and microseconds."""


class UnixHTTPConnection(http.client.HTTPConnection):
    """An HTTP connection to a socket file; ``timeout`` in seconds, for each step."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._patience = timeout

    def connect(self) -> None:
        """Connect to the file instead of to a host; raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Not settimeout: a socket that does not block is refused at once while the server's queue is full (unix(7)).
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(math.ceil(self._patience), 0))
        self.sock.connect(str(self._path))
        self.sock.settimeout(self._patience)
