"""What udev knows of a stick or disc, and what follows: whether it is shown, under which name.

Labels come from the people who wrote the medium, and are never part of a shell command or an option.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from farm.node.files import read
from farm.node.session.lts_values import LtsValues

KERNEL_NAME = re.compile("[a-z][a-z0-9]{1,31}")
"""Of a block device: sdb1, sr0, mmcblk0p1."""
FILE_SYSTEMS = ("vfat", "exfat", "ntfs", "ext2", "ext3", "ext4", "iso9660", "udf")
"""As blkid names them."""
NAME_LENGTH = 40
"""Characters of a name; no file system's limit (255 bytes) is near."""
CARD = "SD"
"""What a card reader says of a card (``device/type`` in /sys); a built-in chip says MMC."""
_USB_PATH = re.compile(r"/usb\d+/")
_ENCODED = re.compile(rb"\\x([0-9a-fA-F]{2})")
_NOT_IN_A_NAME = re.compile(r"[^\w .+-]+")


@dataclass(frozen=True)
class Stick:
    """A file system that can be unplugged."""

    device: str
    """Its kernel name, such as sdb1."""
    kind: str
    """``usb``, ``card``, ``cd``, ``floppy`` or ``internal``."""
    label: str
    """As it is written there, without control characters."""
    file_system: str
    """As blkid names it."""
    size: int
    """In bytes, as the kernel has it."""
    name: str
    """Of its folder in the user's home, unless another stick has it."""


def parse(listed: str) -> dict[str, str]:
    """The properties that ``udevadm info -q property`` lists."""
    return dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)


def stick(device: str, properties: dict[str, str], sectors: str, card: str) -> Stick:
    """What is there; ``sectors`` and ``card`` are its ``size`` and its disk's ``device/type`` in /sys."""
    size = int(sectors) * 512 if sectors.strip().isdecimal() else 0
    label = decoded(properties.get("ID_FS_LABEL_ENC", ""))
    kind = _kind(device, properties, card.strip())
    return Stick(
        device=device,
        kind=kind,
        label="".join(filter(str.isprintable, label)),
        file_system=properties.get("ID_FS_TYPE", ""),
        size=size,
        name=name_of(label, kind, size),
    )


def found_at(device: str, properties: dict[str, str]) -> Stick:
    """What is at a device, by udev's properties of it and the kernel."""
    block = os.path.realpath(f"/sys/class/block/{device}")
    disk = os.path.dirname(block) if os.path.exists(f"{block}/partition") else block
    return stick(device, properties, read(f"{block}/size"), read(f"{disk}/device/type"))


def decoded(written: str) -> str:
    r"""What udev has written with ``\x20`` in place of all that is not plain."""
    whole = _ENCODED.sub(lambda found: bytes([int(found[1], 16)]), written.encode(errors="surrogateescape"))
    return whole.decode(errors="replace")


def name_of(label: str, kind: str, size: int) -> str:
    """A folder's name of letters, digits, spaces and ``.+-_``: by the label, or by what it is when that has nothing."""
    name = re.sub(r"\s+", " ", _NOT_IN_A_NAME.sub("_", label)).strip(" .-+_")[:NAME_LENGTH].rstrip(" .-+_")
    return name or _WORDS[kind] + (f" {size / 1e9:.0f} GB" if size >= 1e9 else "")


def refusal(found: Stick, properties: dict[str, str], lts: LtsValues) -> str:
    """Why it is not shown, as a sentence; empty: it is."""
    if why := denial(found, properties, lts):
        return why
    if found.file_system not in FILE_SYSTEMS:
        return f"Its file system ({found.file_system[:16] or 'none'}) is none of {', '.join(FILE_SYSTEMS)}."
    return ""


def denial(found: Stick, properties: dict[str, str], lts: LtsValues) -> str:
    """What lts.conf says against it, as a sentence; empty: nothing."""
    if not lts.is_on("LOCALDEV", default=True):
        return "LOCALDEV is off."
    for variable, kind in _DENIED_BY.items():
        if found.kind == kind and lts.is_on(variable, default=kind == "internal"):
            return f"{variable} is on."
    if _listed(lts.text("LOCALDEV_DENY"), properties):
        return "LOCALDEV_DENY names it."
    return ""


_WORDS = {"usb": "USB stick", "card": "Card", "cd": "Disc", "floppy": "Floppy disk", "internal": "Disk"}
_DENIED_BY = {
    "LOCALDEV_DENY_USB": "usb",
    "LOCALDEV_DENY_CD": "cd",
    "LOCALDEV_DENY_FLOPPY": "floppy",
    "LOCALDEV_DENY_INTERNAL_DISKS": "internal",
}


def _kind(device: str, properties: dict[str, str], card: str) -> str:
    """What it is; discs and floppy disks at USB are discs and floppy disks."""
    if properties.get("ID_CDROM") or properties.get("ID_TYPE") == "cd" or device.startswith("sr"):
        return "cd"
    if properties.get("ID_DRIVE_FLOPPY") or properties.get("ID_TYPE") == "floppy" or re.match(r"fd\d", device):
        return "floppy"
    # A disk in a case at USB can have ID_BUS=ata: its path says more.
    if properties.get("ID_BUS") == "usb" or _USB_PATH.search(properties.get("DEVPATH", "")):
        return "usb"
    return "card" if card == CARD else "internal"


def _listed(deny: str, properties: dict[str, str]) -> bool:
    """Whether an item of LOCALDEV_DENY holds: ``KEY:value``, or several with ``+`` between them."""
    items = ([part.partition(":") for part in item.split("+")] for item in re.split(r"[\s,]+", deny) if item)
    return any(all(value and properties.get(key) == value for key, _, value in item) for item in items)
