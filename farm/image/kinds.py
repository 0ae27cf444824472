"""The kinds of image that there are: each a folder below images/ and an entry here; all else asks this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from farm.config import FIRST_KIND, Config
from farm.errors import FarmError


@dataclass(frozen=True, kw_only=True)
class ImageKind:
    """What images of a kind are for, and what building and booting them takes; sizes in bytes."""

    name: str
    """As farm.yaml and commands call it: lower-case letters, digits, hyphens."""
    what: str
    """A phrase for lists: what a machine that boots it is."""
    description: str
    """Folder of its KIWI description below images/."""
    roles: tuple[str, ...]
    """What a machine that boots it can do, by the roles' names."""
    build_space: int
    """Free space that a build wants: base tree, working copy, package cache and result."""
    limits: Mapping[str, int]
    """The most that a file of a version may have: a build that makes a larger one has taken in what it should not."""


_ALL = (
    ImageKind(
        name=FIRST_KIND,
        what="a node that compiles",
        description="icecream-node",
        roles=("compile",),
        build_space=3 << 30,
        limits={"root.squashfs": 2 << 30, "kernel": 64 << 20, "initrd": 128 << 20},
    ),
)

KINDS: Mapping[str, ImageKind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""All kinds by name."""


def booted(config: Config) -> list[str]:
    """The kinds that machines of a farm boot, the one of machines that are not listed first."""
    listed = (config.kind_of(machine) for machine in config.machines if machine.boot == "node")
    return list(dict.fromkeys([config.kind_of(None), *listed]))


def build_command(name: str) -> str:
    """The command that builds an image of a kind, for messages."""
    return "sudo farm image build" if name == FIRST_KIND else f"sudo farm image build {name}"


def find(name: str) -> ImageKind:
    """The kind of a name; raises FarmError that names those there are."""
    kind = KINDS.get(name)
    if kind is None:
        there_are = ", ".join(f"{each.name} ({each.what})" for each in KINDS.values())
        raise FarmError(f"There is no kind of image called {name}.", f"There are: {there_are}.")
    return kind
