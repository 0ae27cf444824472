"""The record of a running farm: written by `farm up`, read by everything that looks at the farm."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from farm.config import FIRST_KIND, FIRST_ROOT, Config
from farm.errors import NOT_JSON, FarmError
from farm.home import Home, boot_id, write_atomic

INSTANCE_FILE = "running.json"


class VirtualMachine(Struct, frozen=True):
    """A QEMU machine of the virtual lab."""

    name: str
    mac: str
    nic: str


class Instance(Struct, frozen=True, kw_only=True):
    """The facts of a running farm; in the virtual lab ``namespace`` is the network namespace all of it lives in."""

    config: Config
    interface: str
    images: dict[str, str]
    """The version that next boots get, by the name of the image."""
    unverified: list[str] = []
    """Versions in the store that nodes read without checking."""
    exports: list[str] = msgspec.field(default_factory=lambda: [FIRST_ROOT])
    """The exports that run: those that its machines boot by, and those that they may have booted by since it is up."""
    roles: list[str] = []
    """What its machines are for (farm/node/contract.py, ROLES)."""
    started: float
    """Unix time at which the farm was brought up."""
    namespace: str | None = None
    machines: list[VirtualMachine] = []
    mtu: int = 1500
    """Frame size of the lab's network."""
    addresses_added: list[str] = []
    """Addresses that were not on the interface before, and go again with the farm."""
    boot: str = msgspec.field(default_factory=boot_id)
    """The machine's boot in which it was brought up: whatever it changed is undone by another."""

    @property
    def has_sessions(self) -> bool:
        """Whether people log in at some machine of it, and so, unless lts.conf says otherwise, to this computer."""
        return "session" in self.roles

    @staticmethod
    def path(home: Home) -> Path:
        """Where it is kept while the farm is up."""
        return home.runtime / INSTANCE_FILE

    @classmethod
    def load(cls, home: Home) -> Instance:
        """Read it; raises FarmError when the farm is not up."""
        return cls.load_from(home.runtime)

    @classmethod
    def load_from(cls, runtime: Path) -> Instance:
        """Read that of any farm, by its runtime folder; raises FarmError when it is not up."""
        path = runtime / INSTANCE_FILE
        try:
            return decode(path.read_bytes())
        except FileNotFoundError:
            raise FarmError("The farm is not up.", f"{path} does not exist.", "Start it: sudo farm up") from None
        except PermissionError:
            raise FarmError("The farm's state cannot be read.", str(path), "Try again with sudo.") from None
        except NOT_JSON as error:
            _require_own_release(path)
            raise FarmError(
                "The record of the running farm cannot be read.",
                f"{path}: {error}",
                "Write it again: sudo farm up",
            ) from error

    @staticmethod
    def require_own_release(home: Home) -> None:
        """Raise FarmError when a later release brought the farm up, of which this one does not know what it made."""
        for path in (Instance.path(home), _copy(home)):
            _require_own_release(path)

    def save(self, home: Home) -> None:
        """Write it for others to read, and once more where it stays if the runtime folder is emptied."""
        content = encode(self)
        write_atomic(_copy(home), content)
        write_atomic(self.path(home), content)

    @classmethod
    def known(cls, home: Home) -> Instance | None:
        """The record, or its copy when it is lost or of no use; None when the farm is not known to be up.

        The copy counts for the boot of the machine in which it was written.
        """
        try:
            return cls.load(home)
        except FarmError:
            pass
        try:
            copy = decode(_copy(home).read_bytes())
        except (OSError, *NOT_JSON):
            return None
        return copy if copy.boot == boot_id() else None

    @staticmethod
    def forget(home: Home) -> None:
        """The farm is down: there is nothing to look for."""
        _copy(home).unlink(missing_ok=True)


def encode(instance: Instance) -> bytes:
    """The record of a farm, which a release that knew a single kind of image can read while there is no other in it.

    The same holds for one that knew a single export or server. Such a release refuses keys that it does not know. Its
    processes may outlive an update, as `farm up --foreground` does, or come back when the update is undone; without
    the record they could not tell what the farm has made.
    """
    record = msgspec.to_builtins(instance)
    config, image = instance.config, instance.images.get(FIRST_KIND)
    written = record["config"]
    if image and all(config.image_of(machine) == FIRST_KIND for machine in (None, *config.listed)):
        record["image"] = image
        for section in (written["nodes"], *written["machines"]):
            del section["image"]
    for section in ("images", "groups", "alerts"):
        if not written[section]:
            del written[section]
    if config.image.root == FIRST_ROOT and all(machine.root is None for machine in config.machines):
        for section in (written["image"], *written["machines"]):
            del section["root"]
    for key in ("other_server", "mirror"):
        if not written[key]:
            del written[key]
    return msgspec.json.encode(record)


def decode(content: bytes) -> Instance:
    """The record of a farm, also one of a release that knew a single kind of image. Raises one of NOT_JSON."""
    record = msgspec.json.decode(content)
    if isinstance(record, dict) and "images" not in record and "image" in record:
        record["images"] = {FIRST_KIND: record["image"]}
    return msgspec.convert(record, Instance)


def _require_own_release(path: Path) -> None:
    """Raise FarmError for a record of this boot that is whole, but has keys that this release does not know."""
    try:
        content = path.read_bytes()
        record = msgspec.json.decode(content, type=_AnyRelease)
    except (OSError, *NOT_JSON):
        return
    try:
        decode(content)
    except NOT_JSON as error:
        if record.boot == boot_id():
            raise FarmError(
                "Another release of the farm's programs brought the farm up, a later one probably.",
                f"Its record {path} says what this release does not know: {error}.",
                "Go on with that release. Or take the farm down and bring it up with this one; nodes that are on wait: "
                "sudo farm down --keep-nodes, then sudo farm up",
            ) from None


class _AnyRelease(Struct, frozen=True):
    """What the records of all releases have in common."""

    config: dict[str, object]
    interface: str
    started: float
    boot: str


def _copy(home: Home) -> Path:
    return home.state / INSTANCE_FILE
