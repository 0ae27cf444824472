"""The built-in kinds of image: each a folder below images/ and an entry here; all else asks this table.

Each is the name of an image too; images of other names are made from one of these (farm/image/recipe.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from farm.config import FIRST_KIND
from farm.config.values import DESKTOP_KIND, DesktopName


@dataclass(frozen=True, kw_only=True)
class ImageKind:
    """What images of a kind are for, and what building and booting them takes; sizes in bytes."""

    name: str
    """As farm.yaml and commands call it: lower-case letters, digits, hyphens."""
    what: str
    """A phrase for lists: what a machine that boots it is."""
    layers: tuple[str, ...]
    """Folders of its description below images/, from what it shares with other kinds to what it alone has."""
    roles: tuple[str, ...]
    """What a machine that boots it can do, by the roles' names."""
    build_space: int
    """Free space that a build wants: base tree, working copy, package cache and result."""
    desk: bool = False
    """People sit at a machine that boots it: one of the virtual lab has a mouse and sound, too."""
    desktops: tuple[str, ...] = ()
    """Which desktop its machines can run themselves, the usual one first: each is a layer, desktop-NAME."""
    limits: Mapping[str, int]
    """The most that a file of a version may have: a build that makes a larger one has taken in what it should not."""


COMMON = "common"
"""The layer that all kinds begin with: kernel, initrd, ssh, farm-node."""
NO_DESKTOP = "none"
"""The choice of no built-in desktop: the image's own packages bring one."""

_ALL = (
    ImageKind(
        name=FIRST_KIND,
        what="a node that compiles",
        layers=(COMMON, "compile", "icecream-node"),
        roles=("compile",),
        build_space=3 << 30,
        limits={"root.squashfs": 2 << 30, "kernel": 64 << 20, "initrd": 128 << 20},
    ),
    ImageKind(
        name="thin-client",
        what="a thin client: people log in at it, and their sessions run on a server",
        layers=(COMMON, "session", "thin-client"),
        roles=("session",),
        desk=True,
        build_space=4 << 30,
        limits={"root.squashfs": 2 << 30, "kernel": 64 << 20, "initrd": 128 << 20},
    ),
    ImageKind(
        name=DESKTOP_KIND,
        what="a fat client: people log in at it to a desktop of its own, and it compiles beside that",
        layers=(COMMON, "session", "thin-client", "compile", "fat-client"),
        roles=("compile", "session"),
        desk=True,
        build_space=6 << 30,
        desktops=get_args(DesktopName),
        limits={"root.squashfs": 4 << 30, "kernel": 64 << 20, "initrd": 128 << 20},
    ),
)

KINDS: Mapping[str, ImageKind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""All kinds by name."""
DESCRIPTION = "appliance.kiwi"
"""The XML of a description."""


def layer_dirs(kind: ImageKind, desktop: str = "") -> tuple[Path, ...]:
    """The folders of its description, see farm/image/layers.py; the kind's own is the last, after its desktop's."""
    chosen = [] if desktop in ("", NO_DESKTOP) else [f"desktop-{desktop}"]
    return tuple(map(layer_dir, (*kind.layers[:-1], *chosen, kind.layers[-1])))


def layer_dir(layer: str) -> Path:
    """The folder of a built-in layer: in the checkout, or inside the installed package."""
    packaged = Path(str(resources.files("farm"))) / "_images" / layer
    checkout = Path(__file__).parents[2] / "images" / layer
    return packaged if packaged.is_dir() else checkout


def build_command(name: str) -> str:
    """The command that builds an image, for messages."""
    return "sudo farm image build" if name == FIRST_KIND else f"sudo farm image build {name}"
