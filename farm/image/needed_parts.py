"""What the tree of an image must hold before it is packed: without it, its machines would stop in their boot.

What includes a built-in description has it all, unless a script of its own has removed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from types import MappingProxyType

from farm.errors import FarmError

DEBIAN = "etc/debian_version"


@dataclass(frozen=True)
class Part:
    """Something that a machine needs, by one of its files."""

    what: str
    package: str
    """The Debian package that brings it."""
    path: str
    """Below the root; can have wildcards."""


_PYTHON = "usr/lib/python3/dist-packages"
PARTS: Mapping[str, tuple[Part, ...]] = MappingProxyType(
    {
        "common": (
            Part("a kernel", "linux-image-amd64", "boot/vmlinuz-*"),
            Part("the program that makes its initrd", "initramfs-tools", "usr/sbin/mkinitramfs"),
            Part("the initrd's commands", "busybox", "usr/bin/busybox"),
            Part("the initrd's packer", "zstd", "usr/bin/zstd"),
            Part("the initrd's checks of the root", "dmsetup", "usr/sbin/dmsetup"),
            Part("an init", "systemd-sysv", "usr/sbin/init"),
            Part("the device manager", "udev", "usr/lib/systemd/systemd-udevd"),
            Part("the loader of drivers", "kmod", "usr/sbin/modprobe"),
            Part("ip(8)", "iproute2", "usr/sbin/ip"),
            Part("sshd", "openssh-server", "usr/sbin/sshd"),
            Part("curl", "curl", "usr/bin/curl"),
            Part("farm-node's Python", "python3-minimal", "usr/bin/python3"),
            Part("farm-node's measurements", "python3-psutil", f"{_PYTHON}/psutil"),
            Part("farm-node's beacon", "python3-zeroconf", f"{_PYTHON}/zeroconf"),
        ),
        "compile": (Part("icecream's daemon", "icecc", "usr/sbin/iceccd"),),
        "session": (
            Part("an X server", "xserver-xorg-core", "usr/lib/xorg/Xorg"),
            Part("the log-in screen", "lightdm", "usr/sbin/lightdm"),
            Part("its greeter", "lightdm-gtk-greeter", "usr/sbin/lightdm-gtk-greeter"),
            Part("PAM modules in Python", "libpam-python", "usr/lib/security/pam_python.so"),
            Part("PAM's sessions of systemd", "libpam-systemd", "usr/lib/*/security/pam_systemd.so"),
            Part("who is logged in", "libnss-extrausers", "usr/lib/libnss_extrausers.so.2"),
            Part("ssh", "openssh-client", "usr/bin/ssh"),
            Part("the packet filter", "nftables", "usr/sbin/nft"),
        ),
        "fat-client": (
            Part("homes of the server", "sshfs", "usr/bin/sshfs"),
            Part("the start of X sessions", "x11-common", "etc/X11/Xsession"),
            Part("a desktop", "xfce4", "usr/bin/x-session-manager"),
        ),
    }
)
"""By the layer (farm/image/kinds.py) whose files and units need it."""


def require_parts(root: Path, layers: Iterable[str], source: str) -> None:
    """Raise FarmError that names all that is missing in an image's tree; ``source``: its description, for people."""
    if not (root / DEBIAN).is_file():
        raise FarmError(
            f"{source} does not describe a Debian system.",
            f"There is no /{DEBIAN} in the image.",
            "Describe an image that apt installs from Debian's packages (docs/own-images.md).",
        )
    missing = [part for layer in layers for part in PARTS.get(layer, ()) if not glob(part.path, root_dir=root)]
    if missing:
        raise FarmError(
            f"The image made from {source} lacks {', '.join(part.what for part in missing)}.",
            "Its machines would stop in their boot.",
            f"Add to its description: {' '.join(_package(part) for part in missing)}",
        )
    kernels = sorted(glob("*", root_dir=root / "usr/lib/modules"))
    if len(kernels) != 1:
        raise FarmError(
            f"The image made from {source} has the drivers of {len(kernels)} kernels: {', '.join(kernels)}.",
            "A machine boots the one kernel that the image has.",
            "Remove the other packages linux-image-… from its description.",
        )


def _package(part: Part) -> str:
    return f'<package name="{part.package}"/>'
