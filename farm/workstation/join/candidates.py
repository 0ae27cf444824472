"""Which farms and schedulers there are to join, and whether the one that was named can be."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from farm import command
from farm.errors import FarmError, MissingProgramError
from farm.node.contract import NETNAME
from farm.node.ports import SCHEDULER_PORT
from farm.printable import printable
from farm.scheduler.channel import OLDEST_PROTOCOL
from farm.scheduler.connection import SchedulerLostError, connect
from farm.scheduler.discovery import FoundScheduler, address_of, discover, parse_target, rivals
from farm.watch.mdns import FoundFarm, find_farms

By = Literal["zeroconf", "icecream"]
FARM_NETNAME = "icecream-"
"""What a farm's netname begins with unless it is set (farm.config)."""
MAX_NAMED_FARMS = 8
MAX_ASKED = 256
"""Schedulers that are asked by themselves."""

_PACKAGES = {
    "debian": "sudo apt install icecc",
    "ubuntu": "sudo apt install icecc",
    "fedora": "sudo dnf install icecream",
    "rhel": "sudo dnf install icecream",
    "suse": "sudo zypper install icecream",
    "opensuse": "sudo zypper install icecream",
    "arch": "install icecream from the AUR",
}


class Candidate(Struct, frozen=True, kw_only=True):
    """A farm or scheduler that could be joined, as it says of itself."""

    farm: str
    """Empty: a scheduler that is no farm's, or whose farm does not say so."""
    netname: str
    scheduler: str
    """Address of the farm's scheduler."""
    port: int
    protocol: int = 0
    """0: the scheduler itself has not answered the broadcast, so it may not be reachable from here."""
    api: str = ""
    found: tuple[By, ...] = ()

    @property
    def target(self) -> str:
        """What `farm join` is told to join it."""
        return self.scheduler if self.port == SCHEDULER_PORT else f"{self.scheduler}:{self.port}"


class Target(Struct, frozen=True, kw_only=True):
    """A scheduler that answers, and that this machine's icecream can work with."""

    farm: str
    netname: str
    scheduler: str
    port: int
    protocol: int
    api: str = ""
    rivals: tuple[str, ...] = ()
    """Addresses of other schedulers with the same netname: no harm to a daemon that is told where its own is."""


def merge(farms: Iterable[FoundFarm], schedulers: Iterable[FoundScheduler]) -> list[Candidate]:
    """What zeroconf and icecream's own broadcast have found, as one list: farms first, by name."""
    merged = [
        Candidate(
            farm=farm.name,
            netname=farm.netname,
            scheduler=farm.scheduler,
            port=farm.port,
            api=farm.api,
            found=("zeroconf",),
        )
        for farm in farms
    ]
    for found in schedulers:
        there = [one for one in merged if (one.scheduler, one.port) == (found.address, found.port)]
        # Several may say that they are at this scheduler: of its netname it knows best itself.
        known = [one for one in there if one.netname.lower() == found.netname.lower()] or there
        known = known or [Candidate(farm="", netname=found.netname, scheduler=found.address, port=found.port)]
        merged = [one for one in merged if one not in there]
        merged += [
            replace(one, netname=found.netname, protocol=found.protocol, found=(*one.found, "icecream"))
            for one in known
        ]
    return sorted(merged, key=lambda one: (not one.farm, one.farm, one.netname, one.scheduler, one.port))


async def look_around() -> list[Candidate]:
    """Every farm and scheduler that answers on the networks of this machine; takes a few seconds."""
    return merge(*await _seen())


async def _seen() -> tuple[list[FoundFarm], list[FoundScheduler]]:
    """Farms, and the schedulers that answer: to a broadcast, or where a farm says that its own is.

    A farm's scheduler is bound to an interface and hears no broadcast, and its port need not be the usual one.
    """
    farms, schedulers = await asyncio.gather(find_farms(), discover())
    told = {(farm.scheduler, farm.port) for farm in farms} - {(one.address, one.port) for one in schedulers}
    asked = [discover(port, host=address) for address, port in sorted(told)[:MAX_ASKED]]
    return farms, [*schedulers, *(one for found in await asyncio.gather(*asked) for one in found)]


