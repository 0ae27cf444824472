"""What an NFS server says of a file, without a mount: one COMPOUND of NFSv4.0 (RFC 7530; RPC: RFC 5531)."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_PROGRAM, _VERSION, _COMPOUND = 100003, 4, 1
_PUTROOTFH, _LOOKUP, _GETATTR, _READ = 24, 15, 9, 25
_SIZE_BIT = 1 << 4
"""FATTR4_SIZE in the first word of a bitmap."""
_XID = 1
_LAST_FRAGMENT = 1 << 31
_MAX_ANSWER = 64 << 10
BEGINNING = 4096
"""Bytes that are read."""
_NOENT = 2


@dataclass(frozen=True)
class ServedFile:
    """A file as an NFS server has it."""

    size: int
    beginning: bytes


def ask_for(host: str, port: int, path: list[str], seconds: float) -> ServedFile:
    """Look a file up by the names that lead to it, from the server's root, and read its beginning.

    Raises OSError when nobody answers in time, or there is no such file; each step may take ``seconds``.
    """
    with socket.create_connection((host, port), timeout=seconds) as server:
        call = _call(path)
        server.sendall(struct.pack(">I", _LAST_FRAGMENT | len(call)) + call)
        return _understand(_Words(_record(server)), path)


def _call(path: list[str]) -> bytes:
    """What finds a file, and asks for its size and its beginning."""
    size = struct.pack(">III", _GETATTR, 1, _SIZE_BIT)
    beginning = struct.pack(">I", _READ) + bytes(16) + struct.pack(">QI", 0, BEGINNING)
    return compound([*look_up(path), size, beginning])


def look_up(path: list[str]) -> list[bytes]:
    """The operations that lead from the server's root to a file."""
    return [struct.pack(">I", _PUTROOTFH), *(struct.pack(">I", _LOOKUP) + _opaque(name.encode()) for name in path)]


def compound(operations: list[bytes]) -> bytes:
    """The message that asks for operations: header, the credentials of root (AUTH_SYS), and they."""
    credentials = struct.pack(">II", 0, 0) + struct.pack(">III", 0, 0, 0)
    header = struct.pack(">6I", _XID, 0, 2, _PROGRAM, _VERSION, _COMPOUND)
    header += struct.pack(">I", 1) + _opaque(credentials) + struct.pack(">II", 0, 0)
    return header + _opaque(b"") + struct.pack(">II", 0, len(operations)) + b"".join(operations)


def _opaque(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def _record(server: socket.socket) -> bytes:
    """The whole answer, which may come in fragments."""
    data = b""
    last = False
    while not last:
        (mark,) = struct.unpack(">I", _read(server, 4))
        last, length = bool(mark & _LAST_FRAGMENT), mark & ~_LAST_FRAGMENT
        if len(data) + length > _MAX_ANSWER:
            raise OSError("the NFS server's answer is too long")
        data += _read(server, length)
    return data


def _read(server: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = server.recv(size - len(data))
        if not more:
            raise OSError("the NFS server closed the connection")
        data += more
    return data


class _Words:
    """An answer that is read from its beginning to its end (XDR, RFC 4506); raises OSError where it ends too soon."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, size: int) -> bytes:
        if size > len(self._data):
            raise OSError("the NFS server's answer was cut off")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def word(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def opaque(self) -> bytes:
        size = self.word()
        return self.take(size + -size % 4)[:size]


def _understand(answer: _Words, path: list[str]) -> ServedFile:
    if (answer.word(), answer.word(), answer.word()) != (_XID, 1, 0):
        raise OSError("the program that answers refuses NFSv4")
    answer.word()
    answer.opaque()
    if answer.word():
        raise OSError("the program that answers does not speak NFSv4")
    status = answer.word()
    answer.opaque()
    if status == _NOENT:
        raise OSError(f"the NFS server has no {'/'.join(path)}")
    if status:
        raise OSError(f"the NFS server answers with error {status} (nfsstat4)")
    answer.word()
    for _ in range(1 + len(path)):
        answer.take(8)
    answer.take(8)
    answer.take(4 * answer.word())
    size = int.from_bytes(answer.opaque(), "big")
    answer.take(12)
    return ServedFile(size, answer.opaque())
