"""What the addresses of farm.yaml may not say together: the server's, the range that is lent, the machines'."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from farm.config import Config, MachineConfig, Place
from farm.config.problem import Problem
from farm.node import contract

LONGEST_PREFIX = 29
FEWEST_ADDRESSES = 2
"""The smallest DHCP range."""


def server_problems(server: IPv4Interface) -> Iterator[Problem]:
    """What keeps an address from being a farm's server's."""
    network = server.network
    place: Place = ("address",)
    if not 8 <= network.prefixlen <= LONGEST_PREFIX:
        yield Problem(
            place,
            f"the prefix length must be from 8 to {LONGEST_PREFIX}, it is {network.prefixlen}.",
            f"{network} has {network.num_addresses} addresses; two are reserved and one is the server's.",
            "Write one like 10.77.0.1/24.",
        )
    elif server.ip in (network.network_address, network.broadcast_address):
        yield Problem(
            place,
            f"{server.ip} is the {_kind(server.ip, network)} address of {network}.",
            "No computer can have it.",
            f"Take another one, such as {network[1]}/{network.prefixlen}.",
        )
    elif server.is_loopback or not contract.ADDRESS.fullmatch(str(server.ip)):
        text = f"{server.ip} is not a valid host address."
        yield Problem(place, text, fix="Write one like 10.77.0.1/24.")


def address_problems(config: Config, server: IPv4Interface) -> Iterator[Problem]:
    """What is wrong with the range, the machines' fixed addresses and the other server's, beside this server's."""
    yield from _dhcp(config, server)
    yield from _fixed_addresses(config, server)
    yield from _other_server(config, server)


def _dhcp(config: Config, server: IPv4Interface) -> Iterator[Problem]:
    limits: list[IPv4Address] = []
    fix = "Set dhcp.first: {}, dhcp.last: {}".format(*dhcp_range(server))
    for name in ("first", "last"):
        found = list(_host_problems(("dhcp", name), getattr(config.dhcp, name), server.network, fix))
        yield from found
        if not found:
            limits.append(IPv4Address(getattr(config.dhcp, name)))
    for number, address in enumerate(config.dhcp.name_servers):
        # No route leads out of the lab's network.
        yield from _host_problems(("dhcp", "name_servers", number), address, server.network)
    if len(limits) < 2:
        return
    first, last = limits
    if first > last:
        text = f"{first} is after dhcp.last, {last}."
        yield Problem(("dhcp", "first"), text, "The range is empty.", fix, ("dhcp", "last"))
        return
    if first <= server.ip <= last:
        yield Problem(
            ("dhcp",),
            f"{first} to {last} contains this server's own address, {server.ip}.",
            "A node could be given the server's address.",
            fix,
            related=("address",),
        )
    # Also those that are sent to their own disks: it is iPXE that is told so, and it has an address by then.
    lent = sum(machine.address is None for machine in config.listed)
    needed = max(FEWEST_ADDRESSES, lent)
    size, servers = int(last) - int(first) + 1, len(config.boot_servers)
    if size // servers < needed:
        share = f", of which each server lends {size // servers}" if servers > 1 else ""
        yield Problem(
            ("dhcp",),
            f"{first} to {last} is {size} address{'es' if size > 1 else ''}{share}; at least {needed} are needed.",
            "Every machine without a fixed address needs one.",
            fix,
            related=("dhcp", "last"),
        )


def _other_server(config: Config, server: IPv4Interface) -> Iterator[Problem]:
    """Two boot servers that could not share a lab."""
    place: Place = ("other_server",)
    if not config.other_server:
        if config.mirror:
            text = "is needed where `mirror` is set."
            yield Problem(place, text, "Nodes turn to that server too.", "Write its address on the lab's network.")
        return
    found = list(_host_problems(place, config.other_server, server.network, "Write its address on the lab's network."))
    yield from found
    if found:
        return
    other = IPv4Address(config.other_server)
    if other == server.ip:
        yield Problem(
            place, f"{other} is this server.", fix="Write the address of the other one.", related=("address",)
        )
    for machine in config.machines:
        if machine.address == str(other):
            yield Problem(place, f"{other} is also the address of {machine.name}.", fix="Give one of them another one.")
    if _in_range(config, other):
        yield Problem(
            place,
            f"{other} is in the DHCP range.",
            "A node could be given the other server's address.",
            "Make the range smaller; both servers have the same one: dhcp.first and dhcp.last.",
            ("dhcp", "first"),
        )


def dhcp_range(server: IPv4Interface) -> tuple[IPv4Address, IPv4Address]:
    """The range to hand out beside a server's address: the subnet's upper half, or the larger part that avoids it.

    The lower half, if that part is too small. The subnet must hold at least 8 addresses.
    """
    network = server.network
    middle = network.num_addresses // 2
    first, last = network[middle], network[-2]
    if not first <= server.ip <= last:
        return first, last
    below, above = int(server.ip) - int(first), int(last) - int(server.ip)
    if max(below, above) < FEWEST_ADDRESSES:
        return network[1], network[middle - 1]
    return (first, server.ip - 1) if below > above else (server.ip + 1, last)


def _kind(address: IPv4Address, network: IPv4Network) -> str:
    return "network" if address == network.network_address else "broadcast"


def _host_problems(place: Place, text: str, network: IPv4Network, fix: str = "") -> Iterator[Problem]:
    """What keeps ``text`` from being the address of a computer in ``network``."""
    fix = fix or f"Take one from {network[1]} to {network[-2]}, or change `address`."
    try:
        address = IPv4Address(text)
    except ValueError as error:
        yield Problem(place, f"this is no address: {error}.", fix="Write it like 10.77.0.50.")
        return
    if address not in network:
        yield Problem(
            place,
            f"{address} is outside the lab's subnet, {network}.",
            "The subnet follows from `address`, this server's address with its prefix length.",
            fix,
            related=("address",),
        )
    elif address in (network.network_address, network.broadcast_address):
        yield Problem(
            place,
            f"{address} is the {_kind(address, network)} address of {network}.",
            "No computer can have it.",
            fix,
            related=("address",),
        )


def _fixed_addresses(config: Config, server: IPv4Interface) -> Iterator[Problem]:
    taken: dict[IPv4Address, MachineConfig] = {}
    for index, machine in enumerate(config.machines):
        if machine.address is None:
            continue
        place: Place = ("machines", index, "address")
        found = list(_host_problems(place, machine.address, server.network))
        yield from found
        if found:
            continue
        address = IPv4Address(machine.address)
        if address == server.ip:
            yield Problem(place, f"{address} is this server's own address.", fix="Give the machine another one.")
        elif address in taken:
            yield Problem(
                place, f"{address} is also the address of {taken[address].name}.", fix="Give one of them another one."
            )
        elif _in_range(config, address):
            yield Problem(
                place,
                f"{address} is inside the DHCP range, {config.dhcp.first} to {config.dhcp.last}.",
                "It could be lent to another machine.",
                "Take one outside the range, or make the range smaller.",
            )
        taken.setdefault(address, machine)


def _in_range(config: Config, address: IPv4Address) -> bool:
    try:
        return IPv4Address(config.dhcp.first) <= address <= IPv4Address(config.dhcp.last)
    except ValueError:
        return False
