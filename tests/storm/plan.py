"""What the room is told, and what it tells in the end: both are JSON, since it is a program of its own."""

from __future__ import annotations

from msgspec import Struct


class Plan(Struct, frozen=True, kw_only=True):
    """A room to be played."""

    nodes: int
    interface: str
    addresses: str
    """The network ``A.B.C.D/N`` out of which the nodes get addresses, and nobody else has one."""
    served: str
    """The folder that nginx and dnsmasq serve."""
    root: str
    """The image's root, which the nodes read."""
    read: int
    """Bytes of the root that each node reads."""
    mtu: int = 1500
    patience: float = 600.0
    """Seconds after which those that have not booted are given up."""


class Told(Struct, frozen=True, kw_only=True):
    """How one node fared. Times are seconds since all were switched on."""

    mac: str
    address: str = ""
    stages: dict[str, float] = {}
    """When it was through with: address, loader, script, kernel, root, settings."""
    fetched: int = 0
    """Bytes."""
    again: int = 0
    """Questions, requests and frames that had to be sent again."""
    error: str = ""

    @property
    def booted(self) -> bool:
        """It came to its end."""
        return "settings" in self.stages
