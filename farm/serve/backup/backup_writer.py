"""`farm backup`: write all that a farm needs into one file that root alone can read."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import socket
import tarfile
import tempfile
import time
from pathlib import Path

import msgspec

from farm.config.file import load_or_default
from farm.errors import ConfigError, FarmError
from farm.export import facts
from farm.home import Home, locked
from farm.image.store import Store
from farm.netboot.host_keys import FOLDER
from farm.serve.backup.backup_index import INDEX_NAME, MOST_INDEX_BYTES, BackupIndex, read_index
from farm.serve.backup.gathering import described, gather, image_files
from farm.serve.backup.swap import require_no_interrupted, require_outside
from farm.serve.healing import Report
from farm.serve.preflight import require_farm


def write_backup(
    home: Home, file: Path, report: Report, *, images: bool = False, host_keys: Path = FOLDER
) -> BackupIndex:
    """Write a backup, which appears when it is whole, with mode 0600; the farm may be up. Raises FarmError, OSError.

    ``images``: with the files of all image versions, and not only their names.
    """
    require_farm(home)
    require_no_interrupted(home)
    require_outside(home, file)
    store = Store(home.images)
    home.state.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(home.state / ".backup", "Another command makes a backup of this farm."))
        if images:
            stack.enter_context(store.lock())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=home.state, prefix=".backup-")))
        report("copying", "configuration, keys, leases, history")
        found = gather(home, host_keys, scratch)
        files = [described(name, path) for name, path in sorted(found.files.items())]
        if images:
            report("verifying", "images")
            files += image_files(store)
        config = _config(home)
        index = BackupIndex(
            release=importlib.metadata.version("icecream-farm"),
            farm=config[0],
            host=socket.gethostname(),
            made=time.time(),
            interface=config[1],
            selected=store.selections(),
            exports={manifest.image: facts(store, manifest) for manifest in store.list()},
            links=found.links,
            folders=found.folders,
            left_out=found.left_out,
            entries=[entry for entry, _ in files],
        )
        content = _accepted(home, index)
        report("writing", str(file))
        _write(file, index, content, [path for _, path in files])
    return index


def _config(home: Home) -> tuple[str, str]:
    """Name and interface of the farm; a farm.yaml with mistakes is backed up all the same."""
    try:
        config = load_or_default(home, virtual=True)
    except ConfigError:
        return "", ""
    return config.name, config.interface


def _accepted(home: Home, index: BackupIndex) -> bytes:
    """The index as it is written. Raises FarmError where `farm restore` would refuse it: now it can be changed."""
    content = msgspec.json.format(msgspec.json.encode(index))
    try:
        if len(content) > MOST_INDEX_BYTES:
            raise ValueError(f"Its index would have more than {MOST_INDEX_BYTES >> 20} MiB.")
        read_index(content)
    except ValueError as error:
        raise FarmError(
            "No backup was written: farm restore would not accept it.",
            str(error),
            f"Move what is not the farm's out of {home.config.parent} and {home.state}.",
        ) from None
    return content


def _write(file: Path, index: BackupIndex, content: bytes, paths: list[Path]) -> None:
    if file.exists() and not file.is_file():
        raise FarmError(f"{file} is not a file.", "A backup is one file.", "Name a file: sudo farm backup FILE")
    fresh = file.with_name(f".{file.name}.part")
    fresh.unlink(missing_ok=True)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                archive.addfile(_member(INDEX_NAME, len(content), 0o600, index.made), io.BytesIO(content))
                for entry, path in zip(index.entries, paths, strict=True):
                    with path.open("rb") as source:
                        archive.addfile(_member(entry.name, entry.size, entry.mode, entry.modified), source)
            out.flush()
            os.fsync(out.fileno())
        os.replace(fresh, file)
    finally:
        fresh.unlink(missing_ok=True)


def _member(name: str, size: int, mode: int, modified: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, int(modified)
    info.uname = info.gname = "root"
    return info
