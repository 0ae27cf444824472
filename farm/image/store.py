"""The image store: versions, which of them next boots get, and whether they are still what was built."""

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

from farm.errors import NOT_JSON, FarmError
from farm.home import locked, write_atomic

FILES = ("root.squashfs", "kernel", "initrd")
"""What a version consists of, besides its manifest."""

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class FileEntry(Struct, frozen=True):
    """A file of a version: size in bytes, SHA-256 in hex."""

    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What a version is and how it came to be; written last, so that a folder with a manifest is whole."""

    schema: int = 1
    version: str
    built: float
    """Unix time."""
    seconds: float
    """How long the build took."""
    inputs: str
    """Hash of all that went into it: the same inputs are not built twice."""
    base: str
    """Hash of what decides its packages."""
    kernel: str
    packages: dict[str, str]
    files: dict[str, FileEntry]


class Selection(Struct, frozen=True):
    """Which version next boots get, and those chosen before it, newest first."""

    current: str | None = None
    previous: list[str] = []


class Store:
    """The versions in one folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._selection_path = directory / "selection.json"

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Held by whoever builds or changes the store; raises FarmError when someone else does."""
        return locked(self.directory / ".lock", "Another command is building or changing images.")

    def path(self, version: str) -> Path:
        """The folder of a version."""
        return self.directory / version

    def list(self) -> list[Manifest]:
        """All versions, oldest first."""
        manifests = [self._read(path) for path in self.directory.glob("*/manifest.json")]
        return sorted(manifests, key=lambda manifest: manifest.built)

    def get(self, version: str) -> Manifest:
        """A version's manifest; raises FarmError when there is no such version."""
        path = self.directory / version / "manifest.json"
        if not _VERSION.fullmatch(version) or not path.is_file():
            known = ", ".join(manifest.version for manifest in self.list())
            why = f"In the store: {known}." if known else "The store holds none."
            raise FarmError(f"There is no image version {version}.", why, "See: farm image list")
        return self._read(path)

    def with_inputs(self, inputs: str) -> Manifest | None:
        """The newest version that was built from these inputs."""
        return next((manifest for manifest in reversed(self.list()) if manifest.inputs == inputs), None)

    def add(self, folder: Path, manifest: Manifest) -> None:
        """Take a finished build into the store: the folder moves in whole, manifest included."""
        write_atomic(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))
        os.rename(folder, self.path(manifest.version))

    @property
    def selection(self) -> Selection:
        """The choice of version, empty when none was made."""
        try:
            return msgspec.json.decode(self._selection_path.read_bytes(), type=Selection)
        except FileNotFoundError:
            return Selection()
        except NOT_JSON as error:
            raise FarmError(
                "The record of the chosen image version cannot be read.",
                f"{self._selection_path}: {error}",
                f"Remove {self._selection_path}, then choose again: sudo farm image use VERSION",
            ) from error

    def use(self, version: str) -> str:
        """Next boots get this version, which is returned; the one they got so far can be rolled back to.

        A damaged version is refused (FarmError), and the choice stays as it was.
        """
        self.verify(version)
        old = self.selection
        if old.current != version:
            previous = [v for v in ([old.current] if old.current else []) + old.previous if v != version]
            self._select(Selection(version, previous[:20]))
        return version

    def rollback(self) -> str:
        """Go back to the version chosen before and return it; raises FarmError when it is damaged or there is none."""
        known = {manifest.version for manifest in self.list()}
        previous = [version for version in self.selection.previous if version in known]
        if not previous:
            raise FarmError("There is no earlier version to go back to.", "", "See: farm image list")
        self.verify(previous[0])
        self._select(Selection(previous[0], previous[1:]))
        return previous[0]

    def remove(self, version: str, in_use: Collection[str]) -> None:
        """Delete a version that is neither selected nor run by a node (``in_use``)."""
        self.get(version)
        if version == self.selection.current:
            raise FarmError(f"{version} is what next boots get.", "", "Choose another first: farm image use VERSION")
        if version in in_use:
            raise FarmError(
                f"{version} is in use.",
                "A running node has its root on it.",
                "Reboot the node, so that it takes the new version: sudo farm node reboot NODE",
            )
        # The manifest goes first: a folder without one is no version, whatever happens then.
        (self.path(version) / "manifest.json").unlink()
        shutil.rmtree(self.path(version))

    def verify(self, version: str) -> None:
        """Raise FarmError unless each file of the version has the hash it was built with."""
        for name, entry in self.get(version).files.items():
            path = self.path(version) / name
            if not path.is_file() or path.stat().st_size != entry.size or sha256(path) != entry.sha256:
                raise FarmError(
                    f"Image {version} is damaged: {name} is not what was built.",
                    f"{path} is missing or differs from the hash in its manifest; it is not served.",
                    "Choose another: sudo farm image use VERSION — or build it again: sudo farm image build --force",
                )

    def _select(self, selection: Selection) -> None:
        write_atomic(self._selection_path, msgspec.json.encode(selection))

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


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
