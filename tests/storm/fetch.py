"""What a PC fetches over IP: files by TFTP and HTTP, a root by NBD. All raise OSError, or ValueError at wrong bytes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct

TFTP_BLOCK = 1432
"""What firmware and iPXE ask for: a frame's worth (RFC 2348)."""
SILENCE = 30.0
"""Seconds without a byte after which a connection is given up."""
LONGEST_PAUSE = 8.0
"""Seconds without a block after which TFTP's last packet is sent again, in the end."""
PIECE = 64 << 10
NBD_DEPTH = 4


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.came.put_nowait((data, addr))


class Tftp:
    """Transfers of one node (RFC 1350, 2347)."""

    def __init__(self, own: str, server: str) -> None:
        self._own, self._server = own, server
        self.again = 0

    async def get(self, path: str) -> bytes:
        """A file, asked for until it comes."""
        loop = asyncio.get_running_loop()
        transport, datagrams = await loop.create_datagram_endpoint(_Datagrams, local_addr=(self._own, 0))
        try:
            return await self._blocks(transport, datagrams, path)
        finally:
            transport.close()

    async def _blocks(self, transport: asyncio.DatagramTransport, datagrams: _Datagrams, path: str) -> bytes:
        words = (path, "octet", "blksize", str(TFTP_BLOCK))
        packet, to = b"\0\1" + b"".join(word.encode() + b"\0" for word in words), (self._server, 69)
        got, block, size = bytearray(), 0, 512
        while True:
            data, to = await self._answer(transport, datagrams, packet, to, block)
            kind, number = struct.unpack("!HH", data[:4])
            if kind == 5:
                raise OSError(f"TFTP: {path}: {data[4:].decode(errors='replace')}")
            if kind == 6:
                size, number = TFTP_BLOCK, 0
            else:
                got += data[4:]
            block = number + 1
            packet = struct.pack("!HH", 4, number)
            if kind == 3 and len(data) - 4 < size:
                transport.sendto(packet, to)
                return bytes(got)

    async def _answer(
        self,
        transport: asyncio.DatagramTransport,
        datagrams: _Datagrams,
        packet: bytes,
        to: tuple[str, int],
        block: int,
    ) -> tuple[bytes, tuple[str, int]]:
        """The next packet that counts; what it answers is sent again while nothing comes."""
        pause = 1.0
        while True:
            transport.sendto(packet, to)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    while True:
                        data, origin = await datagrams.came.get()
                        kind, number = struct.unpack("!HH", data[:4])
                        first = block == 0 and (kind in (5, 6) or number == 1)
                        if first or (kind == 3 and number == block):
                            return data, origin
            self.again += 1
            pause = 2 * pause
            if block and pause > LONGEST_PAUSE:
                raise OSError("TFTP: the server that had begun says no more")
            pause = min(pause, LONGEST_PAUSE)


async def http_get(own: str, server: str, port: int, path: str, expected: memoryview | None) -> bytes:
    """A file by HTTP; compared as it comes, or returned when nothing is ``expected``."""
    async with asyncio.timeout(SILENCE):
        reader, writer = await asyncio.open_connection(server, port, local_addr=(own, 0))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(SILENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise OSError(f"HTTP: {path}: {head.splitlines()[0]!r}")
        got, at = [], 0
        while True:
            async with asyncio.timeout(SILENCE):
                piece = await reader.read(PIECE)
            if not piece:
                break
            if expected is None:
                got.append(piece)
            elif bytes(expected[at : at + len(piece)]) != piece:
                raise ValueError(f"wrong bytes at {at} of {path}")
            at += len(piece)
        length = re.search(rb"(?mi)^content-length: *([0-9]+)\r$", head)
        if at != (len(expected) if expected is not None else int(length[1]) if length else at):
            raise OSError(f"HTTP: {path}: cut off at {at}")
        return b"".join(got)
    finally:
        writer.close()


async def nbd_read(own: str, server: str, port: int, name: str, expected: memoryview) -> None:
    """The beginning of an export, in requests of 64 KiB, four at a time (NBD's doc/proto.md)."""
    async with asyncio.timeout(SILENCE):
        reader, writer = await asyncio.open_connection(server, port, local_addr=(own, 0))
        await reader.readexactly(18)
        option = name.encode()
        writer.write(struct.pack("!I", 3) + b"IHAVEOPT" + struct.pack("!II", 1, len(option)) + option)
        await reader.readexactly(10)
    try:
        offsets = range(0, len(expected), PIECE)
        for ask in range(min(NBD_DEPTH, len(offsets))):
            _nbd_ask(writer, offsets[ask], expected)
        for done in range(len(offsets)):
            async with asyncio.timeout(SILENCE):
                magic, error, offset = struct.unpack("!IIQ", await reader.readexactly(16))
                if magic != 0x67446698 or error:
                    raise OSError(f"NBD: error {error} at {offset}")
                wanted = bytes(expected[offset : offset + PIECE])
                if await reader.readexactly(len(wanted)) != wanted:
                    raise ValueError(f"wrong bytes at {offset} of the root")
            if done + NBD_DEPTH < len(offsets):
                _nbd_ask(writer, offsets[done + NBD_DEPTH], expected)
    finally:
        writer.close()


def _nbd_ask(writer: asyncio.StreamWriter, offset: int, expected: memoryview) -> None:
    """A read whose handle is its offset."""
    size = min(PIECE, len(expected) - offset)
    writer.write(struct.pack("!IHHQQI", 0x25609513, 0, 0, offset, offset, size))
