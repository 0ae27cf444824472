"""File systems and swap: FSTAB_n, USE_LOCAL_SWAP.

lts.conf comes from the server that the machine boots from, which decides everything here anyway, and the hash of the
file was told with the settings. So a line may mount whatever fstab(5) can, but not over what the machine consists of.

What comes from another computer is mounted when somebody first looks at it: so a boot waits for no server, and one that
was away is asked again at the next look. Programs and devices there have no rights of their own, unless a line says so.
"""

from __future__ import annotations

import re

from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import PACKAGES, Change, ThinMachine, unusable

OWN_FOLDERS = "usr|etc|dev|proc|sys|boot|bin|sbin|lib|lib64|root|var|run/farm|run/systemd"
"""Folders of the machine itself: nothing may cover them, or one inside them."""
HELPERS = {"nfs": "nfs-common", "nfs4": "nfs-common", "cifs": "cifs-utils", "ntfs-3g": "ntfs-3g"}
"""Type → the package that mounts it."""
OVER_THE_NETWORK = ("nfs", "nfs4", "cifs", "fuse.sshfs")
MOUNT_SECONDS = 15
"""For a server to answer; then who looks is told that there is nothing, and may look again."""
LATER = ("_netdev", "x-systemd.automount", f"x-systemd.mount-timeout={MOUNT_SECONDS}")
SWAP_RULE = """\
# USE_LOCAL_SWAP of lts.conf: the partitions of built-in disks that have the signature of swap.
ACTION=="add|change", SUBSYSTEM=="block", ENV{DEVTYPE}=="partition", ENV{ID_FS_TYPE}=="swap", ENV{ID_BUS}!="usb", \\
  ENV{SYSTEMD_WANTS}+="farm-local-swap@$name.service"
"""
_SOURCE = "[A-Za-z0-9/_][A-Za-z0-9_.:/=,@%+~\\[\\]\\\\-]{0,400}"
_KIND = "[a-z0-9.-]{1,32}"
_OPTIONS = "[A-Za-z0-9_.:/=,@%+~-]{1,400}"


def change(place: ThinMachine) -> Change:
    """Lines for /etc/fstab whose mounts, or what waits for a first look at them, are begun at once; and own swap."""
    lines, units, said = [], [], []
    for number, value in place.lts.numbered("FSTAB_#").items():
        fields, why = _fields(value, place)
        if why:
            said.append(unusable(f"FSTAB_{number}", value, why))
        else:
            lines.append(" ".join(fields))
            if "noauto" not in fields[3].split(","):
                units.append(_unit(fields))
    swap = _local_swap(place.lts)
    return Change(
        swap.files,
        added={"etc/fstab": "".join(f"{line}\n" for line in lines)} if lines else {},
        commands=swap.commands,
        units=tuple(units),
        said=tuple(said),
    )


def _fields(value: str, place: ThinMachine) -> tuple[list[str], str]:
    """The six fields of a line of fstab, and why there are none."""
    fields = value.split() if value.isascii() and value.isprintable() else []
    if not 3 <= len(fields) <= 6:
        return [], "is no line of /etc/fstab"
    source, target, kind, options, dump, order = [*fields, *("defaults", "0", "0")[len(fields) - 3 :]]
    swap = kind == "swap" and target in ("none", "swap")
    if not swap and (not re.fullmatch("(/[A-Za-z0-9_.-]+)+", target) or ".." in target.split("/")):
        return [], "does not name a folder"
    if re.fullmatch(f"/(run|({OWN_FOLDERS})(/.*)?)", target):
        return [], "would cover a folder of the machine itself"
    shape = zip((_SOURCE, _KIND, _OPTIONS, "[0-9]", "[0-9]"), (source, kind, options, dump, order), strict=True)
    if not all(re.fullmatch(pattern, field) for pattern, field in shape):
        return [], "is no line of /etc/fstab"
    if kind in HELPERS and not any(place.has(f"/{folder}/mount.{kind}") for folder in ("sbin", "usr/sbin")):
        return [], f"needs a program that the image lacks: {PACKAGES.format(HELPERS[kind])}"
    return [source, target, kind, options if swap else _safe(kind, options), dump, order], ""


def _safe(kind: str, options: str) -> str:
    """The options, with those that a mount of a machine without a disk has."""
    written = options.split(",")
    more = ["nofail"]  # the machine goes on without it
    more += [f"no{right}" for right in ("suid", "dev") if right not in written]
    if kind in OVER_THE_NETWORK and not {"noauto", "x-systemd.automount"} & set(written):
        more += LATER
    return ",".join([*written, *(word for word in more if word not in written)])


def _unit(fields: list[str]) -> str:
    """The unit that systemd makes of a line (systemd.unit(5), escaping of paths)."""
    source, target, kind, options = fields[:4]
    ending = "swap" if kind == "swap" else "automount" if "x-systemd.automount" in options.split(",") else "mount"
    path = source if kind == "swap" else target
    return f"{escaped(path)}.{ending}"


def escaped(path: str) -> str:
    """A path as systemd-escape(1) --path writes it."""
    words = "/".join(word for word in path.split("/") if word)
    plain = re.compile("[A-Za-z0-9:_.]")
    found = [
        "-" if sign == "/" else sign if plain.fullmatch(sign) and (place or sign != ".") else f"\\x{ord(sign):02x}"
        for place, sign in enumerate(words)
    ]
    return "".join(found) or "-"


def _local_swap(lts: LtsValues) -> Change:
    if not lts.is_on("USE_LOCAL_SWAP"):
        return Change()
    return Change(
        {"etc/udev/rules.d/91-farm-local-swap.rules": SWAP_RULE},
        commands=(
            ("udevadm", "control", "--reload"),
            ("udevadm", "trigger", "--action=change", "--subsystem-match=block"),
        ),
    )
