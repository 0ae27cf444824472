"""The image store: versions of images, which of them next boots get, and whether they are still what was built.

A version is called by the path of its folder in the store: NAME/VERSION, as `cad/20261123.1`. Those of the first
built-in image lie at the top and are called by VERSION alone: so a store is laid out that had no other image yet.
"""

from __future__ import annotations

import builtins
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
from farm.image.kinds import build_command
from farm.image.verity import Verity

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
    name: str = ""
    """The image that it is a version of; one of before has the name of its kind."""
    kind: str = FIRST_KIND
    """The built-in kind that it is, or was made from; it may be gone by now."""
    description: str = ""
    """What it was built from: a built-in kind, or the folder of a user's own description; "": it is one of before."""
    extra_packages: list[str] = []
    """Debian packages that farm.yaml added to the description's."""
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
    publisher: str = ""
    """The farm that it came from, as that one calls itself; "": it was built here."""
    signer: str = ""
    """Fingerprint of the key by which its publisher signed it."""
    verity: Verity | None = None
    """By which nodes check each block that they read; None of an image from before that, which they believe."""

    def __post_init__(self) -> None:
        """A manifest of before has no name: it is a version of the built-in image."""
        if not self.name:
            msgspec.structs.force_setattr(self, "name", self.kind)

    @property
    def image(self) -> str:
        """What it is called wherever there may be several images: VERSION, or NAME/VERSION."""
        return f"{_prefix(self.name)}{self.version}"


class Selection(Struct, frozen=True):
    """Which version of an image next boots get, and those chosen before it, newest first."""

    current: str | None = None
    previous: list[str] = []


