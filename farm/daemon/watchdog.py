"""What farmd looks at by itself, so that `farm status` names it: services that hang, and what the farm stands on.

Each probe publishes all that it finds wrong whenever that has changed. They are cheap, and leave nothing in the logs
of what they ask: together some milliseconds of processor time every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from farm.config import Config
from farm.config.interfaces import elsewhere, interface_flaw
from farm.errors import FarmError
from farm.home import HOME_SPACE, Home
from farm.image.kinds import build_command
from farm.image.store import Store
from farm.instance import Instance
from farm.netboot.leases import parse_leases, used_up
from farm.netboot.render import served_files
from farm.netboot.rival import hear_dhcp_servers
from farm.serve import firewall, health
from farm.view.wording import few
from farm.watch.events import Examined, Finding
from farm.watch.scheduler_source import SCHEDULER_ANSWER_SECONDS, SILENCES, Look, Publish
from farm.watch.state import ANSWERS

SECOND_ASK_SECONDS = 1.0
"""Until all are asked again while one does not answer. It is named 9 s after it hangs at the latest."""
GROUND_SECONDS = 5.0
DHCP_RIVALS_SECONDS = 15.0
OFFER_SECONDS = 4.0
"""Many DHCP servers first see for up to 3 s whether an address is free."""
FORGIVEN = 2
"""Rounds in which a DHCP server that was heard may stay silent: a datagram may get lost."""

Now = Callable[[], Instance]
"""The farm as it was brought up, or changed since."""


async def watch_answers(home: Home, instance: Now, look: Look, publish: Publish) -> None:
    """Ask every service that runs as a client would ask it."""
    silences: dict[str, int] = {}
    last: tuple[Finding, ...] = ()
    while True:
        asked = [each for each in look().services if each.state == "RUNNING" and each.name != "farmd"]
        answers = await asyncio.gather(
            *(asyncio.to_thread(health.ask, home, instance(), each.name, each.pid, quiet=True) for each in asked)
        )
        silences = {each.service: silences.get(each.service, 0) + 1 for each in answers if not each.ok}
        hung = [each for each in answers if silences.get(each.service, 0) >= SILENCES]
        found = tuple(Finding("service-silent", each.detail, "", each.service) for each in hung)
        if found != last:
            publish(Examined(ANSWERS, found))
            last = found
        await asyncio.sleep(SECOND_ASK_SECONDS if silences else SCHEDULER_ANSWER_SECONDS)


async def watch_ground(home: Home, instance: Now, publish: Publish) -> None:
    """Look at the disk, the files that are served, the addresses that are lent, and the firewall."""
    last: tuple[Finding, ...] | None = None
    while True:
        found = await asyncio.to_thread(lambda: (*examine_ground(home, instance()),))
        if found != last:
            publish(Examined("ground", found))
            last = found
        await asyncio.sleep(GROUND_SECONDS)


def examine_ground(home: Home, instance: Instance) -> Iterator[Finding]:
    """All that is wrong there now; blocks."""
    yield from _disk([home.state, home.images, home.logs, home.runtime])
    yield from _interface(instance)
    yield from _files(home, instance)
    yield from _addresses(home.state / "dhcp.leases", instance.config)
    if os.geteuid() == 0:
        yield from _filter(instance)


def _disk(folders: Sequence[Path]) -> Iterator[Finding]:
    disks = {folder.stat().st_dev: folder for folder in reversed(folders) if folder.is_dir()}
    for folder in disks.values():
        free, more_files = shutil.disk_usage(folder).free, os.statvfs(folder)
        if free >= HOME_SPACE and (more_files.f_favail or not more_files.f_files):
            continue
        what = f"{free >> 20} MiB are free" if free < HOME_SPACE else "no more files can be created there"
        fix = "Free some space, for example old images: sudo farm image remove VERSION"
        yield Finding("disk-full", f"The disk below {folder} is full: {what}.", fix)


def _interface(instance: Instance) -> Iterator[Finding]:
    """The lab's interface as the server has it, without which every service seems well and no node is reached."""
    name, address = instance.interface, instance.config.server
    flaw = interface_flaw(name, instance.mtu, cable=instance.namespace is None)
    if flaw is not None:
        fix = flaw.fix if instance.namespace is None else "Repair it: sudo farm up"
        yield Finding("interface", flaw.what, fix, name)
    elif (cards := psutil.net_if_addrs().get(name)) is None:
        yield Finding("interface", f"The interface {name} does not exist.", "When it is back, run: sudo farm up", name)
    elif address not in [each.address for each in cards]:
        yield Finding("interface", f"The interface {name} has lost {address}.", "Restore it: sudo farm up", name)
    elif taken := elsewhere(instance.config.address, name):
        what = f"The lab's network is not on {name} alone: {few(taken)}. Packets for nodes are sent there instead."
        yield Finding("interface", what, "Remove that address, route or rule.", name)


