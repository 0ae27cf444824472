"""The image store: versions by kind, which of them next boots get, and whether they are still what was built.

An image is called by the path of its folder in the store: KIND/VERSION, as `thin-client/20261123.1`. The first kind's
versions lie at the top and are called by VERSION alone: so a store is laid out that had no other kind yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct

from farm.config import FIRST_KIND
from farm.errors import NOT_JSON, FarmError
from farm.home import locked, write_atomic

FILES = ("root.squashfs", "kernel", "initrd")
"""What a version consists of, besides its manifest."""

_IMAGE = re.compile(r"(?:[a-z0-9][a-z0-9-]{0,31}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class FileEntry(Struct, frozen=True):
    """A file of a version: size in bytes, SHA-256 in hex."""

    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What a version is and how it came to be; written last, so that a folder with a manifest is whole."""

    schema: int = 1
    kind: str = FIRST_KIND
    version: str
    built: float
    """Unix time at which it was built."""
    seconds: float
    """How long the build took."""
    inputs: str
    """Hash of all that went into it: the same inputs are not built twice."""
    base: str
    """Hash of what decides its packages."""
    kernel: str
    packages: dict[str, str]
    files: dict[str, FileEntry]

    @property
    def image(self) -> str:
        """What it is called wherever there may be several kinds: VERSION, or KIND/VERSION."""
        return f"{_prefix(self.kind)}{self.version}"


class Selection(Struct, frozen=True):
    """Which version of a kind next boots get, and those chosen before it, newest first."""

    current: str | None = None
    previous: list[str] = []


class Store:
    """The versions in one folder; ``image`` is what a version is called, see the module."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Held by whoever builds or changes the store; raises FarmError when someone else does."""
        return locked(self.directory / ".lock", "Another command is building or changing images.")

    def folder(self, kind: str) -> Path:
        """Where a kind's versions are, its selection, and what is kept for its builds."""
        return self.directory / _prefix(kind)

    def path(self, image: str) -> Path:
        """The folder of a version."""
        return self.directory / image

    def list(self, kind: str | None = None) -> list[Manifest]:
        """All versions, or those of a kind, oldest first."""
        folders = [self.folder(kind)] if kind else [self.directory, *self.directory.glob("[!.]*/")]
        manifests = [self._read(path) for folder in folders for path in folder.glob("[!.]*/manifest.json")]
        return sorted(manifests, key=lambda manifest: manifest.built)

    def get(self, image: str) -> Manifest:
        """A version's manifest; raises FarmError when there is no such version."""
        path = self.path(image) / "manifest.json"
        if not _IMAGE.fullmatch(image) or not path.is_file():
            known = ", ".join(manifest.image for manifest in self.list())
            why = f"In the store: {known}." if known else "The store is empty."
            raise FarmError(f"There is no image version {image}.", why, "List them: farm image list")
        return self._read(path)

    def with_inputs(self, kind: str, inputs: str) -> Manifest | None:
        """The newest version of a kind that was built from these inputs."""
        return next((manifest for manifest in reversed(self.list(kind)) if manifest.inputs == inputs), None)

    def add(self, folder: Path, manifest: Manifest) -> None:
        """Take a finished build into the store: the folder moves in whole, manifest included."""
        write_atomic(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))
        self.folder(manifest.kind).mkdir(exist_ok=True)
        os.rename(folder, self.path(manifest.image))

    def selection(self, kind: str) -> Selection:
        """The choice among a kind's versions, empty when none was made."""
        path = self._selection_path(kind)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Selection)
        except FileNotFoundError:
            return Selection()
        except NOT_JSON as error:
            raise FarmError(
                "The record of the chosen image version cannot be read.",
                f"{path}: {error}",
                f"Remove {path}, then choose again: sudo farm image use {_prefix(kind)}VERSION",
            ) from error

    def selected(self, kind: str) -> str | None:
        """The image of a kind that next boots get; None when none was chosen."""
        version = self.selection(kind).current
        return None if version is None else f"{_prefix(kind)}{version}"

    def selections(self) -> dict[str, str]:
        """The image that next boots get, by kind, of those in the store for which one was chosen."""
        kinds = dict.fromkeys(manifest.kind for manifest in self.list())
        return {kind: image for kind in kinds if (image := self.selected(kind))}

    def use(self, image: str) -> str:
        """Next boots of its kind get this image, which is returned; what they got so far can be rolled back to.

        A damaged version is refused (FarmError), and the choice stays as it was.
        """
        self.verify(image)
        chosen = self.get(image)
        old = self.selection(chosen.kind)
        if old.current != chosen.version:
            previous = [v for v in ([old.current] if old.current else []) + old.previous if v != chosen.version]
            self._select(chosen.kind, Selection(chosen.version, previous[:20]))
        return image

    def rollback(self, kind: str) -> str:
        """Go back to the image of a kind chosen before and return it; raises FarmError when damaged or none is left."""
        known = {manifest.version for manifest in self.list(kind)}
        previous = [version for version in self.selection(kind).previous if version in known]
        if not previous:
            raise FarmError("There is no earlier version to go back to.", "", "List them: farm image list")
        image = f"{_prefix(kind)}{previous[0]}"
        self.verify(image)
        self._select(kind, Selection(previous[0], previous[1:]))
        return image

    def remove(self, image: str, in_use: Collection[str]) -> None:
        """Delete a version that is neither selected nor run by a node (``in_use``)."""
        if image == self.selected(self.get(image).kind):
            raise FarmError(f"{image} is chosen for next boots.", "", "Choose another first: farm image use VERSION")
        if image in in_use:
            raise FarmError(
                f"{image} is in use.",
                "A running node uses it as its root file system.",
                "Reboot the node to move it to the new version: sudo farm node reboot NODE",
            )
        # The manifest goes first: a folder without one is no version, whatever happens then.
        (self.path(image) / "manifest.json").unlink()
        shutil.rmtree(self.path(image))

    def verify(self, image: str) -> None:
        """Raise FarmError unless each file of the version has the hash it was built with."""
        for name, entry in self.get(image).files.items():
            path = self.path(image) / name
            if not path.is_file() or path.stat().st_size != entry.size or sha256(path) != entry.sha256:
                raise FarmError(
                    f"Image {image} is damaged: {name} has changed since it was built.",
                    f"{path} is missing or differs from the hash in its manifest; it is not served.",
                    "Choose another: sudo farm image use VERSION. Or build it again: sudo farm image build --force",
                )

    def _selection_path(self, kind: str) -> Path:
        return self.folder(kind) / "selection.json"

    def _select(self, kind: str, selection: Selection) -> None:
        write_atomic(self._selection_path(kind), msgspec.json.encode(selection))

    @staticmethod
    def _read(path: Path) -> Manifest:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (OSError, *NOT_JSON) as error:
            raise FarmError(
                f"The manifest {path} cannot be read.",
                str(error),
                f"Remove the folder {path.parent} and build again: sudo farm image build",
            ) from error


def _prefix(kind: str) -> str:
    return "" if kind == FIRST_KIND else f"{kind}/"


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
