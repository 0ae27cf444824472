"""What a machine is for: a module here is a role, which a machine plays when the server's settings name it.

`configure` asks a role at boot, so a role's module imports next to nothing before it has to.
"""

from __future__ import annotations

import importlib

from farm.node import contract

# The names are for annotations alone: the module typing costs each boot some milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from farm.node.metrics import Family

    Said = dict[str, object]
    """The server's settings for this machine, decoded and not yet checked."""
    Node = dict[str, Any]
    """What `configure` leaves in /run/farm/node.json: the machine, and below ``roles`` each role's settings."""
    Section = dict[str, Any]
    """What a role tells of itself below ``roles`` in /status.json; ``ready`` (a bool) is in all of them."""
    Finding = dict[str, Any]
    """code, ok, seen, mend."""


class Probe:
    """Looks how a role is doing on this machine; the agent asks it again and again."""

    def look(self) -> Section:
        """The role's section of /status.json."""
        return {"ready": True}

    def stages(self) -> dict[str, float]:
        """What it has come to in this boot: name → seconds since the kernel started."""
        return {}


class Role:
    """A role that needs nothing: others say what they need instead."""

    def parse(self, said: Said) -> dict[str, Any]:
        """Its settings of all that the server said, checked; raises SettingsError."""
        return {}

    def set_up(self, root: str, node: Node) -> str:
        """Prepare the machine below ``root`` for it, before its programs start; what was done, for the console."""
        return ""

    def advertised(self, settings: dict[str, Any]) -> dict[str, str]:
        """What the machine's advertisement says for it."""
        return {}

    def probe(self, settings: dict[str, Any]) -> Probe:
        """What the agent asks."""
        return Probe()

    def kept(self, section: Section) -> dict[str, Any]:
        """What of its section is at the top of /status.json too, where programs from before roles look for it."""
        return {}

    def metrics(self, section: Section) -> list[Family]:
        """The role's metrics for Prometheus, named ``farm_node_…``."""
        return []

    def examine(self, root: str, settings: dict[str, Any]) -> list[Finding]:
        """The doctor's checks of it."""
        return []


def load(name: str) -> Role:
    """The role of that name; KeyError when it is none of `contract.ROLES`."""
    if name not in contract.ROLES:
        raise KeyError(name)
    role: Role = importlib.import_module(f"{__name__}.{name}").ROLE
    return role
