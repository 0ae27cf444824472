"""A version as an archive: a plain tar file of its statement, the statement's signature, and its files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from farm.errors import FarmError
from farm.image.plain_tar import read_member
from farm.image.prebuilt import signature
from farm.image.prebuilt.signature import Signer, signer_of
from farm.image.prebuilt.statement import MOST_BYTES, NAMESPACE, label, read_statement, require_checked, statement
from farm.image.store import FILES, FileEntry, Manifest, Store

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"

Believe = Callable[[Manifest, Signer, bytes, bytes], None]
"""Raises FarmError unless a statement's signer is believed; gets the statement's bytes and those of its signature."""
Progress = Callable[[str, str], None]


def write_archive(store: Store, image: str, publisher: str, key: Path, file: Path, progress: Progress) -> Manifest:
    """Write a version to a tar file, signed; the file appears when it is whole. Raises FarmError, OSError."""
    store.verify(image)
    manifest = store.get(image)
    require_checked(manifest, image)
    stated = statement(manifest, publisher)
    fresh = file.with_name(f".{file.name}.part")
    try:
        with tarfile.open(fresh, "w", format=tarfile.GNU_FORMAT) as archive:
            _add(archive, MANIFEST, stated, manifest.built)
            _add(archive, SIGNATURE, signature.sign(key, stated, NAMESPACE), manifest.built)
            for name in FILES:
                progress(f"writing {file.name}", f"{name}, {manifest.files[name].size >> 20} MiB")
                archive.add(store.path(image) / name, name, filter=lambda info: _plain(info, manifest.built))
        os.replace(fresh, file)
    finally:
        fresh.unlink(missing_ok=True)
    return manifest


def _add(archive: tarfile.TarFile, name: str, content: bytes, time: float) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(_plain(info, time), io.BytesIO(content))


def _plain(info: tarfile.TarInfo, time: float) -> tarfile.TarInfo:
    """Nothing of this machine but the content."""
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode, info.mtime = 0o644, int(time)
    return info


@contextlib.contextmanager
def read_archive(file: Path, scratch: Path, believe: Believe, progress: Progress) -> Iterator[tuple[Path, Manifest]]:
    """Unpack an archive below ``scratch``: the folder with its files, and its manifest, whose hashes they have.

    The folder is removed in the end, unless somebody moved it away. The signer is asked about before anything large
    is read. Raises FarmError.
    """
    folder = scratch / "import"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with open(file, "rb") as raw:
            yield folder, _unpack(raw, file, folder, believe, progress)
    except tarfile.TarError as error:
        raise _broken(file, f"What an export writes does not come next in it: {error}.") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(raw: IO[bytes], file: Path, folder: Path, believe: Believe, progress: Progress) -> Manifest:
    stated = b"".join(read_member(raw, MANIFEST, MOST_BYTES))
    signed = b"".join(read_member(raw, SIGNATURE, signature.MOST_BYTES))
    manifest = read_statement(stated, f"{file}")
    signer = signer_of(stated, signed, NAMESPACE, f"{label(manifest)} in {file}")
    believe(manifest, signer, stated, signed)
    for name in FILES:
        entry = manifest.files[name]
        progress(f"reading {file.name}", f"{name}, {entry.size >> 20} MiB")
        _write(read_member(raw, name, entry.size), folder / name, entry, file)
    return msgspec.structs.replace(manifest, signer=signer.fingerprint)


def _write(chunks: Iterator[bytes], target: Path, entry: FileEntry, file: Path) -> None:
    digest = hashlib.sha256()
    with open(target, "wb") as out:
        for chunk in chunks:
            digest.update(chunk)
            out.write(chunk)
    target.chmod(0o644)
    if digest.hexdigest() != entry.sha256:
        raise _broken(file, f"{target.name} does not have the hash that its manifest states.")


def _broken(file: Path, why: str) -> FarmError:
    return FarmError(f"{file} is not a whole archive of an image.", why, "Copy it again from where it was exported.")