async def reach(server: str, netname: str | None = None) -> Target:
    """The scheduler that ``server`` means: a host or address, or else a farm's name; either with ``:PORT``.

    It is asked itself: by TCP and UDP, for its netname (``netname`` overrides) and version. Raises FarmError.
    """
    host, port = parse_target(server)
    looking = asyncio.create_task(_seen())
    try:
        try:
            address = await address_of(host)
        except FarmError:
            known = named(host, merge(*await looking))
            address, port = known.scheduler, port if ":" in server else known.port
        own = await _ask(address, port)
        farms, schedulers = await looking
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)  # or asyncio complains that nobody heard of its end
    name = netname if netname is not None else own.netname
    check_netname(name)
    check_protocol(own.protocol)
    there = [one for one in merge(farms, [own]) if (one.scheduler, one.port) == (address, port)]
    farm = next((one for one in there if one.farm), None)
    return Target(
        farm=farm.farm if farm else name.removeprefix(FARM_NETNAME),
        netname=name,
        scheduler=address,
        port=port,
        protocol=own.protocol,
        api=farm.api if farm else "",
        rivals=tuple(sorted({one.address for one in rivals([own, *schedulers], address, own.netname)})),
    )


def named(name: str, candidates: Iterable[Candidate]) -> Candidate:
    """The one farm of that name. Raises FarmError when there is none, or more than one says it is."""
    farms = [one for one in candidates if one.farm]
    meant = [one for one in farms if one.farm == name]
    if len(meant) == 1:
        return meant[0]
    if meant:
        addresses = ", ".join(one.target for one in meant[:MAX_NAMED_FARMS])
        why = f"Their addresses are {addresses}."
        raise FarmError(
            f"Several farms have the name {name}.", why, f"Use the address of one: farm join {meant[0].target}"
        )
    listed = ", ".join(one.farm for one in farms[:MAX_NAMED_FARMS])
    raise FarmError(
        f"There is no host and no farm {name!r}.",
        f"Farms found: {listed}." if farms else "No farm was found on the networks of this machine.",
        "List the farms: farm join --list. Or use an address: farm join ADDRESS",
    )


async def _ask(address: str, port: int) -> FoundScheduler:
    """What the scheduler says of itself, after a connection by TCP. Raises FarmError."""
    try:
        async with connect(address, port):
            pass
    except SchedulerLostError as error:
        raise FarmError(
            f"No scheduler at {address}:{port} can be reached.",
            f"TCP: {error.why}",
            f"List the farms: farm join --list. Check that firewalls allow TCP and UDP {port} of the server. If the "
            "farm refuses strangers, ask its administrator to add this machine's address to nodes.known.",
        ) from error
    found = await discover(port, host=address)
    if not found:
        raise FarmError(
            f"The program at {address}:{port} does not answer like a scheduler.",
            f"TCP works, but there is no answer by UDP at port {port}.",
            f"Allow UDP {port} of the server in the firewall. List the farms: farm join --list",
        )
    return found[0]


def check_netname(name: str) -> None:
    """See that it may be written where a shell reads it. Raises FarmError."""
    if not NETNAME.fullmatch(name):
        raise FarmError(
            f"The netname {printable(name)!r} is not valid.",
            "icecream's start scripts are shell scripts, so it must consist of 1 to 64 letters, digits and _.:@+,=/-.",
            "Use another one: --netname NAME (a daemon that knows the scheduler's address does not need its netname)",
        )


def check_protocol(protocol: int) -> None:
    """See that a scheduler is not older than any icecream of today speaks. Raises FarmError."""
    if protocol < OLDEST_PROTOCOL:
        raise FarmError(
            f"The scheduler is too old: its protocol is {protocol}.",
            f"icecream needs {OLDEST_PROTOCOL} or later.",
            "Update icecream on the server.",
        )


def check_installed() -> None:
    """See that iceccd and icecc are here. Raises FarmError, which names this distribution's package."""
    for program in ("iceccd", "icecc"):
        try:
            command.find(program)
        except MissingProgramError:
            raise FarmError(
                f"The program {program} is not installed.",
                "The distribution's icecream daemon and client send the jobs to the farm.",
                f"Install it: {install_command(Path('/etc/os-release'))}",
            ) from None


def install_command(os_release: Path) -> str:
    """How icecream is installed on the distribution that os-release(5) tells of."""
    try:
        lines = os_release.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    values: Mapping[str, str] = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    for name in (values.get("ID", ""), *values.get("ID_LIKE", "").split()):
        for start, words in _PACKAGES.items():
            if name.startswith(start):
                return words
    return "the package icecc or icecream"


def own_name(user: str = "") -> str:
    """The name with which this machine's iceccd logs in: the machine's own, and with it a user's for theirs."""
    machine = os.uname().nodename
    return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{machine}-{user}")[:64] if user else machine
