"""Whether a fat client's desktop shows a disk or stick: udev asks for each, and hands on the answer to udisks.

    desktop_disks sdb1

The device's properties are in the environment, where udev puts them (udev(7), IMPORT{program}). udisks(8) does not show
what has UDISKS_IGNORE, and mounts what has UDISKS_SYSTEM for administrators alone, of whom there are none. The rules
are those of a thin client, but for the file system: what the machine can read, its desktop can show.
"""

from __future__ import annotations

import os
import sys

from farm.node.session.lts_values import told_values
from farm.node.session.media.stick_facts import KERNEL_NAME, denial, found_at

HIDDEN = "UDISKS_IGNORE=1\nUDISKS_SYSTEM=1\n"


def main(device: str) -> int:
    """Say that the device is hidden, if it is; before lts.conf has come, built-in disks are."""
    if not KERNEL_NAME.fullmatch(device):
        return os.EX_USAGE
    properties = dict(os.environ)
    if denial(found_at(device, properties), properties, told_values()):
        sys.stdout.write(HIDDEN)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
