"""Which farm this machine's compiler calls go to: that of its own server, the one it has joined, or its iceccd's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON, FarmError
from farm.home import Home, write_atomic
from farm.instance import Instance

SYSTEM = Path("/etc/farm/workstation.json")
"""A machine that root has joined to a farm."""
SYSTEM_SOCKET = "/run/icecc/iceccd.socket"
"""Where icecc finds the daemon of the system; that of a user is at ``~/.iceccd.socket`` (client/main.cpp)."""

How = Literal["server", "system", "user", "icecream"]


class Membership(Struct, frozen=True, kw_only=True):
    """A machine that submits jobs to a farm."""

    farm: str
    netname: str
    scheduler: str
    """Address of the farm's scheduler; empty: this machine's iceccd, which has joined nothing, has found none."""
    port: int
    submitter: str
    """The name with which its iceccd logs in."""
    socket: str = SYSTEM_SOCKET
    """The socket on which its iceccd answers."""
    how: How
    """The farm's own server; joined by root, iceccd as a service; joined by a user, iceccd as a process of theirs; or
    nothing was joined, and the iceccd that runs here is used as it is."""
    api: str = ""
    """Where farmd answers over HTTP; empty when it does not, or is asked over its own socket."""
    joined: float = 0.0
    """Unix time at which it joined; 0: not known."""


def home_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """A user's home; for one who has none (a container's user without a name) a path where nothing is."""
    home = environment.get("HOME") or os.path.expanduser("~")
    return Path(home) if home.startswith("/") else Path("/nonexistent")


def user_folder(variable: str, usual: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that an XDG variable names, else ``usual`` in the home; a relative one does not count, says XDG."""
    chosen = environment.get(variable, "")
    return Path(chosen) if chosen.startswith("/") else home_folder(environment) / usual


def user_file() -> Path:
    """Where a user's membership is kept."""
    return user_folder("XDG_CONFIG_HOME", ".config") / "farm" / "workstation.json"


def of_server(instance: Instance) -> Membership:
    """The membership of the machine on which a farm runs."""
    config = instance.config
    return Membership(
        farm=config.name,
        netname=config.netname,
        scheduler=config.scheduler_host,
        port=config.scheduler.port,
        submitter=config.submitter,
        how="server",
    )


def find(home: Home) -> Membership:
    """The farm that runs here, else the one that was joined, else the scheduler that this machine's iceccd uses.

    Raises FarmError when there is none.
    """
    found = find_for_build(home)
    if not found.scheduler:
        raise FarmError(
            "This machine's iceccd uses no scheduler.",
            f"iceccd answers at {found.socket}, but is connected to none, and none of netname {found.netname} answers "
            "a broadcast.",
            "Join one by its address: farm join ADDRESS. What is there: farm join --list",
        )
    return found


def find_for_build(home: Home) -> Membership:
    """The same, also where iceccd has no scheduler at the moment: icecc then compiles on this machine."""
    if Instance.path(home).exists():
        return of_server(Instance.load(home))
    if found := joined():
        return found
    from farm.workstation import plain_icecream  # most machines that build have joined, and need none of it

    if found := plain_icecream.membership(os.environ):
        return found
    raise FarmError(
        "This machine belongs to no farm, and no iceccd answers here.",
        f"No farm is up here, neither {user_file()} nor {SYSTEM} exists, and icecc would find no daemon.",
        "Join a farm or any icecream scheduler: farm join. Or start the iceccd that is installed: "
        "sudo systemctl start iceccd. On a server: sudo farm up",
    )


def joined() -> Membership | None:
    """The farm that this user has joined, else the one that root has joined, else None. Raises FarmError."""
    return next(filter(None, map(load, (user_file(), SYSTEM))), None)


def load(path: Path) -> Membership | None:
    """A membership that was saved, or None; raises FarmError when the file cannot be understood."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Membership)
    except FileNotFoundError:
        return None
    except (OSError, *NOT_JSON) as error:
        raise FarmError(
            "The record of the joined farm cannot be read.", f"{path}: {error}", "Join it again: farm join"
        ) from error


def save(path: Path, membership: Membership) -> None:
    """Write it down, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(membership)) + b"\n")
