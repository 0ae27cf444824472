"""A DHCP client of a few lines, to ask as firmware, iPXE or Linux would (RFC 2131, RFC 4578)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from dataclasses import dataclass

DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
_MAGIC = b"\x63\x82\x53\x63"
_ASKED = 50
_MESSAGE = 53
_SERVER = 54
_CLASS = 60
_CLIENT = 61
_FILE = 67
_ARCHITECTURE = 93
_IPXE = 175


@dataclass(frozen=True)
class Lease:
    """What a client is told."""

    address: str
    file: str
    vendor_class: str
    kind: int = ACK
    """OFFER or ACK."""
    server: str = ""
    """The server's address."""


@dataclass(frozen=True)
class Client:
    """A machine; ``name``: its client identifier, if any; ``architecture``: what it says that it is, if anything."""

    mac: str
    name: bytes = b""
    architecture: int | None = None
    ipxe: bool = False

    @property
    def options(self) -> dict[int, bytes]:
        found = {_CLIENT: self.name} if self.name else {}
        if self.architecture is not None:
            found[_ARCHITECTURE] = struct.pack("!H", self.architecture)
            kind = "HTTPClient" if 15 <= self.architecture <= 20 else "PXEClient"
            found[_CLASS] = f"{kind}:Arch:{self.architecture:05}:UNDI:003016".encode()
        if self.ipxe:
            found[_IPXE] = b"\x01\x01\x01"
        return found

    def ask(self, interface: str, tries: int = 60) -> Lease | None:
        """Discover, request; None when nothing is offered. To be called inside the interface's namespace.

        ``tries``: how often a question is asked that nobody answers within a second.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            sock.bind(("", 68))
            offer = self._exchange(sock, DISCOVER, None, tries)
            if offer is None:
                return None
            given = self._exchange(sock, REQUEST, offer, tries)
            assert given is not None, "what was offered is not given"
            return given

    def _exchange(self, sock: socket.socket, kind: int, offer: Lease | None, tries: int) -> Lease | None:
        transaction = os.urandom(4)
        asked = message(self, kind, transaction, offer)
        for _ in range(tries):
            sock.sendto(asked, ("255.255.255.255", 67))
            sock.settimeout(1.0)
            with contextlib.suppress(TimeoutError):
                while True:
                    if answer := read_answer(sock.recv(2048), transaction):
                        return answer
        return None


def message(client: Client, kind: int, transaction: bytes, offer: Lease | None) -> bytes:
    """What a client sends: DISCOVER, or REQUEST for what it was offered; the answer is to be a broadcast."""
    mac = bytes.fromhex(client.mac.replace(":", ""))
    fixed = struct.pack("!BBBB4sHH16s6s10s192s", 1, 1, 6, 0, transaction, 0, 0x8000, b"", mac, b"", b"")
    options = {_MESSAGE: bytes([kind]), 55: bytes([1, 3, 43, 54, 60, 66, _FILE]), **client.options}
    if offer:
        options |= {_ASKED: socket.inet_aton(offer.address), _SERVER: socket.inet_aton(offer.server)}
    body = b"".join(bytes([key, len(value)]) + value for key, value in options.items())
    return fixed + _MAGIC + body + b"\xff"


def read_answer(packet: bytes, transaction: bytes) -> Lease | None:
    """What a server says to the question of that number; a proxyDHCP server answers, too, and offers no address."""
    if packet[0] != 2 or packet[4:8] != transaction or not any(packet[16:20]):
        return None
    options = _options(packet[240:])
    return Lease(
        socket.inet_ntoa(packet[16:20]),
        options.get(_FILE, packet[108:236]).rstrip(b"\0").decode(),
        options.get(_CLASS, b"").decode(),
        options.get(_MESSAGE, b"\0")[0],
        socket.inet_ntoa(options.get(_SERVER, b"\0" * 4)),
    )


def is_refusal(packet: bytes, transaction: bytes) -> bool:
    """Whether a server says that what was asked for is not to be had."""
    return packet[4:8] == transaction and _options(packet[240:]).get(_MESSAGE) == bytes([NAK])


def _options(data: bytes) -> dict[int, bytes]:
    found, position = {}, 0
    while position + 1 < len(data) and data[position] != 0xFF:
        kind, length = data[position], data[position + 1]
        if kind == 0:
            position += 1
            continue
        found[kind] = data[position + 2 : position + 2 + length]
        position += 2 + length
    return found
