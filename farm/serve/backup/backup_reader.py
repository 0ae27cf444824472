"""Reading a backup that somebody else may have made: unpacked beside what it replaces, and believed file by file."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from farm.errors import FarmError
from farm.image.plain_tar import read_member
from farm.serve.backup.backup_index import INDEX_NAME, MOST_INDEX_BYTES, BackupEntry, BackupIndex, read_index

SPARE_BYTES = 64 << 20
"""Bytes that must stay free on the disk."""


def index_of(file: Path) -> BackupIndex:
    """What a backup says of itself; nothing else of it is read. Raises FarmError, OSError."""
    with _reading(file) as raw:
        return _index(raw)


def unpack(file: Path, places: Mapping[str, Path], wanted: Callable[[BackupEntry], bool]) -> BackupIndex:
    """Write the files of a backup that are ``wanted`` below the folder that their place's first word stands for.

    ``places``: empty folders, by the first word. All files are read and must have the hashes that the index states.
    Raises FarmError, and leaves it to the caller to remove what was written.
    """
    with _reading(file) as raw:
        index = _index(raw)
        _require_room(index, wanted, places)
        for entry in index.entries:
            chunks = read_member(raw, entry.name, entry.size, exact=entry.size)
            _write(chunks, _target(places, entry.name) if wanted(entry) else None, entry)
        for name in sorted(index.folders):
            _target(places, name).mkdir(parents=True, exist_ok=True)
        for name, leads_to in index.links.items():
            target = _target(places, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(leads_to)
        for name, mode in index.folders.items():
            _target(places, name).chmod(mode)
    return index


@contextmanager
def _reading(file: Path) -> Iterator[IO[bytes]]:
    try:
        with open(file, "rb") as raw:
            yield raw
    except (tarfile.TarError, ValueError) as error:
        raise FarmError(
            f"{file} is not a whole backup of a farm, so nothing was changed.",
            f"{str(error)[:1].upper()}{str(error)[1:].removesuffix('.')}.",
            "Copy it again from where it was made, or take another one.",
        ) from None


def _index(raw: IO[bytes]) -> BackupIndex:
    return read_index(b"".join(read_member(raw, INDEX_NAME, MOST_INDEX_BYTES)))


def _require_room(index: BackupIndex, wanted: Callable[[BackupEntry], bool], places: Mapping[str, Path]) -> None:
    for top, folder in places.items():
        size = sum(entry.size for entry in index.entries if entry.name.startswith(f"{top}/") and wanted(entry))
        free = shutil.disk_usage(folder).free
        if size and free < size + SPARE_BYTES:
            raise FarmError(
                "There is not enough disk space to restore this backup, so nothing was changed.",
                f"{folder.parent} has {free >> 20} MiB free; {(size + SPARE_BYTES) >> 20} MiB are needed.",
                "See what can go: farm disk",
            )


def _target(places: Mapping[str, Path], name: str) -> Path:
    """The index was checked: below the folder every part of a name is a plain one, and no folder is a link yet."""
    top, _, rest = name.partition("/")
    return places[top] / rest


def _write(chunks: Iterator[bytes], target: Path | None, entry: BackupEntry) -> None:
    """Write a file as new, with its permissions from the beginning; None: only see whether it is whole."""
    digest = hashlib.sha256()
    if target is None:
        for chunk in chunks:
            digest.update(chunk)
    else:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            for chunk in chunks:
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            os.fchmod(out.fileno(), entry.mode)
            os.fsync(out.fileno())  # a rename alone does not bring the content to the disk
        os.utime(target, (entry.modified, entry.modified))
    if digest.hexdigest() != entry.sha256:
        raise tarfile.ReadError(f"{entry.name} does not have the hash that the index states")
