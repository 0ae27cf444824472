"""Clients of NBD and NFS that only read. All answers have one size and beginning, so a crowd of them costs little."""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from farm.export.nbd import PORT as NBD_PORT
from farm.export.nfs import PORT as NFS_PORT
from farm.export.nfs import SHOWN
from farm.export.nfs.question import compound, look_up

PIECE = 64 << 10
DEPTH = 4
"""Pieces of a reader that are on their way at once."""
SECONDS = 30.0
"""For an answer, before there is a crowd."""
_PUTFH, _GETFH, _READ = 22, 10, 25
_HANDLE_AT = 72
"""Where the handle stands in the answer to PUTROOTFH, two LOOKUPs and GETFH, with the record's mark."""


@dataclass
class Stream:
    """A connection over which pieces of a root come; an answer has so many bytes before the piece."""

    connection: socket.socket
    ask: Callable[[int], bytes]
    """The request for the piece at an offset."""
    header: int
    at: int = 0
    """The offset that is asked for next."""
    got: int = field(default=0, compare=False)

    def ask_next(self, size: int) -> None:
        """Ask for one more piece of a root of so many bytes, which is read round and round."""
        self.connection.sendall(self.ask(self.at))
        self.at = self.at + PIECE if self.at + 2 * PIECE <= size else 0

    def read(self, offset: int) -> bytes:
        """One piece, alone."""
        self.connection.sendall(self.ask(offset))
        return take(self.connection, self.header + PIECE)[self.header :]


def nbd(server: str, name: str) -> Stream:
    """A reader by NBD (NetworkBlockDevice/nbd, doc/proto.md)."""
    connection = socket.create_connection((server, NBD_PORT), timeout=SECONDS)
    take(connection, 18)
    option = name.encode()
    connection.sendall(struct.pack("!I", 3) + b"IHAVEOPT" + struct.pack("!II", 1, len(option)) + option)
    take(connection, 10)
    return Stream(connection, lambda at: struct.pack("!IHHQQI", 0x25609513, 0, 0, at, at, PIECE), 16)


def nfs(server: str, name: str) -> Stream:
    """A reader by NFSv4.0 (RFC 7530), which has not opened the file."""
    connection = socket.create_connection((server, NFS_PORT), timeout=SECONDS)
    connection.sendall(_record(compound([*look_up([SHOWN, name]), struct.pack(">I", _GETFH)])))
    (mark,) = struct.unpack(">I", head := take(connection, 4))
    answer = head + take(connection, mark & ~(1 << 31))
    (length,) = struct.unpack_from(">I", answer, _HANDLE_AT)
    handle = answer[_HANDLE_AT : _HANDLE_AT + 4 + length]
    use = struct.pack(">I", _PUTFH) + handle + bytes(-length % 4)

    def ask(at: int) -> bytes:
        return _record(compound([use, struct.pack(">I", _READ) + bytes(16) + struct.pack(">QI", at, PIECE)]))

    connection.sendall(ask(0))
    (mark,) = struct.unpack(">I", take(connection, 4))
    size = mark & ~(1 << 31)
    take(connection, size)
    return Stream(connection, ask, 4 + size - PIECE)


STREAMS = {"nbd": nbd, "nfs": nfs}


def read_together(streams: Sequence[Stream], size: int, seconds: float) -> list[int]:
    """Let all read for so long; how many bytes each got of the root, which has ``size``."""
    room = memoryview(bytearray(1 << 20))
    with selectors.DefaultSelector() as waiting:
        for number, stream in enumerate(streams):
            stream.at = size // len(streams) * number // PIECE * PIECE
            for _ in range(DEPTH):
                stream.ask_next(size)
            waiting.register(stream.connection, selectors.EVENT_READ, stream)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in waiting.select(0.1):
                _receive(key.data, room, size)
    return [stream.got // (stream.header + PIECE) * PIECE for stream in streams]


def _receive(stream: Stream, room: memoryview, size: int) -> None:
    whole = stream.header + PIECE
    before = stream.got // whole
    came = stream.connection.recv_into(room)
    if not came:
        raise ConnectionError("the server closed a connection")
    stream.got += came
    for _ in range(stream.got // whole - before):
        stream.ask_next(size)


def _record(message: bytes) -> bytes:
    return struct.pack(">I", 1 << 31 | len(message)) + message


def take(connection: socket.socket, size: int) -> bytes:
    """Wait for so many bytes."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("the server closed the connection")
        data += more
    return data
