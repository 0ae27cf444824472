"""The nftables rules of a farm: what the lab may send to this server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from socket import SOCK_DGRAM, SOCK_STREAM
from typing import Any

import msgspec

from farm import command
from farm.config import Config
from farm.errors import NOT_JSON
from farm.export import chosen
from farm.node.ports import ICECCD_PORT, LDMINFO_PORT
from farm.nodes.drain import drain_table

ICECREAM_USER = "icecc"
"""Debian's: icecc-scheduler and iceccd run as it."""


def table(config: Config) -> str:
    """The name of the farm's tables; it holds the farm's name, so that farms do not touch each other's."""
    return f"farm_{config.name.replace('-', '_')}"


TFTP_LIMIT = "limit rate over 5/second burst 60 packets"
"""Of one address's requests for files by TFTP: a transfer that nobody goes on with holds one of dnsmasq's places for
half a minute, and a loader may ask for some forty files in a row."""


def ruleset(config: Config, interface: str, exports: Iterable[str]) -> str:
    """A script for nft that makes the farm's tables anew, in one transaction (nft(8)); ``exports``: those that run.

    The scheduler's control port has no authentication and binds every address: the lab does not get at it. One machine
    cannot take all of TFTP's places; nothing boots over IPv6. icecc-scheduler and iceccd broadcast on every interface,
    whatever -i says (icecream, services/comm.cpp): what is not for the lab stays here.
    """
    name = table(config)
    known, rule = _known_only(config) if config.nodes.strangers == "block" else ("", "")
    return f"""table netdev {name} {{}}
delete table netdev {name}
{_ingress_filter(name, interface, exports)}table inet {name} {{}}
delete table inet {name}
table inet {name} {{
  set tftp {{
    type ipv4_addr
    flags dynamic
    size 65535
    timeout 1m
  }}
{known}  chain input {{
    type filter hook input priority 0;
    iifname "{interface}" tcp dport {config.scheduler.port + 1} reject with tcp reset
    iifname "{interface}" meta nfproto ipv4 udp dport 69 update @tftp {{ ip saddr {TFTP_LIMIT} }} drop
    iifname "{interface}" meta nfproto ipv6 udp dport 69 drop
{rule}{_lab_ports(config, interface, exports)}  }}
  chain output {{
    type filter hook output priority 0;
    oifname != "{interface}" meta skuid "{ICECREAM_USER}" meta l4proto udp \
      fib daddr type {{ broadcast, multicast }} drop
  }}
}}
"""


def _ingress_filter(table: str, interface: str, exports: Iterable[str]) -> str:
    """What exports keep away from themselves, at the lab's interface."""
    rules = "\n".join(f"    {rule}" for export in chosen(exports) for rule in export.ingress_rules)
    return f"""table netdev {table} {{
  chain ingress {{
    type filter hook ingress device "{interface}" priority 0;
{rules}
  }}
}}
"""


def _lab_ports(config: Config, interface: str, exports: Iterable[str]) -> str:
    """Rules that keep exports and ldminfod for the lab: a socket bound to its address is reached by all interfaces."""
    protocols = {SOCK_STREAM: "tcp", SOCK_DGRAM: "udp"}
    ports = [(protocols[kind], port) for export in chosen(exports) for kind, port in export.ports(config)]
    ports.append(("tcp", LDMINFO_PORT))
    others = f'iifname != {{ "lo", "{interface}" }} ip daddr {config.server}'
    return "".join(f"    {others} {protocol} dport {port} drop\n" for protocol, port in ports)


def known_addresses(config: Config) -> list[str]:
    """Addresses that may log in to the scheduler where strangers may not, as elements of a set (nft(8)).

    Those that nodes can have, whether they run or not: nodes come up without anybody watching.
    """
    fixed = [machine.address for machine in config.machines if machine.address]
    return [*config.boot_servers, f"{config.dhcp.first}-{config.dhcp.last}", *fixed, *config.nodes.known]


def _known_only(config: Config) -> tuple[str, str]:
    """A set and a rule that keeps others from the scheduler and from this server's iceccd, by whatever interface."""
    known = f"""  set known {{
    type ipv4_addr
    flags interval
    auto-merge
    elements = {{ {", ".join(known_addresses(config))} }}
  }}
"""
    ports = f"{{ {config.scheduler.port}, {ICECCD_PORT} }}"
    return known, f"    ip daddr {config.server} tcp dport {ports} ip saddr != @known reject with tcp reset\n"


