"""The machine's name, and how it finds others: HOSTNAME, HOSTS_n, DNS_SERVER, SEARCH_DOMAIN."""

from __future__ import annotations

from farm.node.contract import NAME
from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import Change, ThinMachine, unusable
from farm.node.session.machine_setup.resolver import DOMAIN, FILE, is_address, resolv_conf


def change(place: ThinMachine) -> Change:
    """Its own name for programs that run here, names of others, and who is asked for the rest.

    The farm goes on to call the machine by the name that farm.yaml gives it.
    """
    name, resolver = own_name(place), resolv_conf(place.lts)
    lines, said = _hosts(place.lts)
    if name:
        lines.insert(0, f"127.0.1.1 {name}")
    return Change(
        files={**({"etc/hostname": f"{name}\n"} if name else {}), **({FILE: resolver} if resolver else {})},
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
        if names and is_address(address) and all(map(DOMAIN.fullmatch, names)):
            lines.append(" ".join([address, *names]))
        else:
            said.append(unusable(f"HOSTS_{number}", value))
    return lines, tuple(said)


def _said(lts: LtsValues) -> tuple[str, ...]:
    wrong = [("HOSTNAME", lts.text("HOSTNAME"))] if not NAME.fullmatch(lts.text("HOSTNAME", "pc").lower()) else []
    wrong += [("DNS_SERVER", each) for each in lts.words("DNS_SERVER") if not is_address(each)]
    wrong += [("SEARCH_DOMAIN", each) for each in lts.words("SEARCH_DOMAIN") if not DOMAIN.fullmatch(each)]
    return tuple(unusable(key, value) for key, value in wrong)
