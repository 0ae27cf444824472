"""What must hold before a farm comes up; each failure says what mends it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
from collections.abc import Iterable

import psutil

from farm.command import PACKAGES, find
from farm.config import Config
from farm.config.interfaces import interface_flaw
from farm.config.rules import check
from farm.errors import FarmError, MissingProgramError
from farm.export import chosen
from farm.home import HOME_SPACE, Home
from farm.instance import Instance
from farm.netboot.rival import find_dhcp_servers
from farm.node.ports import ICECCD_PORT, LDMINFO_PORT
from farm.unix_http import LONGEST_SOCKET

SERVER_PROGRAMS = (
    "dnsmasq",
    "nginx",
    "icecc-scheduler",
    "iceccd",
    "nft",
    "ip",
    "ssh",
    "ssh-keygen",
    "setpriv",
    "unshare",
)
VIRTUAL_PROGRAMS = ("qemu-system-x86_64", "socat")


def require_root(what: str) -> None:
    """Raises FarmError unless this process is root."""
    if os.geteuid() != 0:
        raise FarmError(
            f"`{what}` must be run by root.", "This command changes network interfaces and mounts.", f"Try: sudo {what}"
        )


def require_server_package() -> None:
    """Raises FarmError where only what a developer's machine needs is installed."""
    if importlib.util.find_spec("supervisor") is None:
        raise FarmError(
            "This machine has only the part of the farm that developers' machines need.",
            "A server also needs supervisor, KIWI and programs of Debian's.",
            "Install the server's: sudo apt-get install ./icecream-farm_*.deb; or with pip: 'icecream-farm[server]'",
        )


def require_farm(home: Home) -> None:
    """Raise FarmError where no farm was ever set up in this home."""
    if not home.config.exists() and not home.state.is_dir():
        raise FarmError(
            "There is no farm on this computer.",
            f"There is neither {home.config} nor {home.state}.",
            "Run the command on the farm's server. If the farm has a home of its own, name it: farm --home DIR",
        )


def require_programs(virtual: bool, exports: Iterable[str]) -> None:
    """Raises FarmError that names all missing Debian packages at once; ``exports``: those that are to run."""
    missing = []
    exporters = {program: package for export in chosen(exports) for program, package in export.programs.items()}
    for program in (*SERVER_PROGRAMS, *exporters, *(VIRTUAL_PROGRAMS if virtual else ())):
        try:
            find(program)
        except MissingProgramError:
            missing.append(program)
    if missing:
        packages = sorted({(PACKAGES | exporters).get(program, program) for program in missing})
        raise FarmError(
            f"Programs are missing: {', '.join(missing)}.",
            "",
            f"Install them: sudo apt-get install {' '.join(packages)}",
        )


def require_short_path(home: Home) -> None:
    """Raises FarmError when the sockets of the farm's programs would have longer paths than unix(7) allows."""
    most = LONGEST_SOCKET - len("/machines/virtual-250.console")
    if len(os.fsencode(home.runtime)) > most:
        raise FarmError(
            "The path of the farm's home is too long.",
            f"Its sockets are in {home.runtime}, which can have at most {most} bytes (unix(7)).",
            "Use another home: farm --home DIR up",
        )


def require_space(home_state: str | os.PathLike[str]) -> None:
    """Raises FarmError when logs and leases would soon fill the disk."""
    free = shutil.disk_usage(home_state).free
    if free < HOME_SPACE:
        raise FarmError(
            f"The disk is almost full: {free >> 20} MiB free below {home_state}.",
            "",
            "Free some space, for example old images: farm image remove VERSION",
        )


def require_trees(config: Config) -> None:
    """Raises FarmError when a folder that is to be a root file system holds none."""
    for name, image in config.images.items():
        if image.tree and not os.path.lexists(f"{image.tree}/sbin/init"):
            raise FarmError(
                f"images.{name}.tree is no root file system: {image.tree}.",
                "There is no sbin/init in it.",
                f"Unpack a version of an image there: sudo unsquashfs -f -d {image.tree} ROOT.SQUASHFS (docs/roots.md)",
            )


def require_interface_up(config: Config) -> None:
    """Raises FarmError when the lab's interface is down, or carries smaller frames than the nodes will send."""
    if flaw := interface_flaw(config.interface, config.mtu):
        raise flaw


def require_addresses(config: Config) -> None:
    """Raises FarmError when the DHCP range is too small for the machines, those of a virtual lab included."""
    for problem in check(config):
        if problem.place == ("dhcp",):
            raise FarmError(f"The DHCP range is not valid: {problem.text}", problem.why, problem.fix)


def require_free_ports(instance: Instance, own_pids: frozenset[int]) -> None:
    """Raises FarmError that names who holds a port the farm needs; the farm's own processes do not count."""
    config, exports = instance.config, instance.exports
    scheduler = config.scheduler.port
    wanted = [
        (socket.SOCK_DGRAM, 67, "DHCP"),
        (socket.SOCK_DGRAM, 69, "TFTP"),
        (socket.SOCK_STREAM, config.http_port, "HTTP"),
        (socket.SOCK_STREAM, scheduler, "the scheduler"),
        (socket.SOCK_DGRAM, scheduler, "the scheduler"),
        (socket.SOCK_STREAM, scheduler + 1, "the scheduler's control port"),
        (socket.SOCK_STREAM, ICECCD_PORT, "iceccd"),
        *([(socket.SOCK_STREAM, config.api.port, "farmd's API")] if config.api.port else []),
        *([(socket.SOCK_STREAM, LDMINFO_PORT, "ldminfod")] if instance.has_sessions else []),
        *((kind, port, "the export of images") for export in chosen(exports) for kind, port in export.ports(config)),
    ]
    strangers = {
        (connection.type, connection.laddr.port): connection.pid
        for connection in psutil.net_connections("inet")
        if connection.laddr
        and (connection.type == socket.SOCK_DGRAM or connection.status == psutil.CONN_LISTEN)
        and connection.laddr.ip in ("0.0.0.0", "::", config.server)
        and connection.pid not in own_pids
    }
    for kind, port, purpose in wanted:
        if (kind, port) in strangers:
            raise FarmError(*_busy(kind, port, purpose, strangers[(kind, port)]))


def _busy(kind: int, port: int, purpose: str, pid: int | None) -> tuple[str, str, str]:
    protocol = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    who = "another program"
    if pid is not None:
        try:
            who = f"{psutil.Process(pid).name()} (pid {pid})"
        except psutil.Error:
            who = f"pid {pid}"
    mend = f"Stop it; to find its unit: systemctl status {pid}" if pid else "Stop it; to find it: sudo ss -lnp"
    return f"{protocol} port {port}, wanted for {purpose}, is in use.", f"The port is used by {who}.", mend


def require_no_rival(config: Config) -> None:
    """Raises FarmError when another DHCP server answers on the lab's interface."""
    # Many servers first see for up to 3 s whether an address is free (dnsmasq(8), no-ping) and only then offer it.
    rivals = sorted(find_dhcp_servers(config.interface, seconds=4.0) - {*config.boot_servers})
    if rivals:
        raise FarmError(
            f"Another DHCP server answers on {config.interface}: {', '.join(rivals)}.",
            "Nodes would get addresses from either server, and many would not boot.",
            "Turn it off, or put the lab on a network of its own.",
        )
