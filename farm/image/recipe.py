"""What an image of a name is built from: by farm.yaml, the built-in kinds, and a user's own description."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from farm.config import FIRST_KIND, Config, NamedImageConfig
from farm.config.values import DESKTOP_KIND, Compression
from farm.errors import FarmError
from farm.image import kinds, layers
from farm.image.kinds import ImageKind
from farm.image.layers import Description


@dataclass(frozen=True)
class Recipe:
    """How an image is built."""

    name: str
    kind: ImageKind
    """The built-in kind that it is, is made from or is used as: what its machines can do, and how large it can be."""
    own: Description | None
    """The user's own description."""
    packages: tuple[str, ...]
    """Debian packages besides those of the description."""
    desktop: str
    """The one that its machines can run themselves, of those of its kind; empty: its kind has none."""
    compression: Compression
    keep: int
    """Versions to keep besides those in use."""

    @property
    def layers(self) -> tuple[Path, ...]:
        """Folders of the description, the built-in ones first; see farm/image/layers.py."""
        built_in = kinds.layer_dirs(self.kind, self.desktop)
        return (*built_in, self.own.file.parent) if self.own else built_in

    @property
    def source(self) -> str:
        """The description as people call it: a built-in kind, or the folder of a user's own."""
        return str(self.own.file.parent) if self.own else self.kind.name


def names(config: Config) -> list[str]:
    """The images that there are: those built in, and those of farm.yaml."""
    return list(dict.fromkeys([*kinds.KINDS, *config.images]))


def recipe(config: Config, name: str, folder: Path) -> Recipe:
    """What an image is built from; ``folder``: where farm.yaml lies, which relative paths in it start from.

    Raises FarmError when there is no such image, or its description is none.
    """
    require_known(config, name)
    settings = config.images.get(name, NamedImageConfig())
    if config.mirror:
        raise FarmError(
            f"{name} is not built here.",
            f"farm.yaml says that this server has the images of another one: {config.mirror}.",
            "Build it on that server; it comes from there: sudo farm image mirror",
        )
    if settings.pull:
        raise FarmError(
            f"{name} is not built here.",
            f"farm.yaml says that its versions are pulled from {settings.pull}.",
            f"Pull it: sudo farm image pull {name}",
        )
    described = settings.description or (name if name in kinds.KINDS else FIRST_KIND)
    alone = kinds.KINDS[settings.kind] if settings.kind else None
    own = layers.read((folder / described).resolve(), alone) if "/" in described else None
    kind = own.kind if own else kinds.KINDS[described]
    return Recipe(
        name=name,
        kind=kind,
        own=own,
        packages=tuple(settings.packages),
        desktop=_desktop(name, kind, settings.desktop),
        compression=settings.compression or config.image.compression,
        keep=kept(config, name),
    )


def require_descriptions(config: Config, folder: Path) -> None:
    """Raise FarmError when one of the images that are built here has a description that cannot be used."""
    for name, image in config.images.items():
        if not (config.mirror or image.pull or image.tree):
            recipe(config, name, folder)


def _desktop(name: str, kind: ImageKind, wanted: str | None) -> str:
    if wanted is None:
        return next(iter(kind.desktops), "")
    if wanted not in kind.desktops:
        raise FarmError(
            f"images.{name}.desktop: {name} has no desktop.",
            f"The image is made from {kind.name}: only {DESKTOP_KIND} runs a desktop on the machine itself.",
            f"Remove the key, or include {layers.reference(kinds.KINDS[DESKTOP_KIND])} in the description.",
        )
    return wanted


def kept(config: Config, name: str) -> int:
    """How many versions of an image a store keeps besides those in use."""
    return config.images.get(name, NamedImageConfig()).keep or config.image.keep


def require_known(config: Config, name: str) -> None:
    """Raise FarmError unless there is such an image, built in or in farm.yaml."""
    known = names(config)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise FarmError(
            f"There is no image called {name}.",
            f"There are: {', '.join(known)}.",
            f"Did you mean {near[0]}?" if near else f"Add {name} to `images` in farm.yaml, or name another one.",
        )


def booted(config: Config) -> list[str]:
    """The images that machines of a farm boot, the one of machines that are not listed first."""
    listed = (config.image_of(machine) for machine in config.listed if machine.boot == "node")
    return list(dict.fromkeys([config.image_of(None), *listed]))


def roles(kind: str) -> tuple[str, ...]:
    """What machines can do that boot an image of a built-in kind; those of a kind that is gone do as the first one."""
    return kinds.KINDS.get(kind, kinds.KINDS[FIRST_KIND]).roles
