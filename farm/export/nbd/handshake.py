"""A client's side of NBD's handshake and of one read (NetworkBlockDevice/nbd, doc/proto.md); all of it is bounded."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

GREETING = b"NBDMAGICIHAVEOPT"
OPTION_MAGIC = b"IHAVEOPT"
OPTION_REPLY = 0x3E889045565A9
REQUEST_MAGIC, REPLY_MAGIC = 0x25609513, 0x67446698
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
OPT_GO = 7
REP_ACK, REP_INFO, REP_ERROR = 1, 3, 1 << 31
INFO_EXPORT = 0
CMD_READ, CMD_DISC = 0, 2
HAS_FLAGS, READ_ONLY = 1, 2
MAX_REPLIES = 16
MAX_REPLY = 4096
READ = 4096
"""Bytes of the export's beginning that are read; fewer when it is shorter."""


@dataclass(frozen=True)
class Described:
    """An export as its server describes it: size in bytes, the transmission flag, and its first bytes."""

    size: int
    read_only: bool
    beginning: bytes


def look(host: str, port: int, name: str, seconds: float) -> Described:
    """Ask for an export and read its beginning; raises OSError when that does not succeed in so many seconds."""
    with socket.create_connection((host, port), timeout=seconds) as sock:
        connection = _Connection(sock, time.monotonic() + seconds)
        size, flags = _enter(connection, name)
        beginning = _read(connection, min(READ, size))
        connection.send(struct.pack("!IHHQQI", REQUEST_MAGIC, 0, CMD_DISC, 0, 0, 0))
    return Described(size, bool(flags & READ_ONLY), beginning)


class _Connection:
    """A socket with one deadline for all that is said."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._socket = sock
        self._deadline = deadline

    def send(self, data: bytes) -> None:
        self._wait()
        self._socket.sendall(data)

    def take(self, count: int) -> bytes:
        """Wait for so many bytes."""
        data = b""
        while len(data) < count:
            self._wait()
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise ConnectionError("the NBD server closed the connection")
            data += piece
        return data

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the NBD server answers too slowly")
        self._socket.settimeout(left)


def _enter(connection: _Connection, name: str) -> tuple[int, int]:
    """Choose an export; returns its size and transmission flags."""
    if connection.take(16) != GREETING:
        raise OSError("the program that answers is not an NBD server")
    connection.take(2)
    connection.send(struct.pack("!I", FIXED_NEWSTYLE | NO_ZEROES))
    encoded = name.encode()
    body = struct.pack("!I", len(encoded)) + encoded + struct.pack("!H", 0)
    connection.send(OPTION_MAGIC + struct.pack("!II", OPT_GO, len(body)) + body)
    found = None
    for _ in range(MAX_REPLIES):
        magic, option, kind, length = struct.unpack("!QIII", connection.take(20))
        if magic != OPTION_REPLY or option != OPT_GO or length > MAX_REPLY:
            raise OSError("the NBD server's answer cannot be read")
        said = connection.take(length)
        if kind & REP_ERROR:
            raise OSError(f"the NBD server has no export {name}")
        if kind == REP_INFO and length == 12 and said[:2] == struct.pack("!H", INFO_EXPORT):
            found = struct.unpack("!QH", said[2:])
        if kind == REP_ACK and found:
            return int(found[0]), int(found[1])
    raise OSError("the NBD server does not describe the export")


def _read(connection: _Connection, count: int) -> bytes:
    connection.send(struct.pack("!IHHQQI", REQUEST_MAGIC, 0, CMD_READ, 1, 0, count))
    magic, error, _ = struct.unpack("!IIQ", connection.take(16))
    if magic != REPLY_MAGIC or error:
        raise OSError(f"the NBD server cannot read the file (error {error})")
    return connection.take(count)