def _files(home: Home, instance: Instance) -> Iterator[Finding]:
    missing = [name for name in served_files(instance.config, instance.images.values()) if not _whole(home.http / name)]
    if missing:
        what = f"Files that machines need to boot are missing or empty: {few(missing)}."
        yield Finding("file-missing", what, "Write them again: sudo farm up")
    with contextlib.suppress(FarmError):
        for manifest in Store(home.images).list():
            folder = Store(home.images).path(manifest.image)
            lost = [name for name, file in manifest.files.items() if not _whole(folder / name, file.size)]
            if lost:
                what = f"The image {manifest.image} is damaged: {few(lost)} is missing or has a different size."
                another = f"{manifest.image.removesuffix(manifest.version)}VERSION"
                fix = (
                    f"Build it again ({build_command(manifest.name)} --force), "
                    f"or choose another: sudo farm image use {another}"
                )
                yield Finding("image-damaged", what, fix, manifest.image)


def _whole(path: Path, size: int = 0) -> bool:
    try:
        found = path.stat().st_size
    except OSError:
        return False
    return found == size if size else found > 0


def _addresses(path: Path, config: Config) -> Iterator[Finding]:
    try:
        leases = parse_leases(path.read_text(errors="replace"))
    except OSError:
        return
    expected = {machine.mac for machine in config.listed}
    own = config.own_range
    if size := used_up(own, leases, expected, time.time()):
        what = f"No DHCP address is free: all {size} from {own.first} to {own.last} are in use."
        yield Finding("dhcp-full", what, "Widen the range (dhcp in farm.yaml), then: sudo farm up")


def _filter(instance: Instance) -> Iterator[Finding]:
    for table, danger in firewall.flaws(instance.config, instance.interface, instance.exports):
        what = f"The firewall's table {table} is not in place: {danger}."
        yield Finding("filter-missing", what, "Restore it: sudo farm up", table)


async def watch_dhcp(instance: Now, publish: Publish) -> None:
    """Ask for other DHCP servers on the lab's interface, from an address that no card has."""
    heard: dict[str, int] = {}
    last: tuple[Finding, ...] = ()
    while os.geteuid() == 0:
        name, own = instance().interface, instance().config.boot_servers
        with contextlib.suppress(FarmError):  # without its interface the farm has other troubles
            servers = await hear_dhcp_servers(name, OFFER_SECONDS)
            left = {server: rounds - 1 for server, rounds in heard.items() if rounds > 1}
            heard = left | dict.fromkeys(servers - {*own}, FORGIVEN)
        found = _rivals(name, sorted(heard))
        if found != last:
            publish(Examined("dhcp", found))
            last = found
        await asyncio.sleep(DHCP_RIVALS_SECONDS)
    await asyncio.Event().wait()


def _rivals(interface: str, servers: list[str]) -> tuple[Finding, ...]:
    if not servers:
        return ()
    what = f"Another DHCP server answers on {interface}: {few(servers)}. Machines take the first answer."
    return (Finding("rival-dhcp", what, "Turn it off, then check: sudo farm doctor --only rival-dhcp", servers[0]),)
