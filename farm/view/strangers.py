"""Daemons at the farm's scheduler that the farm does not know: by their address, which the scheduler itself sees."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from farm.config import Config
from farm.view.wording import NAMED
from farm.watch.activity import Host
from farm.watch.events import Finding, Stage
from farm.watch.state import Farm


def networks(config: Config) -> list[IPv4Network]:
    """`nodes.known` and the server: addresses that are known without having booted from here."""
    found = []
    for text in (*config.boot_servers, *config.nodes.known):
        try:
            found.append(IPv4Network(text, strict=False))
        except ValueError:
            continue
    return found


def node_addresses(farm: Farm) -> set[str]:
    """Addresses of machines that have asked for their settings in this boot, or whose agent was heard there."""
    return {
        node.address for node in farm.nodes.values() if node.address and (node.verified or Stage.AGENT in node.stages)
    }


def strangers(farm: Farm, config: Config) -> list[Host]:
    """Daemons that are logged in from an address that is not known, by name."""
    nodes, known = node_addresses(farm), networks(config)
    return [
        host
        for _, host in sorted(farm.activity.hosts.items())
        if host.online and host.address not in nodes and not _within(host.address, known)
    ]


def is_known(address: str, farm: Farm, config: Config) -> bool:
    """Whether a daemon at this address is no stranger."""
    return address in node_addresses(farm) or _within(address, networks(config))


def _within(address: str, known: list[IPv4Network]) -> bool:
    try:
        return any(IPv4Address(address) in network for network in known)
    except ValueError:
        return False


def stranger_problems(farm: Farm, config: Config) -> Iterator[Finding]:
    """Daemons that make other objects than this server, strangers that take jobs, and those that farmd has blocked."""
    for _, host in sorted(farm.activity.hosts.items()):
        if host.canary == "wrong" and host.online:
            what = f"{host.name} at {host.address} makes different objects than this server from the same source."
            yield Finding("wrong-objects", what, f"Block it: sudo farm node block {host.address}", _key(host))
    if config.nodes.strangers != "allow":
        takers = [host for host in strangers(farm, config) if host.offered]
        for host in takers[:NAMED]:
            jobs = f"{host.offered} at a time, {host.done} so far"
            what = f"{host.name} at {host.address} is not a machine of this farm, but takes its jobs ({jobs})."
            fix = f"{_yours(host.address)} If not: sudo farm node block {host.address}"
            yield Finding("stranger", what, fix, _key(host))
        if len(takers) > NAMED:
            more = len(takers) - NAMED
            yield Finding(
                "stranger", f"{more} more daemons are not machines of this farm.", "List them: farm node list"
            )
    for address in sorted(farm.refused & {*farm.activity.scheduler.blocked}):
        what = f"The daemon at {address}, which is not a machine of this farm, was blocked."
        yield Finding("stranger-blocked", what, _yours(address), address)


def _key(host: Host) -> str:
    return f"{host.name}@{host.address}"


def _yours(address: str) -> str:
    return f"If it is yours, add {address} to nodes.known in farm.yaml, then: sudo farm up."
