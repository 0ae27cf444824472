"""The machine's network interfaces: which there are, and which can serve a lab."""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

import psutil

from farm.config import Config
from farm.config.file import where
from farm.errors import ConfigError, UsageError

_WIRED = re.compile(r"(en|eth|bond)")
"""How the names of wired cards begin, as the kernel and systemd give them."""


@dataclass(frozen=True)
class Interface:
    """A network interface; ``uplink``: the default route goes through it, so other people's network is behind it."""

    name: str
    mac: str
    up: bool
    wired: bool
    uplink: bool
    address: IPv4Interface | None

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
        if chosen.address and chosen.address.is_loopback:
            why = "No other machine is behind it."
            raise ConfigError(f"{name} is the loopback interface.", why, "Name a wired one.")
        return chosen
    wired = [interface for interface in found if interface.wired]
    candidates = [interface for interface in wired if not interface.uplink]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        why = "Several could be the lab's: "
    elif wired:
        why = "The default route goes through the only wired one, and another DHCP server may be there: "
    else:
        why = "No wired interface was found. There are: "
    shown = candidates or wired or found
    raise UsageError(
        "Which interface is the lab on?",
        why + "; ".join(map(str, shown)),
        f"Name it: farm init --interface {shown[0].name if shown else 'NAME'}",
    )


def check_interface(config: Config, file: Path | None = None) -> None:
    """See that the configuration's interface exists here; ``file`` is the farm.yaml that errors name.

    Only for a real lab: the virtual lab makes its own interface. Raises ConfigError.
    """
    found = interfaces()
    place = f"{where(file, ('interface',))}: interface: "
    if not config.interface:
        candidates = [interface for interface in found if interface.wired] or found
        raise ConfigError(
            f"{place}not set.",
            f"The farm must know where the lab is. There are: {'; '.join(map(str, candidates))}",
            f"Set interface: {candidates[0].name}" if candidates else "",
        )
    if config.interface not in {interface.name for interface in found}:
        raise _no_such(config.interface, found, place)


def _no_such(name: str, found: Sequence[Interface], place: str) -> ConfigError:
    names = [interface.name for interface in found if interface.name != "lo"]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    told = "; ".join(str(interface) for interface in found)
    mend = f"Did you mean {near[0]}?" if near else "Take one of these."
    return ConfigError(f"{place}this machine has no interface {name!r}.", f"There are: {told}", mend)
