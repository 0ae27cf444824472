"""What a farm has on this machine, found without its record: by its processes' mark, its name and its home.

Never another farm's: a namespace in which another farm's processes run, or the tables of another farm of the same
name that is up, are left alone.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from farm import command
from farm.config import Config
from farm.config.file import load_or_default
from farm.errors import ConfigError, FarmError
from farm.home import Home
from farm.instance import Instance
from farm.netboot.render import ula_prefix
from farm.processes import ENVIRONMENT_MARK
from farm.serve import firewall
from farm.supervisor import Supervisor
from farm.virtual import bridge as virtual_network
from farm.virtual.namespace import inside, namespace_name, namespace_path


def config_of(home: Home) -> Config:
    """The configuration that the farm would have; defaults where farm.yaml is of no use."""
    try:
        return load_or_default(home, virtual=True)
    except ConfigError:
        return Config()


def own_namespaces(home: Home, instance: Instance | None, config: Config) -> list[str]:
    """The network namespaces that are this farm's: by name, or since its processes live there.

    To be asked while they live. Where this process lives itself, they live in the machine's own network.
    """
    mark = str(Supervisor(home).config_path)
    marked = list(_marked())
    own = [pid for pid, of in marked if of == mark]
    named = {namespace_name(config.name), *([instance.namespace] if instance and instance.namespace else [])}
    return [
        name
        for name in _namespaces()
        if (name in named or (any(inside(name, pid) for pid in own) and not inside(name)))
        and not any(of != mark and inside(name, pid) for pid, of in marked)
    ]


def require_own_namespace(home: Home, name: str) -> None:
    """Raises FarmError when another farm lives in the network namespace of that name."""
    mark = str(Supervisor(home).config_path)
    for pid, of in _marked():
        if of != mark and inside(name, pid):
            raise FarmError(
                f"The network namespace {name} belongs to another farm.",
                f"That farm's runtime folder is {Path(of).parent}; a namespace is named after its farm.",
                f"Give this farm a name of its own: name in {home.config}",
            )


def remove_network(home: Home, instance: Instance | None, config: Config, namespaces: Sequence[str]) -> list[str]:
    """Remove tables and addresses of the farm, and its namespaces (`own_namespaces`).

    Returns what is left because it may be somebody else's.
    """
    for name in namespaces:
        virtual_network.remove(name)
    if instance is not None and instance.namespace is not None:
        return []
    config = instance.config if instance is not None else config
    if _same_name_elsewhere(home, config.name):
        return []
    firewall.remove(config)
    for address in instance.addresses_added if instance is not None else []:
        _remove_address(address, instance.interface if instance is not None else "")
    # What the kernel made itself from the farm's router advertisements, or nobody has a record of.
    command.run(["ip", "-6", "addr", "flush", "to", f"{ula_prefix(config.name)}::/64"], check=False)
    command.run(["ip", "-6", "route", "flush", "root", f"{ula_prefix(config.name)}::/64"], check=False)
    return [] if instance is not None else _doubtful(config)


def _doubtful(config: Config) -> list[str]:
    addresses = [each.address for each in psutil.net_if_addrs().get(config.interface, [])]
    return [f"{config.address} on {config.interface}"] if config.server in addresses else []


def _remove_address(address: str, interface: str) -> None:
    """Remove an address and nothing else: with a network's first address the kernel takes away its other ones."""
    before = _addresses(interface)
    command.run(["ip", "addr", "del", address, "dev", interface], check=False)
    for lost in before - _addresses(interface) - {address}:
        options = ["nodad"] if ":" in lost else ["brd", "+"]
        command.run(["ip", "addr", "add", lost, *options, "dev", interface], check=False)


def _addresses(interface: str) -> set[str]:
    said = command.run(["ip", "-o", "addr", "show", "dev", interface, "scope", "global"], check=False).stdout
    return set(re.findall(r" inet6? (\S+)", said))


def unmount(home: Home) -> None:
    """Undo mounts below the farm's runtime folder."""
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        target = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[1]))
        if target.is_relative_to(home.runtime) and target != home.runtime:
            command.run(["umount", "--lazy", str(target)], check=False)


def left(home: Home, namespaces: Sequence[str]) -> list[str]:
    """What of a farm that was taken down, and lived in these namespaces, is still there."""
    processes = [f"process {process.pid} ({_name(process)})" for process in Supervisor(home).orphans()]
    return [*processes, *(f"network namespace {name}" for name in namespaces if namespace_path(name).exists())]


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return "gone"


def _marked() -> Iterator[tuple[int, str]]:
    """Process ids of every farm's services, with the path of their supervisord's configuration."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if mark := process.environ().get(ENVIRONMENT_MARK):
                yield process.pid, mark


def _namespaces() -> list[str]:
    folder = namespace_path("")
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def _same_name_elsewhere(home: Home, name: str) -> bool:
    """Whether another farm of this name is up on this machine's own network."""
    own = str(Supervisor(home).config_path)
    for mark in {mark for _, mark in _marked()} - {own}:
        with contextlib.suppress(FarmError):
            instance = Instance.load_from(Path(mark).parent)
            if instance.config.name == name and instance.namespace is None:
                return True
    return False
