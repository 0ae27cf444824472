"""Publish versions: a folder of static files that any web server can serve."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from farm.errors import FarmError
from farm.home import place, write_atomic
from farm.image.prebuilt import signature
from farm.image.prebuilt.index import INDEX, MANIFEST, NAMESPACE, SIGNATURE, Index, PublishedVersion, read_index
from farm.image.prebuilt.statement import label, statement
from farm.image.store import FILES, FileEntry, Manifest, Store, sha256

Exports = Callable[[Manifest], dict[str, dict[str, str | int]]]


def publish(
    store: Store,
    names: Sequence[str],
    folder: Path,
    publisher: str,
    key: Path,
    exports: Exports,
    *,
    unattended: bool = False,
) -> tuple[Index, list[str]]:
    """Make a folder hold all versions of these images; returns the index, and the versions that went from the folder.

    Versions of which nodes could not check what they read are left out. Files are hard links where the file system
    allows. The index is replaced last, so that all that it names is there. ``unattended``: a damaged version is left
    out, and an index that would say the same stays, as those who follow it read all files again for a new one.
    Raises FarmError, OSError.
    """
    if folder.resolve().is_relative_to(store.directory.resolve()):
        raise FarmError(
            f"{folder} is the image store, or in it.",
            "What is published there would be taken for versions of images.",
            "Name another folder.",
        )
    manifests = [manifest for name in names for manifest in store.list(name) if manifest.verity]
    before = _before(folder)
    entries = {}
    if unattended:
        manifests = [manifest for manifest in manifests if store.has(manifest)]
    for manifest in manifests:
        store.verify(manifest.image)
    for manifest in manifests:
        stated = statement(manifest, publisher)
        target = folder / label(manifest)
        _make(target)
        for file in FILES:
            _put(store.path(manifest.image) / file, target / file, manifest.files[file])
        write_atomic(target / MANIFEST, stated)
        entries[label(manifest)] = PublishedVersion(hashlib.sha256(stated).hexdigest(), exports(manifest))
    known = {name: store.selection(name).current for name in names}
    index = Index(
        publisher=publisher,
        # Of two publishers with one clock, or one that lost the folder, the later one has the higher serial.
        serial=max(before.serial + 1 if before else 1, int(time.time())),
        versions=entries,
        selected={name: f"{name}/{version}" for name, version in known.items() if f"{name}/{version}" in entries},
    )
    if unattended and before and index == msgspec.structs.replace(before, serial=index.serial):
        return before, []
    content = msgspec.json.format(msgspec.json.encode(index)) + b"\n"
    write_atomic(folder / SIGNATURE, signature.sign(key, content, NAMESPACE))
    write_atomic(folder / INDEX, content)
    gone = sorted(set(before.versions) - set(entries)) if before else []
    for name in gone:
        shutil.rmtree(folder / name, ignore_errors=True)
        with contextlib.suppress(OSError):
            (folder / name).parent.rmdir()
    return index, gone


def _make(folder: Path) -> None:
    """Make a folder that web servers can read, whatever root's umask is; one that is there stays as it is."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        path.chmod(0o755)


def _put(source: Path, target: Path, entry: FileEntry) -> None:
    """Put a file there unless it is there; one that is no hard link may have been damaged since."""
    if target.exists() and not target.samefile(source) and sha256(target) != entry.sha256:
        target.unlink()
    place(source, target)


def _before(folder: Path) -> Index | None:
    """What was published here last; None: nothing, or nobody can read it any more."""
    try:
        return read_index((folder / INDEX).read_bytes(), str(folder))
    except (FileNotFoundError, FarmError):
        return None
