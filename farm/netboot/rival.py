"""Other DHCP servers on an interface."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import struct

from farm.errors import FarmError

PROBE = b"\x02farm"
"""How the MACs begin from which requests come: no card's, and a farm that is up knows them for no machine's."""
_MAGIC = b"\x63\x82\x53\x63"
_SERVER_ID = 54
_FIRMWARE = b"\x3c\x20PXEClient:Arch:00000:UNDI:002001" + b"\x5d\x02\0\0" + b"\x5e\x03\x01\x02\x01"
"""Options 60, 93 and 94 of a PC with BIOS (RFC 4578)."""
_ETH_P_IP = 0x0800
_MOST = 64
"""Servers that are told apart at most."""
_SO_ATTACH_FILTER = 26
_TO_CLIENT = (
    (0x30, 0, 0, 9),  # the protocol
    (0x15, 0, 6, socket.IPPROTO_UDP),
    (0x28, 0, 0, 6),  # where in a packet this fragment begins: only the first one has ports
    (0x45, 4, 0, 0x1FFF),
    (0xB1, 0, 0, 0),  # the length of the IP header
    (0x48, 0, 0, 2),  # the port behind it
    (0x15, 0, 1, 68),
    (0x06, 0, 0, 0xFFFF),  # take it
    (0x06, 0, 0, 0),  # leave it
)
"""For the kernel's filter, from the IP header on: code, jump if true, jump if false, operand (socket(7), bpf(4))."""


def discover_packet(transaction: bytes, mac: bytes, *, pxe: bool = False) -> bytes:
    """A DHCPDISCOVER that asks for a broadcast answer (RFC 2131, section 2 and table 5).

    ``pxe``: as a PC's firmware asks, which is all that a proxyDHCP server answers (PXE 2.1, section 2.2.3).
    """
    fixed = struct.pack("!BBBB4sHH16s6s10s192s", 1, 1, 6, 0, transaction, 0, 0x8000, b"", mac, b"", b"")
    return fixed + _MAGIC + b"\x35\x01\x01" + b"\x37\x02\x01\x03" + (_FIRMWARE if pxe else b"") + b"\xff"


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


def client_payload(packet: bytes) -> bytes:
    """The UDP payload of an IPv4 packet to the DHCP client's port; else empty (RFC 791, RFC 768)."""
    header = (packet[0] & 15) * 4 if packet else 0
    if header < 20 or len(packet) < header + 8 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP:
        return b""
    return packet[header + 8 :] if packet[header + 2 : header + 4] == b"\0\x44" else b""


def answers_to_clients() -> socket.socket:
    """A socket that will get, once it is bound to an interface, what is sent there to the DHCP client's port by UDP.

    The kernel leaves out all else: on a busy network that would take a processor, and answers would get lost in it.
    """
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _TO_CLIENT))
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    whole = struct.pack("HP", len(_TO_CLIENT), ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, whole)
    return sock


def find_dhcp_servers(interface: str, seconds: float = 2.0) -> set[str]:
    """The same as `hear_dhcp_servers`, for callers without an event loop."""
    return asyncio.run(hear_dhcp_servers(interface, seconds))


async def hear_dhcp_servers(interface: str, seconds: float) -> set[str]:
    """Addresses of the DHCP servers that answer within ``seconds``; the request comes from a MAC nobody has.

    Answers are read below IP: this machine's filters, routes and DHCP clients do not hide a server from it.
    Raises FarmError when the interface cannot be used.
    """
    transaction, mac = os.urandom(4), PROBE + os.urandom(1)
    with (
        answers_to_clients() as answers,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        answers.setblocking(False)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            answers.bind((interface, _ETH_P_IP))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            # Some servers answer the port that asked, all of them answer this one; a DHCP client may hold it.
            with contextlib.suppress(OSError):
                sock.bind(("", 68))
            for pxe in (False, True):
                sock.sendto(discover_packet(transaction, mac, pxe=pxe), ("255.255.255.255", 67))
        except OSError as error:
            raise FarmError(
                f"Could not ask for DHCP servers on {interface}.",
                str(error),
                f"Check that it is up and has an address: ip addr show {interface}",
            ) from error
        return await _answers(answers, transaction, seconds)


async def _answers(sock: socket.socket, transaction: bytes, seconds: float) -> set[str]:
    servers: set[str] = set()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while len(servers) < _MOST:
                packet = await loop.sock_recv(sock, 2048)
                if server := offering_server(client_payload(packet), transaction):
                    servers.add(server)
                await asyncio.sleep(0)  # sock_recv does not let others run while packets keep coming
    return servers
