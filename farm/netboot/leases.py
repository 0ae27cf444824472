"""The addresses that dnsmasq has lent, as its file tells."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from ipaddress import IPv4Address

from msgspec import Struct

from farm.config import DhcpConfig
from farm.node.contract import MAC

MAX_LEASES = 65536
_LEASE = re.compile(
    r"(?P<expires>\d{1,12}) (?:[0-9a-f]{2}-)?(?P<mac>[0-9a-f:]*) (?P<address>\d{1,3}(?:\.\d{1,3}){3}) .*", re.ASCII
)


class Lease(Struct, frozen=True):
    """An address and whose it is; ``expires``: Unix time, 0: never. A hardware address may have up to 16 bytes."""

    expires: int
    mac: str
    address: IPv4Address

    def lasts(self, now: float) -> bool:
        """It has not run out at Unix time ``now``."""
        return not self.expires or self.expires > now


def parse_leases(text: str) -> list[Lease]:
    """The IPv4 leases in dnsmasq's file (dnsmasq(8), dhcp-leasefile); lines that are none are left out."""
    found = []
    for line in text.splitlines()[:MAX_LEASES]:
        if match := _LEASE.fullmatch(line):
            try:
                found.append(Lease(int(match["expires"]), match["mac"], IPv4Address(match["address"])))
            except ValueError:
                continue
    return found


def addresses(leases: Iterable[Lease], now: float) -> dict[str, str]:
    """MAC → address that it has at Unix time ``now``; of several the one that lasts longest."""
    lasting = [lease for lease in leases if lease.lasts(now) and MAC.fullmatch(lease.mac)]
    return {lease.mac: str(lease.address) for lease in sorted(lasting, key=lambda lease: lease.expires or math.inf)}


def used_up(dhcp: DhcpConfig, leases: Iterable[Lease], expected: set[str], now: float) -> int:
    """How many addresses the range has, if all are lent and not to ``expected`` machines (MACs) alone; else 0."""
    first, last = IPv4Address(dhcp.first), IPv4Address(dhcp.last)
    held = {lease.address: lease.mac for lease in leases if first <= lease.address <= last and lease.lasts(now)}
    size = int(last) - int(first) + 1
    return size if len(held) >= size and not set(held.values()) <= expected else 0
