"""Other DHCP servers on an interface."""

from __future__ import annotations

import os
import socket
import struct
import time

from farm.errors import FarmError

_MAGIC = b"\x63\x82\x53\x63"
_SERVER_ID = 54


def discover_packet(transaction: bytes, mac: bytes) -> bytes:
    """A DHCPDISCOVER that asks for a broadcast answer (RFC 2131, section 2 and table 5)."""
    fixed = struct.pack("!BBBB4sHH16s6s10s192s", 1, 1, 6, 0, transaction, 0, 0x8000, b"", mac, b"", b"")
    return fixed + _MAGIC + b"\x35\x01\x01" + b"\x37\x02\x01\x03" + b"\xff"


def offering_server(packet: bytes, transaction: bytes) -> str | None:
    """The server that made this offer (option 54), or None when it is no answer to the transaction."""
    if len(packet) < 240 or packet[0] != 2 or packet[4:8] != transaction or packet[236:240] != _MAGIC:
        return None
    position = 240
    while position + 1 < len(packet) and packet[position] != 0xFF:
        if packet[position] == 0:
            position += 1
            continue
        kind, length = packet[position], packet[position + 1]
        value = packet[position + 2 : position + 2 + length]
        if kind == _SERVER_ID and len(value) == 4:
            return socket.inet_ntoa(value)
        position += 2 + length
    return None


def find_dhcp_servers(interface: str, seconds: float = 2.0) -> set[str]:
    """Addresses of the DHCP servers that answer within ``seconds``; the request names an address nobody has.

    Raises FarmError when the interface cannot be used or a DHCP client holds port 68 on it.
    """
    transaction, mac = os.urandom(4), bytes([0x02, *os.urandom(5)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            sock.bind(("", 68))
            sock.sendto(discover_packet(transaction, mac), ("255.255.255.255", 67))
        except OSError as error:
            raise FarmError(
                f"Could not ask for DHCP servers on {interface}.",
                str(error),
                f"Is it up, with an address? See: ip addr show {interface}",
            ) from error
        return set(_answers(sock, transaction, time.monotonic() + seconds))


def _answers(sock: socket.socket, transaction: bytes, deadline: float) -> list[str]:
    servers: list[str] = []
    while (left := deadline - time.monotonic()) > 0 and len(servers) < 64:
        sock.settimeout(left)
        try:
            packet = sock.recv(2048)
        except TimeoutError:
            break
        if server := offering_server(packet, transaction):
            servers.append(server)
    return servers
