"""The machine's name, and how it finds others: HOSTNAME, HOSTS_n, DNS_SERVER, SEARCH_DOMAIN."""

from __future__ import annotations

import re
from ipaddress import ip_address

from farm.node.contract import NAME
from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import Change, ThinMachine, unusable

MAX_NAME_SERVERS = 3
"""resolv.conf(5): the C library asks no more."""
_DOMAIN = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,10}")


def change(place: ThinMachine) -> Change:
    """Its own name for programs that run here, names of others, and who is asked for the rest.

    The farm goes on to call the machine by the name that farm.yaml gives it.
    """
    name = own_name(place)
    lines, said = _hosts(place.lts)
    if name:
        lines.insert(0, f"127.0.1.1 {name}")
    return Change(
        files={**({"etc/hostname": f"{name}\n"} if name else {}), **_resolver(place.lts)},
        added={"etc/hosts": "".join(f"{line}\n" for line in lines)} if lines else {},
        commands=(("hostname", name),) if name else (),
        said=(*said, *_said(place.lts)),
    )


def own_name(place: ThinMachine) -> str:
    """HOSTNAME, or HOSTNAME_BASE with the end of the address or the MAC; empty: the name stays."""
    lts, known = place.lts, place.known
    name = lts.text("HOSTNAME").lower()
    if not name and (base := lts.text("HOSTNAME_BASE").lower()):
        ends_with_mac = lts.text("HOSTNAME_EXTRA", "ip").lower() == "mac"
        name = base + (known.mac.replace(":", "") if ends_with_mac else known.address.rpartition(".")[2])
    return name if NAME.fullmatch(name) else ""


def _hosts(lts: LtsValues) -> tuple[list[str], tuple[str, ...]]:
    """Lines for /etc/hosts, and what is said of the rest."""
    lines, said = [], []
    for number, value in lts.numbered("HOSTS_#").items():
        address, *names = value.split(" ") if value.isprintable() else [""]
        names = [name for name in names if name]
        if names and _is_address(address) and all(map(_DOMAIN.fullmatch, names)):
            lines.append(" ".join([address, *names]))
        else:
            said.append(unusable(f"HOSTS_{number}", value))
    return lines, tuple(said)


def _resolver(lts: LtsValues) -> dict[str, str]:
    servers = [each for each in lts.words("DNS_SERVER") if _is_address(each)][:MAX_NAME_SERVERS]
    domains = [each for each in lts.words("SEARCH_DOMAIN") if _DOMAIN.fullmatch(each)]
    lines = [*(f"nameserver {server}" for server in servers), *([f"search {' '.join(domains)}"] if domains else [])]
    return {"etc/resolv.conf": "".join(f"{line}\n" for line in lines)} if lines else {}


def _said(lts: LtsValues) -> tuple[str, ...]:
    wrong = [("HOSTNAME", lts.text("HOSTNAME"))] if not NAME.fullmatch(lts.text("HOSTNAME", "pc").lower()) else []
    wrong += [("DNS_SERVER", each) for each in lts.words("DNS_SERVER") if not _is_address(each)]
    wrong += [("SEARCH_DOMAIN", each) for each in lts.words("SEARCH_DOMAIN") if not _DOMAIN.fullmatch(each)]
    return tuple(unusable(key, value) for key, value in wrong)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # an IPv6 address may have a zone, whose name can be anything
