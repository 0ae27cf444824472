"""What an export says of itself: all that the rest of the farm knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import SocketKind
from typing import Protocol

from farm.config import Config
from farm.instance import Instance
from farm.supervisor import Service


@dataclass(frozen=True)
class Root:
    """A version's root file system in an image store, a file that is exported read-only."""

    store: Path
    """The store's folder. Several farms may share it, so what an export remembers of versions is kept there."""
    name: str
    """The version's folder in the store."""

    @property
    def folder(self) -> Path:
        """All that the version consists of."""
        return self.store / self.name

    @property
    def file(self) -> Path:
        """The file that holds the root file system."""
        return self.folder / "root.squashfs"


class Export(Protocol):
    """A way by which nodes read their root file system over the network."""

    @property
    def name(self) -> str:
        """Its key in EXPORTS, and what stands before the colon in ``farm.root=NAME:...``."""

    @property
    def programs(self) -> Mapping[str, str]:
        """Programs that the server needs for it → the Debian package of each."""

    @property
    def ingress_rules(self) -> Sequence[str]:
        """Rules for frames that come in from the lab (nft(8), family netdev), before any protocol sees them."""

    @property
    def most_versions(self) -> int:
        """How many versions of one store it can export; 0: any number."""

    @property
    def advice(self) -> str:
        """A question that leads to the cause when a node does not get its root."""

    def ports(self, config: Config) -> Sequence[tuple[SocketKind, int]]:
        """Ports on which its services listen, by TCP (SOCK_STREAM) or UDP (SOCK_DGRAM)."""

    def socket_buffer(self, config: Config, mtu: int) -> int:
        """Bytes that the kernel must allow its sockets for what they receive (net.core.rmem_max); 0: any number."""

    def prepare(self, store: Path, roots: Sequence[Root]) -> None:
        """Get ready to export these of a store, and no others; the oldest is the first. Raises FarmError.

        It is called whenever the versions in the store may have changed, also while the farm is down.
        """

    def adopt(self, store: Path, known: Mapping[str, Mapping[str, str | int]]) -> None:
        """Export versions as another server does, by what it says of each (`facts`): nodes can turn to either then.

        Called before `prepare`. Raises FarmError when that cannot be.
        """

    def services(self, instance: Instance, roots: Sequence[Root], runtime: Path) -> list[Service]:
        """What must run on the server so that nodes can read these, which it was prepared for.

        ``runtime``: the farm's folder for what exists while it is up.
        """

    def service(self, root: Root) -> str:
        """The name of the service that serves a root; empty when it was not prepared for it."""

    def address(self, config: Config, root: Root) -> str:
        """Where a node finds a root: what stands behind the colon in ``farm.root=NAME:...``. Raises FarmError."""

    def facts(self, root: Root) -> dict[str, str | int]:
        """What people may want to know of a root's export, for `farm image list`."""

    def serves(self, pid: int, root: Root) -> bool:
        """Whether a process serves this very file, not one that it has replaced; for root."""

    def ask(self, instance: Instance, pid: int, root: Root) -> str:
        """Ask the process that serves a root whether it works, in two seconds at most. Raises OSError if not."""
