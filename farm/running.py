"""What a farm that is up was brought up with: written by `farm up`, read by everything that looks at the farm."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from farm.config import Config
from farm.errors import NOT_JSON, FarmError
from farm.home import Home, write_atomic


class VirtualMachine(Struct, frozen=True):
    """A QEMU machine of the virtual lab."""

    name: str
    mac: str
    nic: str


class Running(Struct, frozen=True, kw_only=True):
    """The facts of a running farm; in the virtual lab ``namespace`` is the network namespace all of it lives in."""

    config: Config
    interface: str
    image: str
    """Image version that next boots get."""
    started: float
    """Unix time."""
    namespace: str | None = None
    machines: list[VirtualMachine] = []
    mtu: int = 1500
    """Frame size of the lab's network."""
    addresses_added: list[str] = []
    """Addresses that were not on the interface before, and go again with the farm."""

    @staticmethod
    def path(home: Home) -> Path:
        """Where it is kept while the farm is up."""
        return home.runtime / "running.json"

    @classmethod
    def load(cls, home: Home) -> Running:
        """Read it; raises FarmError when the farm is not up."""
        try:
            return msgspec.json.decode(cls.path(home).read_bytes(), type=cls)
        except FileNotFoundError:
            raise FarmError(
                "The farm is not up.", f"{cls.path(home)} does not exist.", "Start it: sudo farm up"
            ) from None
        except PermissionError:
            raise FarmError("The farm's state may not be read.", str(cls.path(home)), "Try again with sudo.") from None
        except NOT_JSON as error:
            raise FarmError(
                "The record of the running farm cannot be read.",
                f"{cls.path(home)}: {error}",
                "Write it anew: sudo farm up",
            ) from error

    def save(self, home: Home) -> None:
        """Write it for others to read."""
        write_atomic(self.path(home), msgspec.json.encode(self))
