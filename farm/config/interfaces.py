"""The machine's network interfaces: which there are, which can serve a lab, and what stands in a lab's way."""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import psutil

from farm.config import Config
from farm.config.documents import free_network
from farm.config.file import where
from farm.config.routing import KernelRoute, diverted, policy_rules, routes
from farm.errors import ConfigError, FarmError, UsageError

_WIRED = re.compile(r"(en|eth|bond)")
"""How the names of wired cards begin, as the kernel and systemd give them."""


@dataclass(frozen=True)
class Interface:
    """A network interface; ``uplink``: the default route goes through it, so other people's network is behind it.

    ``address`` is the first of its ``addresses`` that is not link-local.
    """

    name: str
    mac: str
    up: bool
    wired: bool
    uplink: bool
    address: IPv4Interface | None
    addresses: tuple[IPv4Interface, ...] = ()

    @property
    def loopback(self) -> bool:
        """No other machine is behind it."""
        return self.name == "lo" or (self.address is not None and self.address.is_loopback)

    def __str__(self) -> str:
        facts = ["up" if self.up else "down", str(self.address or "no IPv4 address")]
        return f"{self.name} ({', '.join([*facts, *(['default route'] if self.uplink else [])])})"


def interfaces() -> list[Interface]:
    """All interfaces, in the order of their names."""
    stats = psutil.net_if_stats()
    uplinks = _uplinks()
    found = []
    for name, addresses in sorted(psutil.net_if_addrs().items()):
        inet = [a for a in addresses if a.family == socket.AF_INET and a.netmask]
        ours = [IPv4Interface(f"{a.address}/{a.netmask}") for a in inet]
        found.append(
            Interface(
                name=name,
                mac=next((a.address for a in addresses if a.family == socket.AF_PACKET), ""),
                up=name in stats and stats[name].isup,
                wired=_is_wired(name),
                uplink=name in uplinks,
                address=next((a for a in ours if not a.is_link_local), None),
                addresses=tuple(ours),
            )
        )
    return found


def _is_wired(name: str) -> bool:
    """A wired card or a bond of them, by its device or its name; containers have cards that are no devices."""
    folder = Path("/sys/class/net") / name
    wireless = (folder / "wireless").exists() or (folder / "phy80211").exists()
    return not wireless and ((folder / "device").exists() or _WIRED.match(name) is not None)


def _uplinks() -> set[str]:
    """Interfaces with an IPv4 default route, from /proc/net/route (proc(5))."""
    rows = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    return {row[0] for row in rows if row[1] == row[7] == "00000000"}


def pick(found: Sequence[Interface], name: str | None) -> Interface:
    """The interface called ``name``, or without a name the only one a lab can be on.

    Loopback, wireless and virtual interfaces cannot; the one with the default route is taken only by name, since a
    DHCP server there would meet somebody else's. Raises ConfigError, or UsageError when the choice is not clear.
    """
    if name is not None:
        by_name = {interface.name: interface for interface in found}
        if name not in by_name:
            raise _no_such(name, found, "")
        chosen = by_name[name]
        if chosen.loopback:
            raise _is_loopback(name, found, "")
        return chosen
    wired = [interface for interface in found if interface.wired]
    candidates = [interface for interface in wired if not interface.uplink]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        why = "Several are possible: "
    elif wired:
        why = "The default route goes through the only wired one, and another DHCP server may be there: "
    else:
        why = "No wired interface was found. There are: "
    suggested = candidates or wired
    shown = suggested or [interface for interface in found if not interface.loopback]
    raise UsageError(
        "Which interface is the lab on?",
        why + ("; ".join(map(str, shown)) or "none but the loopback interface."),
        f"Name it: farm init --interface {suggested[0].name if suggested else 'NAME'}",
    )


def check_interface(config: Config, file: Path | None = None) -> None:
    """See that the configuration's interface exists here, and that the lab's network is on no other.

    ``file``: the farm.yaml that errors name. Only for a real lab: the virtual lab makes its own interface. Raises
    ConfigError.
    """
    found = interfaces()
    place = f"{where(file, ('interface',))}: interface: "
    if not config.interface:
        wired = [interface for interface in found if interface.wired]
        shown = wired or [interface for interface in found if not interface.loopback]
        raise ConfigError(
            f"{place}not set.",
            f"The farm must know where the lab is. There are: {'; '.join(map(str, shown)) or 'none'}",
            f"Set interface: {wired[0].name}" if wired else "",
        )
    chosen = next((interface for interface in found if interface.name == config.interface), None)
    if chosen is None:
        raise _no_such(config.interface, found, place)
    if chosen.loopback:
        raise _is_loopback(chosen.name, found, place)
    _require_first_address(config, chosen, file)
    _require_own_network(config, found, file)


