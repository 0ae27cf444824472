"""Who is asked for the addresses of names: DNS_SERVER and SEARCH_DOMAIN of lts.conf, or else what DHCP says.

lts.conf's own are written at boot, with all else; DHCP's are known when systemd-networkd has its lease, which a boot
does not wait for. This is run by units then, and at each further lease.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from ipaddress import ip_address

from farm.node.files import read, write
from farm.node.session.lts_values import LtsValues, told_values

FILE = "etc/resolv.conf"
LEASES = "run/systemd/netif/leases"
"""One file for each of networkd's, of lines KEY=value; it offers them by D-Bus and sd-network.h alone otherwise."""
MAX_NAME_SERVERS = 3
"""resolv.conf(5): the C library asks no more."""
MAX_DOMAINS = 6
"""The same, in older releases."""
DOMAIN = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,10}")


def main(root: str = "/") -> int:
    """Write the file again if it is to be another one."""
    path = os.path.join(root, FILE)
    text = resolv_conf(told_values(root), "".join(read(each) for each in sorted(glob.glob(f"{root}/{LEASES}/*"))))
    if text and text != read(path):
        write(path, text)
    return 0


def resolv_conf(lts: LtsValues, lease: str = "") -> str:
    """The file's text, empty when nobody says anything; ``lease``: the lines of networkd's leases."""
    servers = valid_servers(lts) or [each for each in _told(lease, "DNS") if is_address(each)]
    domains = valid_domains(lts) or [
        each for key in ("DOMAINNAME", "DOMAIN_SEARCH_LIST") for each in _told(lease, key) if DOMAIN.fullmatch(each)
    ]
    lines = [f"nameserver {server}" for server in dict.fromkeys(servers[:MAX_NAME_SERVERS])]
    if domains:
        lines.append(f"search {' '.join(dict.fromkeys(domains[:MAX_DOMAINS]))}")
    return "".join(f"{line}\n" for line in lines)


def valid_servers(lts: LtsValues) -> list[str]:
    """Those of DNS_SERVER that are addresses."""
    return [each for each in lts.words("DNS_SERVER") if is_address(each)]


def valid_domains(lts: LtsValues) -> list[str]:
    """Those of SEARCH_DOMAIN that are domains."""
    return [each for each in lts.words("SEARCH_DOMAIN") if DOMAIN.fullmatch(each)]


def is_address(text: str) -> bool:
    """Whether it is an IP address without a zone, whose name could be anything."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _told(lease: str, key: str) -> list[str]:
    return [word for line in lease.splitlines() if line.startswith(f"{key}=") for word in line.split("=", 1)[1].split()]


if __name__ == "__main__":
    sys.exit(main())
