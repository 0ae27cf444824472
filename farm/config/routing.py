"""Where the kernel sends a lab's packets: its routes, and the rules by which it chooses among tables of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from farm import command

ANYWHERE = IPv4Network("0.0.0.0/0")
_DROPS = ("prohibit", "unreachable", "blackhole")
_SPECIAL = ("fwmark", "oif", "uid_start", "ipproto", "sport", "dport", "tos", "tun_id", "l3mdev")
"""What rules ask of a packet besides its addresses; the farm's packets are not like that."""


@dataclass(frozen=True)
class KernelRoute:
    """Where the kernel sends packets for a network; ``interface`` is empty where it drops them."""

    network: IPv4Network
    interface: str

    def __str__(self) -> str:
        return (
            f"a route sends {self.network} to {self.interface}" if self.interface else f"a route drops {self.network}"
        )


@dataclass(frozen=True)
class PolicyRule:
    """A rule that names a table for packets between two networks, or ``drops`` them (ip-rule(8)).

    ``inverted``: for all other packets. ``main``: the table is the one in which a lab's own route is.
    """

    source: IPv4Network
    to: IPv4Network
    inverted: bool
    drops: bool
    main: bool
    routes: tuple[KernelRoute, ...]
    text: str

    def concerns(self, server: IPv4Address, network: IPv4Network) -> bool:
        """Whether packets of ``server`` to ``network``, or to a part of it, are among its own."""
        if self.inverted:
            return server not in self.source or not network.subnet_of(self.to)
        return server in self.source and network.overlaps(self.to)

    def settles(self, server: IPv4Address, network: IPv4Network, name: str) -> bool:
        """Whether it sends all packets of ``server`` for ``network`` to ``name``, so that later rules are not asked."""
        all_of_it = not self.inverted and server in self.source and network.subnet_of(self.to)
        return all_of_it and (self.main or bool(self._own(network, name)))

    def leads_to(self, network: IPv4Network, name: str) -> set[str]:
        """The interfaces other than ``name`` to which its table sends packets for ``network``; empty: drops them."""
        own = self._own(network, name)
        return {
            route.interface
            for route in self.routes
            if route.interface != name and route.network.overlaps(network)
            # The kernel takes the narrowest route of a table.
            if route.network.prefixlen > max(own, default=-1)
        }

    def _own(self, network: IPv4Network, name: str) -> list[int]:
        """How narrow its routes are that send all of ``network`` to ``name``."""
        return [
            route.network.prefixlen
            for route in self.routes
            if route.interface == name and network.subnet_of(route.network)
        ]


def routes() -> list[KernelRoute]:
    """The IPv4 routes of all routing tables that lead off this machine, without default routes (ip-route(8))."""
    return [route for route in _table("all") if route.network != ANYWHERE]


def policy_rules() -> list[PolicyRule]:
    """The rules that the farm's packets may meet, in the order in which the kernel asks them."""
    entries = json.loads(command.run(["ip", "-j", "-4", "rule", "show"]).stdout or "[]")
    names = {entry["table"] for entry in entries if "table" in entry} - {"local", "main"}
    tables = {name: _table(name) for name in names}
    return [rule for entry in entries if (rule := _rule(entry, tables)) is not None]


def diverted(network: IPv4Network, server: IPv4Address, name: str, rules: Sequence[PolicyRule]) -> list[str]:
    """Which rules take packets of ``server`` for a lab's network away from the interface called ``name``, in words."""
    found = []
    for rule in rules:
        if not rule.concerns(server, network):
            continue
        there = rule.leads_to(network, name)
        if rule.drops or "" in there:
            found.append(f"a rule ({rule.text}) drops packets for {network}")
        elif there:
            found.append(f"a rule ({rule.text}) sends packets for {network} to {', '.join(sorted(there))}")
        if rule.settles(server, network, name):
            break
    return found


def _rule(entry: Mapping[str, Any], tables: Mapping[str, list[KernelRoute]]) -> PolicyRule | None:
    """A rule as ip shows it in JSON; None for one that has no say over the farm's packets.

    ``tables``: all but the main one, of which `interfaces.rivals` finds what takes the lab's packets away.
    """
    table, drops, inverted = entry.get("table", ""), entry.get("action") in _DROPS, "not" in entry
    special = any(key in entry for key in _SPECIAL) or entry.get("iif", "lo") != "lo"
    if table == "local" or not (table or drops) or (special and not inverted):
        return None
    longest = entry.get("suppress_prefixlen", -1)
    # A rule for all but special packets is for the farm's, wherever those go.
    return PolicyRule(
        source=ANYWHERE if special else _network(entry, "src"),
        to=ANYWHERE if special else _network(entry, "dst"),
        inverted=inverted and not special,
        drops=drops,
        main=table == "main",
        routes=tuple(route for route in tables.get(table, ()) if route.network.prefixlen > longest),
        text=_text(entry),
    )


def _table(table: str) -> list[KernelRoute]:
    """The routes of a table that lead off this machine; a table that nobody has written to is empty."""
    done = command.run(["ip", "-j", "-4", "route", "show", "table", table], check=False)
    if done.returncode:
        return []
    found = []
    for entry in json.loads(done.stdout or "[]"):
        if entry.get("type", "unicast") in ("local", "broadcast", "multicast"):
            continue
        network = ANYWHERE if entry["dst"] == "default" else IPv4Network(entry["dst"])
        found += [KernelRoute(network, hop.get("dev", "")) for hop in entry.get("nexthops", [entry])]
    return found


def _network(entry: Mapping[str, Any], end: str) -> IPv4Network:
    address = entry.get(end, "all")
    return ANYWHERE if address == "all" else IPv4Network(f"{address}/{entry.get(f'{end}len', 32)}")


def _text(entry: Mapping[str, Any]) -> str:
    """The rule about as `ip rule` shows it."""
    words = [f"{entry['priority']}:", *(["not"] if "not" in entry else [])]
    for key, word in (("src", "from"), ("dst", "to")):
        if key in entry:
            words += [word, "all" if entry[key] == "all" else str(_network(entry, key))]
    words += [f"fwmark {entry['fwmark']}"] if "fwmark" in entry else []
    return " ".join([*words, f"lookup {entry['table']}" if "table" in entry else entry.get("action", "")])
