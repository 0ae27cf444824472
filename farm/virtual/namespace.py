"""The network namespace of a virtual lab, and how a program gets into it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from farm import command
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance

ICECC_SOCKETS = "/run/icecc"
"""Where iceccd and icecc meet (as /var/run/icecc); the path is fixed, so each farm puts a folder of its own there."""

BIND_AND_RUN = f'mkdir -p "$0" {ICECC_SOCKETS} && mount --bind "$0" {ICECC_SOCKETS} && exec "$@"'


_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000

BIND_AGAIN_AND_RUN = f"umount --lazy {ICECC_SOCKETS} 2> /dev/null; {BIND_AND_RUN}"
"""The same inside a mount namespace where a folder is bound there that may have been deleted since."""


def icecc_folder(home: Home) -> Path:
    """What processes inside the namespace see at /run/icecc."""
    return home.runtime / "icecc"


def namespace_name(farm: str) -> str:
    """The namespace of the virtual lab of a farm of that name."""
    return f"farm-{farm}"


def namespace_path(name: str) -> Path:
    """Where iproute2 keeps a handle on a network namespace."""
    return Path("/run/netns", name)


def exec_prefix(name: str) -> list[str]:
    """The argv to put before a command that is to run in a network namespace (and in a mount namespace of its own)."""
    return ["ip", "netns", "exec", name]


def enter(instance: Instance, home: Home) -> list[str]:
    """The argv to put before a command that is to run inside the farm; empty unless the farm is a virtual lab.

    Inside, iceccd and icecc meet in this farm's own folder, whatever else runs on the machine.
    """
    if instance.namespace is None:
        return []
    return [*exec_prefix(instance.namespace), "sh", "-c", BIND_AND_RUN, str(icecc_folder(home))]


def inside(name: str, pid: int | str = "self") -> bool:
    """Whether a process (this one by default) lives in the network namespace of that name."""
    try:
        return os.path.samefile(f"/proc/{pid}/ns/net", namespace_path(name))
    except FileNotFoundError:
        return False


def enter_network(descriptor: int) -> None:
    """Put this thread, and what it starts from now on, into the network namespace that a file stands for."""
    _check(_libc().setns(descriptor, _CLONE_NEWNET))


def reenter(instance: Instance, home: Home) -> None:
    """Go inside the farm, unless this process is there already. Raises FarmError.

    The process stays the same, and no other program comes in between: what it hands down to a command (descriptors,
    environment, signals) is what it was given. For a process that has one thread so far.
    """
    if instance.namespace is None or inside(instance.namespace):
        return
    if not namespace_path(instance.namespace).exists():
        raise FarmError(
            "The virtual lab no longer exists.",
            f"There is no network namespace {instance.namespace}.",
            "Start it again: sudo farm up",
        )
    if os.geteuid() != 0:
        raise FarmError(
            "Only root can enter the virtual lab.",
            f"The lab is in the network namespace {instance.namespace}.",
            "Try again with sudo; the command itself then runs as you.",
        )
    with namespace_path(instance.namespace).open() as handle:
        enter_network(handle.fileno())
    _check(_libc().unshare(_CLONE_NEWNS))
    # The others' mounts are still seen here, and ours not there.
    command.run(["mount", "--make-rslave", "/"])
    command.run(["sh", "-c", BIND_AND_RUN, str(icecc_folder(home)), "true"])


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
