"""A DHCP client of a few lines, to ask as firmware, iPXE or Linux would (RFC 2131, RFC 4578)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from dataclasses import dataclass

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
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
            offer = self._exchange(sock, DISCOVER, {}, tries)
            if offer is None:
                return None
            wanted = {_ASKED: offer[0], _SERVER: offer[1][_SERVER]}
            answer = self._exchange(sock, REQUEST, wanted, tries)
            assert answer is not None, "what was offered is not given"
            address, options, file = answer
            name = options.get(_FILE, file).rstrip(b"\0").decode()
            return Lease(socket.inet_ntoa(address), name, options.get(_CLASS, b"").decode())

    def _exchange(
        self, sock: socket.socket, kind: int, more: dict[int, bytes], tries: int
    ) -> tuple[bytes, dict[int, bytes], bytes] | None:
        transaction = os.urandom(4)
        mac = bytes.fromhex(self.mac.replace(":", ""))
        fixed = struct.pack("!BBBB4sHH16s6s10s192s", 1, 1, 6, 0, transaction, 0, 0x8000, b"", mac, b"", b"")
        options = {_MESSAGE: bytes([kind]), 55: bytes([1, 3, 43, 54, 60, 66, _FILE]), **self.options, **more}
        body = b"".join(bytes([key, len(value)]) + value for key, value in options.items())
        for _ in range(tries):
            sock.sendto(fixed + _MAGIC + body + b"\xff", ("255.255.255.255", 67))
            sock.settimeout(1.0)
            with contextlib.suppress(TimeoutError):
                while True:
                    packet = sock.recv(2048)
                    # A proxyDHCP server answers, too, and offers no address.
                    if packet[0] == 2 and packet[4:8] == transaction and any(packet[16:20]):
                        return packet[16:20], _options(packet[240:]), packet[108:236]
        return None


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
