"""The boot NIC, asked of the kernel directly: ioctls cost nothing beside starting `ip`, netdevice(7)."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

_SIOCGIFADDR = 0x8915
_SIOCGIFBRDADDR = 0x8919
_SIOCSIFBRDADDR = 0x891A
_SIOCGIFNETMASK = 0x891B


def nic_of(mac: str) -> str | None:
    """The interface that has this MAC, or None while its driver has not made it."""
    for nic in sorted(os.listdir("/sys/class/net")):
        # A VLAN or bridge on top of the boot NIC has the same address, and no device.
        if mac_of(nic) == mac and (os.path.exists(f"/sys/class/net/{nic}/device") or not _stacked(nic)):
            return nic
    return None


def name_now(nic: str, mac: str) -> str:
    """What the interface with this MAC, which was called ``nic``, is called now: udev may have renamed it."""
    return nic if mac_of(nic) == mac else nic_of(mac) or nic


def _stacked(nic: str) -> bool:
    return any(name.startswith("lower_") for name in os.listdir(f"/sys/class/net/{nic}"))


def mac_of(nic: str) -> str:
    """The interface's MAC, lower case with colons; empty when there is no such interface."""
    try:
        with open(f"/sys/class/net/{nic}/address") as file:
            return file.read().strip().lower()
    except OSError:
        return ""


def _ask(nic: str, request: int) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, request, struct.pack("256s", nic.encode()[:15]))
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])


def address_of(nic: str) -> str | None:
    """The interface's IPv4 address, or None while it has none."""
    return _ask(nic, _SIOCGIFADDR)


def broadcast_of(nic: str) -> str | None:
    """The interface's broadcast address; None or 0.0.0.0 when none is set."""
    return _ask(nic, _SIOCGIFBRDADDR)


def ensure_broadcast(nic: str) -> None:
    """Set the broadcast address that follows from address and mask if there is none: iceccd wants one."""
    address, mask = address_of(nic), _ask(nic, _SIOCGIFNETMASK)
    if address is None or mask is None or broadcast_of(nic) not in (None, "0.0.0.0"):
        return
    (host,), (bits,) = struct.unpack("!I", socket.inet_aton(address)), struct.unpack("!I", socket.inet_aton(mask))
    broadcast = struct.pack("!I", (host | ~bits) & 0xFFFFFFFF)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH2x4s8x", nic.encode()[:15], socket.AF_INET, broadcast)
        fcntl.ioctl(sock, _SIOCSIFBRDADDR, request)
