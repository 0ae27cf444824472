"""Which disks a fat client's desktop shows: udev's own reading of the rule, and the program that it asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.node.session.lts_values import FILE
from tests.diskless import Diskless, copy_into, diskless
from tests.lab import namespaces
from tests.login_room import PACKAGE

TOP = Path(__file__).parents[2]
RULES = "etc/udev/rules.d/72-farm-disks.rules"
DISK = sorted(path.name for path in Path("/sys/class/block").iterdir())[0]
"""Whichever this computer has: all that is asked of the kernel is whether it is a card."""
LOOK = f"""
mount -t tmpfs none /dev && mknod /dev/null c 1 3
mknod /dev/{DISK} b $(tr : ' ' < /sys/class/block/{DISK}/dev)
udevadm test --action=add /sys/class/block/{DISK} 2> /dev/null
stat -c 'MODE=%a %G' /dev/{DISK}
"""
"""udev sets the rights of the device, which is not the one of this computer."""
STICK = {"ID_BUS": "usb", "ID_FS_TYPE": "vfat", "ID_VENDOR": "Acme"}
INSIDE = {"ID_BUS": "ata", "ID_FS_TYPE": "ext4"}


@pytest.fixture(scope="module")
def machine() -> Iterator[Diskless]:
    with namespaces("10.99.77.1/24") as (namespace,), diskless(namespace, "pc01") as machine:
        copy_into(machine, TOP / "farm/node", f"{PACKAGE}/node")
        machine.write(f"{PACKAGE}/__init__.py", "")
        machine.run("rm", "-rf", "/usr/lib/udev/rules.d", "/etc/udev/rules.d")
        rules = (TOP / "images/fat-client/root" / RULES).read_text()
        matches = 'KERNEL!="sd*|sr*|mmcblk*|nvme*|fd*"'
        assert matches in rules
        machine.write(f"/{RULES}", rules.replace(matches, 'KERNEL!="*"'))
        yield machine


def seen(machine: Diskless, found: dict[str, str], **lts: str) -> tuple[bool, str]:
    """Whether udisks is to show what udev has found there, and whose the device is."""
    machine.write(f"/{FILE}", json.dumps(lts))
    known = "".join(f'ENV{{{key}}}="{value}"\n' for key, value in found.items())
    machine.write(
        "/etc/udev/rules.d/60-found.rules", f'{known}TAG+="uaccess", TAG+="other"\nGROUP="cdrom", MODE="0660"\n'
    )
    said = dict(
        line.split("=", 1)
        for line in machine.run("unshare", "-m", "sh", "-euc", LOOK).stdout.splitlines()
        if "=" in line
    )
    hidden = said.get("UDISKS_IGNORE") == "1"
    assert hidden == (said.get("UDISKS_SYSTEM") == "1")
    assert hidden == ("uaccess" not in said.get("CURRENT_TAGS", "").split(":"))
    return not hidden, said["MODE"]


def test_sticks_are_shown_and_the_machines_own_disks_are_not(machine: Diskless) -> None:
    assert (True, "660 cdrom") == seen(machine, STICK)
    assert (False, "600 root") == seen(machine, INSIDE)
    assert (True, "660 cdrom") == seen(machine, INSIDE, LOCALDEV_DENY_INTERNAL_DISKS="False")


def test_what_lts_conf_denies_is_hidden(machine: Diskless) -> None:
    assert (False, "600 root") == seen(machine, STICK, LOCALDEV="False")
    assert (False, "600 root") == seen(machine, STICK, LOCALDEV_DENY_USB="True")
    assert (True, "660 cdrom") == seen(machine, STICK, LOCALDEV_DENY_CD="True")
    assert (False, "600 root") == seen(machine, STICK, LOCALDEV_DENY="ID_VENDOR:Acme+ID_BUS:usb")
    assert (False, "600 root") == seen(machine, {**STICK, "ID_CDROM": "1"}, LOCALDEV_DENY_CD="True")