class Store:
    """The versions in one folder; ``image`` is what a version is called, see the module."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def lock(self, *, wait: bool = False) -> contextlib.AbstractContextManager[None]:
        """Held by whoever builds or changes the store: while another does, raises FarmError, or waits for its end."""
        return locked(self.directory / ".lock", "Another command is building or changing images.", wait=wait)

    def folder(self, name: str) -> Path:
        """Where an image's versions are, its selection, and what is kept for its builds."""
        return self.directory / _prefix(name)

    def path(self, image: str) -> Path:
        """The folder of a version."""
        return self.directory / image

    def list(self, name: str | None = None) -> list[Manifest]:
        """All versions, or those of one image, oldest first."""
        folders = [self.folder(name)] if name else [self.directory, *self.directory.glob("[!.]*/")]
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

    def with_inputs(self, name: str, inputs: str) -> Manifest | None:
        """The newest version of an image that was built from these inputs."""
        return next((manifest for manifest in reversed(self.list(name)) if manifest.inputs == inputs), None)

    def add(self, folder: Path, manifest: Manifest) -> None:
        """Take a finished build into the store: the folder moves in whole, manifest included."""
        write_atomic(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))
        self.folder(manifest.name).mkdir(exist_ok=True)
        shutil.rmtree(self.path(manifest.image), ignore_errors=True)  # without a manifest: a removal was interrupted
        os.rename(folder, self.path(manifest.image))

    def has(self, manifest: Manifest) -> bool:
        """Whether a version from elsewhere is here already, undamaged.

        Raises FarmError when another one has its name.
        """
        path = self.path(manifest.image) / "manifest.json"
        if not path.is_file():
            return False
        if self._read(path).files != manifest.files:
            raise FarmError(
                f"There is another version {manifest.image} in the store.",
                "The two have the same name and different files.",
                f"Remove the one in the store: sudo farm image remove {manifest.image}",
            )
        return self._damaged(manifest) is None

    def selection(self, name: str) -> Selection:
        """The choice among an image's versions, empty when none was made."""
        path = self._selection_path(name)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Selection)
        except FileNotFoundError:
            return Selection()
        except NOT_JSON as error:
            raise FarmError(
                "The record of the chosen image version cannot be read.",
                f"{path}: {error}",
                f"Remove {path}, then choose again: sudo farm image use {_prefix(name)}VERSION",
            ) from error

    def selected(self, name: str) -> str | None:
        """The version of an image that next boots get; None when none was chosen."""
        version = self.selection(name).current
        return None if version is None else f"{_prefix(name)}{version}"

    def selections(self) -> dict[str, str]:
        """The version that next boots get, by name, of those images in the store for which one was chosen."""
        return {name: image for name in self.names() if (image := self.selected(name))}

    def names(self) -> builtins.list[str]:
        """The images of which there are versions, the one with the oldest first."""
        return [*dict.fromkeys(manifest.name for manifest in self.list())]

    def use(self, image: str) -> str:
        """Next boots get this version, which is returned, of its image; what they got so far can be rolled back to.

        A damaged version is refused (FarmError), and the choice stays as it was.
        """
        self.verify(image)
        chosen = self.get(image)
        old = self.selection(chosen.name)
        if old.current != chosen.version:
            previous = [v for v in ([old.current] if old.current else []) + old.previous if v != chosen.version]
            self.reselect(chosen.name, Selection(chosen.version, previous[:20]))
        return image

    def rollback(self, name: str) -> str:
        """Go back to the version of an image chosen before; returns it. Raises FarmError when no good one is left."""
        known = {manifest.version for manifest in self.list(name)}
        previous = [version for version in self.selection(name).previous if version in known]
        if not previous:
            why = "No version of it was chosen before." if known else "The store has no version of it."
            raise FarmError(
                f"There is no earlier version of {name} to go back to.", why, f"List them: farm image list {name}"
            )
        image = f"{_prefix(name)}{previous[0]}"
        self.verify(image)
        self.reselect(name, Selection(previous[0], previous[1:]))
        return image

    def remove(self, image: str, in_use: Collection[str]) -> None:
        """Delete a version that is neither selected nor run by a node (``in_use``)."""
        name = self.get(image).name
        if image == self.selected(name):
            raise FarmError(
                f"{image} is chosen for next boots.",
                "",
                f"Choose another first: sudo farm image use {_prefix(name)}VERSION",
            )
        self._require_unused([image], in_use)
        # The manifest goes first: a folder without one is no version, whatever happens then.
        (self.path(image) / "manifest.json").unlink()
        shutil.rmtree(self.path(image))

    def prune(self, name: str, keep: int, in_use: Collection[str]) -> None:
        """Forget an image's oldest versions beyond ``keep``, except what is selected or run by a node."""
        wanted = {self.selected(name), *in_use}
        spare = [manifest.image for manifest in self.list(name) if manifest.image not in wanted]
        for image in spare[: max(0, len(spare) - keep)]:
            self.remove(image, in_use)

    def remove_all(self, name: str, in_use: Collection[str]) -> builtins.list[str]:
        """Delete an image that is not built in, with all that is kept for it; returns its versions."""
        versions = [manifest.image for manifest in self.list(name)]
        self._require_unused(versions, in_use)
        for image in versions:
            (self.path(image) / "manifest.json").unlink()
        shutil.rmtree(self.folder(name))
        return versions

    @staticmethod
    def _require_unused(images: builtins.list[str], in_use: Collection[str]) -> None:
        for image in images:
            if image in in_use:
                raise FarmError(
                    f"{image} is in use.",
                    "A running node uses it as its root file system.",
                    "Reboot the node to move it to the new version: sudo farm node reboot NODE",
                )

    def verify(self, image: str) -> None:
        """Raise FarmError unless each file of the version has the hash it was built with."""
        manifest = self.get(image)
        name = manifest.name
        if file := self._damaged(manifest):
            again = f"get it again: sudo farm image pull URL {name}/{manifest.version}"
            if not manifest.publisher:
                again = f"build it again: {build_command(name)} --force"
            raise FarmError(
                f"Image {image} is damaged: {file} has changed since it was built.",
                f"{self.path(image) / file} is missing or differs from the hash in its manifest; it is not served.",
                f"Choose another: sudo farm image use {_prefix(name)}VERSION. Or {again}",
            )

    def _damaged(self, manifest: Manifest) -> str | None:
        """The first file of a version that is not what it was when it came here."""
        for file, entry in manifest.files.items():
            path = self.path(manifest.image) / file
            if not path.is_file() or path.stat().st_size != entry.size or sha256(path) != entry.sha256:
                return file
        return None

    def _selection_path(self, name: str) -> Path:
        return self.folder(name) / "selection.json"

    def reselect(self, name: str, selection: Selection) -> None:
        """Write the choice among an image's versions as it is given, as to put an earlier one back."""
        write_atomic(self._selection_path(name), msgspec.json.encode(selection))

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


def _prefix(name: str) -> str:
    return "" if name == FIRST_KIND else f"{name}/"


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
