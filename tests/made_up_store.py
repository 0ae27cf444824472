"""An image store whose versions hold nothing: enough for all that serves them."""

from __future__ import annotations

from pathlib import Path

from farm.config import FIRST_KIND
from farm.image.store import FILES, FileEntry, Manifest, Store, sha256


def add_version(store: Store, version: str, built: float = 1.0, kind: str = FIRST_KIND) -> Manifest:
    """A version of three small files."""
    folder = store.directory / f".{version}"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes(f"{version} {name}".encode().ljust(4096))
    manifest = Manifest(
        kind=kind,
        version=version,
        built=built,
        seconds=1.0,
        inputs=version if kind == FIRST_KIND else f"{kind}/{version}",
        base="",
        kernel="6.1",
        packages={},
        files={name: _entry(folder / name) for name in FILES},
    )
    store.add(folder, manifest)
    return manifest


def _entry(path: Path) -> FileEntry:
    return FileEntry(path.stat().st_size, sha256(path))
