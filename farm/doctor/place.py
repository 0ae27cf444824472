"""Which of the farm's machines this is."""

from __future__ import annotations

import enum
from pathlib import Path

from msgspec import Struct

from farm.home import Home
from farm.instance import Instance
from farm.workstation import membership
from farm.workstation.membership import Membership


class Place(enum.StrEnum):
    """What a machine is to the farm."""

    SERVER = "server"
    WORKSTATION = "workstation"
    NODE = "node"
    UNKNOWN = "unknown"
    """No farm of ours; any icecream may be here."""


class Here(Struct, frozen=True):
    """What a machine is; ``about`` says in a sentence what it is and how that shows."""

    place: Place
    about: str
    membership: Membership | None = None


def here(home: Home, root: Path = Path("/")) -> Here:
    """Find out. Raises FarmError for a record that cannot be read."""
    if (root / "run/farm/node.json").exists() and "farm.server=" in _text(root / "proc/cmdline"):
        return Here(Place.NODE, "This is a node: it booted from a farm (/run/farm/node.json).")
    if Instance.path(home).exists():
        instance = Instance.load(home)
        about = f"This is the server of farm {instance.config.name} ({Instance.path(home)})."
        return Here(Place.SERVER, about, membership.of_server(instance))
    for path in (membership.user_file(), membership.SYSTEM):
        found = membership.load(path)
        if found is not None:
            return Here(Place.WORKSTATION, f"This is a workstation of farm {found.farm} ({path}).", found)
    return Here(
        Place.UNKNOWN,
        "This machine has joined no farm, so its iceccd is examined as it is set up. To join one: farm join",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
