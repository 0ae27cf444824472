"""What follows from what udev knows of a stick: names that are safe whatever the label says, and what is denied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.session.lts_values import LtsValues
from farm.node.session.media.stick_cell import options
from farm.node.session.media.stick_facts import FILE_SYSTEMS, NAME_LENGTH, decoded, name_of, parse, refusal, stick

USB = {"ID_BUS": "usb", "ID_FS_TYPE": "vfat"}


@given(st.text(max_size=300))
def test_a_name_is_one_safe_word_of_a_path(label: str) -> None:
    name = name_of(label, "usb", 0)
    assert 0 < len(name) <= NAME_LENGTH
    assert not set(name) & set("/\\\0\n'\"`$;&|<>*?()[]{}!~:,=")
    assert name[0] not in "-. " and len(name.encode()) < 200


@pytest.mark.parametrize(
    "label, size, name",
    [
        ("KINGSTON", 0, "KINGSTON"),
        ("My  photos", 0, "My photos"),
        ("Fotos über", 0, "Fotos über"),
        ("../../etc", 0, "etc"),
        ("", 8_000_000_000, "USB stick 8 GB"),
        ("$$$", 1000, "USB stick"),
        ("x" * 200, 0, "x" * NAME_LENGTH),
    ],
)
def test_names(label: str, size: int, name: str) -> None:
    assert name == name_of(label, "usb", size)


@given(st.binary(max_size=40))
def test_what_udev_encodes_is_decoded(label: bytes) -> None:
    written = "".join(f"\\x{byte:02x}" for byte in label)
    assert label.decode(errors="replace") == decoded(written)


@pytest.mark.parametrize(
    "device, properties, card, kind",
    [
        ("sdb1", {"ID_BUS": "usb"}, "", "usb"),
        ("sdb1", {"ID_BUS": "ata", "DEVPATH": "/devices/pci0/0000:00/usb2/2-1/block/sdb/sdb1"}, "", "usb"),
        ("sr0", {"ID_BUS": "usb", "ID_CDROM": "1"}, "", "cd"),
        ("sda", {"ID_BUS": "usb", "ID_TYPE": "floppy"}, "", "floppy"),
        ("mmcblk0p1", {}, "SD\n", "card"),
        ("mmcblk0p1", {}, "MMC\n", "internal"),
        ("sda1", {"ID_BUS": "ata"}, "", "internal"),
        ("nvme0n1p1", {}, "", "internal"),
    ],
)
def test_kinds(device: str, properties: dict[str, str], card: str, kind: str) -> None:
    assert kind == stick(device, properties, "", card).kind


@pytest.mark.parametrize(
    "properties, lts, shown",
    [
        (USB, {}, True),
        (USB, {"LOCALDEV": "false"}, False),
        (USB, {"LOCALDEV_DENY_USB": "True"}, False),
        (USB, {"LOCALDEV_DENY_CD": "True"}, True),
        ({**USB, "ID_CDROM": "1"}, {"LOCALDEV_DENY_CD": "True"}, False),
        ({**USB, "ID_BUS": "ata"}, {}, False),
        ({**USB, "ID_BUS": "ata"}, {"LOCALDEV_DENY_INTERNAL_DISKS": "False"}, True),
        (USB, {"LOCALDEV_DENY": "ID_BUS:usb"}, False),
        (USB, {"LOCALDEV_DENY": "ID_BUS:usb+ID_FS_TYPE:ext4"}, True),
        (USB, {"LOCALDEV_DENY": "ID_BUS:ata, ID_FS_TYPE:vfat"}, False),
        (USB, {"LOCALDEV_DENY": "nonsense,:,+"}, True),
        ({**USB, "ID_FS_TYPE": "crypto_LUKS"}, {}, False),
    ],
)
def test_what_is_shown(properties: dict[str, str], lts: dict[str, str], shown: bool) -> None:
    found = stick("sdb1", properties, "2048", "")
    assert shown == (not refusal(found, properties, LtsValues(lts)))


def test_what_udevadm_lists() -> None:
    assert {"A": "1=2", "B": ""} == parse("A=1=2\nB=\nnothing\n")


@pytest.mark.parametrize("file_system", FILE_SYSTEMS)
def test_nothing_of_a_stick_has_rights(file_system: str) -> None:
    assert ["nosuid", "nodev", "noexec"] == options(file_system, 64000, 64000).split(",")[:3]