def interface_flaw(name: str, mtu: int, *, cable: bool = True) -> FarmError | None:
    """Why frames of ``mtu`` bytes do not pass an interface; None where nothing is wrong, or there is no such interface.

    ``cable``: a link is wanted, too; a bridge has none while no machine is on it.
    """
    stats = psutil.net_if_stats().get(name)
    if stats is None:
        return None
    if "up" not in stats.flags.split(","):
        return FarmError(
            f"The interface {name} is down.",
            "The lab's machines could not be reached.",
            f"Try: sudo ip link set {name} up",
        )
    if cable and not stats.isup:
        return FarmError(
            f"The interface {name} has no link.",
            "The cable is unplugged, or the other end is off.",
            f"Plug it in, then check: ip link show {name}",
        )
    if stats.mtu < mtu:
        return FarmError(
            f"The interface {name} carries frames of {stats.mtu} bytes, farm.yaml says mtu: {mtu}.",
            "Nodes would send frames that this server drops.",
            f"Try: sudo ip link set {name} mtu {mtu}. Or set mtu: {stats.mtu} in farm.yaml",
        )
    return None


def _require_first_address(config: Config, chosen: Interface, file: Path | None) -> None:
    if chosen.addresses and str(chosen.addresses[0].ip) != config.server:
        first = chosen.addresses[0]
        raise ConfigError(
            f"{where(file, ('address',))}: address: the first address of {chosen.name} is another one: {first}.",
            f"icecc-scheduler and iceccd use only the first address of an interface, not {config.server}.",
            f"Set address: {first}, and a dhcp range in its network. Or remove that address: sudo ip address del "
            f"{first} dev {chosen.name}",
        )


def rivals(network: IPv4Network, name: str, found: Sequence[Interface], known: Sequence[KernelRoute]) -> list[str]:
    """What takes packets for a lab's network away from the interface called ``name``, in words.

    Another interface in an overlapping network, of whatever size; a route to all or a part of it. A route to a larger
    network does no harm: the kernel takes the narrower one.
    """
    others = [interface for interface in found if interface.name.partition(":")[0] != name]
    taken = [
        f"{interface.name} has {address}"
        for interface in others
        for address in interface.addresses
        if address.network.overlaps(network)
    ]
    connected = {(interface.name, address.network) for interface in others for address in interface.addresses}
    return taken + [
        str(route)
        for route in known
        if route.interface != name
        and route.network.subnet_of(network)
        and (route.interface, route.network) not in connected
    ]


def elsewhere(address: str, name: str) -> list[str]:
    """What takes packets for the network of ``address`` away from the interface called ``name`` now."""
    lab = IPv4Interface(address)
    return rivals(lab.network, name, interfaces(), routes()) + diverted(lab.network, lab.ip, name, policy_rules())


def _require_own_network(config: Config, found: Sequence[Interface], file: Path | None) -> None:
    place, lab, known = f"{where(file, ('address',))}: address: ", IPv4Interface(config.address), routes()
    taken = rivals(lab.network, config.interface, found, known)
    ruled = diverted(lab.network, lab.ip, config.interface, policy_rules())
    if ruled and not taken:
        raise ConfigError(
            f"{place}packets for the lab's network {lab.network} do not go to {config.interface}.",
            f"{'; '.join(ruled)}.",
            f"Put a rule before it: sudo ip rule add priority 1 to {lab.network} lookup main — or take that rule away.",
        )
    if taken:
        free = free_address(found, known)
        raise ConfigError(
            f"{place}the lab's network {lab.network} is not only on {config.interface}.",
            f"{'; '.join(taken)}. Packets for nodes would be sent there.",
            f"Give the lab a network of its own, such as address: {free}, and a dhcp range in it; "
            "or remove the other address or route.",
        )


def free_address(found: Sequence[Interface], known: Sequence[KernelRoute]) -> IPv4Interface:
    """A server's address in a network that nobody else here uses."""
    taken = [address.network for interface in found for address in interface.addresses]
    return free_network([*taken, *(route.network for route in known)])


def _is_loopback(name: str, found: Sequence[Interface], place: str) -> ConfigError:
    wired = [interface.name for interface in found if interface.wired]
    fix = f"Use a wired one: {', '.join(wired)}" if wired else "Name a wired one."
    return ConfigError(f"{place}{name} is the loopback interface.", "No other machine can be reached through it.", fix)


def _no_such(name: str, found: Sequence[Interface], place: str) -> ConfigError:
    names = [interface.name for interface in found if interface.name != "lo"]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    told = "; ".join(str(interface) for interface in found)
    fix = f"Did you mean {near[0]}?" if near else "Use one of these."
    return ConfigError(f"{place}this machine has no interface {name!r}.", f"There are: {told}", fix)
