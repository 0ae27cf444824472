"""Ports of this machine that only the servers reach, by nftables."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable


def close_ports(table: str, ports: str, hosts: Iterable[str]) -> None:
    """Let only these hosts, by name or address, reach the TCP ports ``FIRST-LAST``; the table has no other rules.

    Raises OSError or subprocess.CalledProcessError when that cannot be done.
    """
    rules = closed_ports(table, ports, addresses(hosts))
    subprocess.run(["nft", "--file", "-"], input=rules, text=True, check=True)


def closed_ports(table: str, ports: str, allowed: Iterable[str]) -> str:
    """Rules for nft: of all the network only these IPv4 and IPv6 addresses reach the ports."""
    found = sorted(allowed)
    accept = ""
    for family, elements in (
        ("ip", [each for each in found if ":" not in each]),
        ("ip6", [each for each in found if ":" in each]),
    ):
        if elements:
            accept += f"\t\ttcp dport {ports} {family} saddr {{ {', '.join(elements)} }} accept\n"
    return (
        f"table inet {table}\n"
        f"delete table inet {table}\n"
        f"table inet {table} {{\n"
        "\tchain input {\n"
        "\t\ttype filter hook input priority filter\n"
        '\t\tiifname "lo" accept\n'
        f"{accept}"
        f"\t\ttcp dport {ports} drop\n"
        "\t}\n"
        "}\n"
    )


def addresses(hosts: Iterable[str]) -> set[str]:
    """The hosts' IPv4 and IPv6 addresses, as far as their names are known now."""
    found: set[str] = set()
    for host in filter(None, hosts):
        try:
            found |= {str(each[4][0]).partition("%")[0] for each in socket.getaddrinfo(host, None)}
        except (OSError, UnicodeError) as error:
            sys.stderr.write(f"farm-node: no address of {host}: {error}; it cannot connect to {os.uname().nodename}\n")
    return found
