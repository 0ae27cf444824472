"""Where the sessions of this machine run: on it (fat), or on the server (thin). One image can do both."""

from __future__ import annotations

import os
import re
import shutil

from farm.node.files import read, write
from farm.node.session.lts_values import LtsValues

FAT, THIN = "fat", "thin"
"""A session's kind, and the name of the file in `IMAGE_SESSIONS` that starts it."""
IMAGE_SESSIONS = "usr/share/xsessions"
"""What the image can do: fat.desktop is there in one with a desktop."""
SESSIONS = "run/farm/xsessions"
"""The sessions of the greeter's menu: the one of this machine's kind, and those that a server offers."""
SETTLED = "run/farm/session-kind"
"""What `prepare` has found, for those who tell it."""
LIGHTDM = "etc/lightdm/lightdm.conf.d/62-farm-kind.conf"
THRESHOLD_MIB = 800
"""Of RAM, by default, for a desktop with a browser: LTSP's 300 is from the days before those."""
MAX_MIB = 1 << 24


def kind_of(lts: LtsValues, root: str = "/") -> str:
    """FAT where the image has a desktop, lts.conf does not say otherwise, and RAM suffices; else THIN."""
    has_desktop = os.path.exists(os.path.join(root, IMAGE_SESSIONS, f"{FAT}.desktop"))
    enough = ram_mib() >= lts.number("FAT_RAM_THRESHOLD", 0, MAX_MIB, THRESHOLD_MIB)
    return FAT if has_desktop and lts.is_on("LTSP_FATCLIENT", True) and enough else THIN


def ram_mib() -> int:
    """What the kernel has of this machine's RAM, in MiB."""
    found = re.search("^MemTotal: *([0-9]{1,12}) kB$", read("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def prepare(lts: LtsValues, root: str) -> None:
    """Before the display manager starts: the only session that it has is the one of this machine's kind."""
    kind = kind_of(lts, root)
    folder = os.path.join(root, SESSIONS)
    shutil.rmtree(folder, ignore_errors=True)
    file = f"{kind}.desktop"
    write(os.path.join(folder, file), read(os.path.join(root, IMAGE_SESSIONS, file)))
    write(os.path.join(root, LIGHTDM), lightdm_conf(kind))
    write(os.path.join(root, SETTLED), f"{kind}\n")


def settled(root: str = "/") -> str:
    """The kind of the sessions of this machine; empty before the display manager has started."""
    return read(os.path.join(root, SETTLED)).strip()


def lightdm_conf(kind: str) -> str:
    """Which sessions lightdm has, and which one it starts. The cookie of X never lies in a home on the network."""
    in_system = "true" if kind == FAT else "false"
    return (
        f"[LightDM]\nsessions-directory=/{SESSIONS}\nuser-authority-in-system-dir={in_system}\n"
        f"[Seat:*]\nuser-session={kind}\n"
    )