def apply(config: Config, interface: str, exports: Iterable[str], prefix: Sequence[str] = ()) -> None:
    """Put the rules in force; raises CommandError."""
    command.run([*prefix, "nft", "-f", "-"], stdin=ruleset(config, interface, exports))


DANGERS = {
    "netdev": "any machine can write to the exports",
    "inet": "any machine can reach the scheduler's control port",
}
OTHERS_KNOWN = "its set `known` has other addresses than those that may log in to the scheduler"
_VERDICTS = {"accept", "drop", "reject", "return", "jump", "goto", "queue", "vmap"}
_Entries = list[dict[str, dict[str, Any]]]
"""What a table consists of, as nft lists it in JSON (libnftables-json(5))."""


def flaws(config: Config, interface: str, exports: Iterable[str], prefix: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The tables that are not as `apply` made them, and what follows from that; for root."""
    name, wanted = table(config), _wanted_verdicts(ruleset(config, interface, exports))
    known = _spans(known_addresses(config)) if config.nodes.strangers == "block" else None
    found = []
    for family, danger in DANGERS.items():
        done = command.run([*prefix, "nft", "-j", "list", "table", family, name], check=False)
        entries = [] if done.returncode else _entries(done.stdout)
        if _verdicts_in_force(entries, interface) != wanted[family]:
            found.append((f"{family} {name}", danger))
        elif family == "inet" and known is not None and known != _known(entries):
            found.append((f"{family} {name}", OTHERS_KNOWN))
    return found


def _wanted_verdicts(script: str) -> dict[str, list[tuple[str, str]]]:
    """Family → chain and verdict of each rule of a script by `ruleset`, in the order in which packets meet them."""
    wanted: dict[str, list[tuple[str, str]]] = {family: [] for family in DANGERS}
    family = chain = ""
    for line in script.splitlines():
        words = line.split()
        if line.startswith("table "):
            family = words[1]
        elif words[:1] == ["chain"]:
            chain = words[1]
        elif line.endswith((" drop", " reject with tcp reset")):
            wanted[family].append((chain, "drop" if words[-1] == "drop" else "reject"))
    return wanted


def _entries(listing: str) -> _Entries:
    try:
        return msgspec.json.decode(listing.encode(), type=dict[str, _Entries])["nftables"]
    except (KeyError, *NOT_JSON):
        return []


def _verdicts_in_force(entries: _Entries, interface: str) -> list[tuple[str, str]]:
    """Chain and verdict of each rule that packets meet; one of somebody else's may let them past those after it."""
    # The farm's have no flags; `dormant` puts a table out of force. nft 1.0.6 writes it in JSON as "t".
    if any("flags" in entry["table"] for entry in entries if "table" in entry):
        return []
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    hooked = {chain["name"] for chain in chains if "hook" in chain and chain.get("dev", interface) == interface}
    rules = [entry["rule"] for entry in entries if "rule" in entry]
    return [
        (rule["chain"], verdict)
        for rule in rules
        if rule["chain"] in hooked
        for part in rule.get("expr", ())
        for verdict in _VERDICTS & {*part}
    ]


def _known(entries: _Entries) -> list[tuple[int, int]]:
    """The addresses in the set of that name."""
    sets = [entry["set"] for entry in entries if "set" in entry]
    return _spans(_element(each) for known in sets if known["name"] == "known" for each in known.get("elem", ()))


def _element(element: Any) -> str:
    """An element of a set of addresses as it stands in a script; it is a text, or an object for more than one."""
    match element:
        case {"range": [first, last]}:
            return f"{first}-{last}"
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"elem": {"val": value}}:
            return _element(value)
    return str(element)


def _spans(elements: Iterable[str]) -> list[tuple[int, int]]:
    """Addresses, ranges and networks as the numbers of their first and last addresses, merged where they touch."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(map(_span, elements)):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def _span(element: str) -> tuple[int, int]:
    first, dash, last = element.partition("-")
    if dash:
        return int(IPv4Address(first)), int(IPv4Address(last))
    network = IPv4Network(element, strict=False)
    return int(network[0]), int(network[-1])


def remove(config: Config, prefix: Sequence[str] = ()) -> None:
    """Take the farm's tables away; nothing happens when they are not there."""
    for family, name in (("netdev", table(config)), ("inet", table(config)), ("inet", drain_table(config))):
        command.run([*prefix, "nft", "delete", "table", family, name], check=False)
