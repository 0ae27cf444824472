"""Frames of many machines through one interface: each has a MAC of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

AOE = 0x88A2
BROADCAST = b"\xff" * 6
BATCH = 64
"""Frames that are taken at a time, before anything else gets its turn."""
BUFFER = 64 << 20
"""Bytes of frames that may wait: a real room has a buffer in each PC."""
PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 1, 1
Take = Callable[[memoryview], None]


class Wire:
    """AoE frames of all nodes; DHCP's broadcasts."""

    def __init__(self, interface: str) -> None:
        self._aoe = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(AOE))
        self._aoe.bind((interface, AOE))
        self._aoe.setsockopt(socket.SOL_SOCKET, 33, BUFFER)  # SO_RCVBUFFORCE
        index = socket.if_nametoindex(interface)
        # The card would not take frames for machines that it does not know of.
        member = struct.pack("iHH8s", index, PACKET_MR_PROMISC, 0, b"")
        self._aoe.setsockopt(263, PACKET_ADD_MEMBERSHIP, member)  # SOL_PACKET
        self._dhcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._dhcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._dhcp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._dhcp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        self._dhcp.setsockopt(socket.SOL_SOCKET, 33, BUFFER)
        self._dhcp.bind(("", 68))
        self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._raw.bind((interface, 0))
        self._frame = memoryview(bytearray(9216))
        self.disks: dict[bytes, Take] = {}
        """MAC → what takes its AoE frames."""
        self.clients: dict[bytes, Callable[[bytes], None]] = {}
        """MAC → what takes its DHCP answers."""

    def __enter__(self) -> Wire:
        loop = asyncio.get_running_loop()
        for sock, take in ((self._aoe, self._take_aoe), (self._dhcp, self._take_dhcp)):
            sock.setblocking(False)
            loop.add_reader(sock, take)
        self._raw.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._aoe, self._dhcp, self._raw):
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def send_aoe(self, frame: bytes) -> None:
        """A whole frame; one for which there is no room is lost, and sent again by whoever waits for the answer."""
        with contextlib.suppress(OSError):
            self._aoe.send(frame)

    def send_dhcp(self, mac: bytes, message: bytes) -> None:
        """A message to all servers, from a machine that has no address yet (RFC 2131, section 4.1)."""
        udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\0" * 4, b"\xff" * 4)
        header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
        with contextlib.suppress(OSError):
            self._raw.send(BROADCAST + mac + b"\x08\x00" + header + udp)

    def _take_aoe(self) -> None:
        frame = self._frame
        for _ in range(BATCH):
            try:
                size = self._aoe.recv_into(frame)
            except BlockingIOError:
                return
            if take := self.disks.get(bytes(frame[:6])):
                take(frame[:size])

    def _take_dhcp(self) -> None:
        for _ in range(BATCH):
            try:
                packet = self._dhcp.recv(2048)
            except BlockingIOError:
                return
            if take := self.clients.get(packet[28:34]):
                take(packet)


def _checksum(header: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
