"""The nftables rules of a farm: what the lab may send to this server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from farm import command
from farm.config import Config
from farm.errors import NOT_JSON
from farm.export import EXPORTS
from farm.node.ports import ICECCD_PORT
from farm.nodes.drain import drain_table

ICECREAM_USER = "icecc"
"""Debian's: icecc-scheduler and iceccd run as it."""


def table(config: Config) -> str:
    """The name of the farm's tables; it holds the farm's name, so that farms do not touch each other's."""
    return f"farm_{config.name.replace('-', '_')}"


TFTP_LIMIT = "limit rate over 5/second burst 60 packets"
"""Of one address's requests for files by TFTP: a transfer that nobody goes on with holds one of dnsmasq's places for
half a minute, and a loader may ask for some forty files in a row."""


def ruleset(config: Config, interface: str) -> str:
    """A script for nft that makes the farm's tables anew, in one transaction (nft(8)).

    The scheduler's control port has no authentication and binds every address: the lab does not get at it. One machine
    cannot take all of TFTP's places; nothing boots over IPv6. icecc-scheduler and iceccd broadcast on every interface,
    whatever -i says (icecream, services/comm.cpp): what is not for the lab stays here.
    """
    name = table(config)
    known, rule = _known_only(config) if config.nodes.strangers == "block" else ("", "")
    return f"""table netdev {name} {{}}
delete table netdev {name}
{_ingress_filter(name, interface)}table inet {name} {{}}
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
{rule}  }}
  chain output {{
    type filter hook output priority 0;
    oifname != "{interface}" meta skuid "{ICECREAM_USER}" meta l4proto udp \
      fib daddr type {{ broadcast, multicast }} drop
  }}
}}
"""


def _ingress_filter(table: str, interface: str) -> str:
    """What exports keep away from themselves, at the lab's interface."""
    rules = "\n".join(f"    {rule}" for export in EXPORTS.values() for rule in export.ingress_rules)
    return f"""table netdev {table} {{
  chain ingress {{
    type filter hook ingress device "{interface}" priority 0;
{rules}
  }}
}}
"""


def known_addresses(config: Config) -> list[str]:
    """Addresses that may log in to the scheduler where strangers may not, as elements of a set (nft(8)).

    Those that nodes can have, whether they run or not: nodes come up without anybody watching.
    """
    fixed = [machine.address for machine in config.machines if machine.address]
    return [config.server, f"{config.dhcp.first}-{config.dhcp.last}", *fixed, *config.nodes.known]


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


def apply(config: Config, interface: str, prefix: Sequence[str] = ()) -> None:
    """Put the rules in force; raises CommandError."""
    command.run([*prefix, "nft", "-f", "-"], stdin=ruleset(config, interface))


DANGERS = {"netdev": "any machine may write to the exports", "inet": "any machine gets at the scheduler's control port"}


def flaws(config: Config, interface: str, prefix: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The tables that are not as `apply` made them, and what follows from that; for root."""
    name, wanted = table(config), {family: 0 for family in DANGERS}
    family = ""
    for line in ruleset(config, interface).splitlines():
        family = line.split()[1] if line.startswith("table ") else family
        wanted[family] += line.endswith((" drop", " reject with tcp reset"))
    found = []
    for family, danger in DANGERS.items():
        done = command.run([*prefix, "nft", "-j", "list", "table", family, name], check=False)
        if done.returncode or _rules_in_force(done.stdout, interface) < wanted[family]:
            found.append((f"{family} {name}", danger))
    return found


def _rules_in_force(listing: str, interface: str) -> int:
    """Rules of a table, as nft lists it in JSON (libnftables-json(5)), that packets meet."""
    try:
        entries = msgspec.json.decode(listing.encode(), type=dict[str, list[dict[str, dict[str, Any]]]])["nftables"]
    except (KeyError, *NOT_JSON):
        return 0
    if any("dormant" in entry["table"].get("flags", ()) for entry in entries if "table" in entry):
        return 0
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    hooked = {chain["name"] for chain in chains if "hook" in chain and chain.get("dev", interface) == interface}
    return sum(entry["rule"]["chain"] in hooked for entry in entries if "rule" in entry)


def remove(config: Config, prefix: Sequence[str] = ()) -> None:
    """Take the farm's tables away; nothing happens when they are not there."""
    for family, name in (("netdev", table(config)), ("inet", table(config)), ("inet", drain_table(config))):
        command.run([*prefix, "nft", "delete", "table", family, name], check=False)
