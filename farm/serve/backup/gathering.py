"""What a backup of a farm holds: copies of its configuration, keys, leases and history, and if asked for its images."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from farm.home import Home
from farm.image.store import FILES, Store, sha256
from farm.printable import printable
from farm.serve.backup.backup_index import (
    HISTORY,
    LAST_TIME,
    BackupEntry,
    is_configuration,
    is_state,
    proper_place,
)

MOST_FILE_BYTES = 1 << 30


@dataclass
class Gathered:
    """Files with where their content is; the rest as in `BackupIndex`."""

    files: dict[str, Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def leave_out(self, path: Path, why: str) -> None:
        """Say why something is not in the backup; its name may be any bytes."""
        self.left_out.append(f"{printable(str(path), 500)}{why}")


def gather(home: Home, host_keys: Path, scratch: Path) -> Gathered:
    """Copy into ``scratch`` all that is not an image. Raises OSError.

    ``host_keys``: the folder of this computer's sshd.
    """
    found = Gathered()
    for prefix, folder, belongs in (("config", home.config.parent, is_configuration), ("state", home.state, is_state)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if belongs(path.name):
                _take(found, path, f"{prefix}/{path.name}", scratch, top=True)
    if (home.state / HISTORY).is_file():
        try:
            found.files[f"state/{HISTORY}"] = copy_history(home.state / HISTORY, scratch / HISTORY)
        except sqlite3.Error as error:
            found.leave_out(home.state / HISTORY, f" cannot be read: {error}.")
    for path in sorted(host_keys.glob("ssh_host_*_key*")):
        if proper_place(name := f"host-keys/{path.name}"):
            _take(found, path, name, scratch, top=True)
    return found


def _take(found: Gathered, path: Path, name: str, scratch: Path, *, top: bool) -> None:
    """A file, or a folder with all that is in it. Links are followed at the top, and kept as such further down."""
    if not (proper_place(name) and _fits_header(name)):
        found.leave_out(path, ": its name cannot be kept.")
    elif path.is_symlink() and not top:
        _take_link(found, path, name)
    elif path.is_dir():
        found.folders[name] = stat.S_IMODE(path.stat().st_mode) & 0o777
        for child in sorted(path.iterdir()):
            _take(found, child, f"{name}/{child.name}", scratch, top=False)
    elif not path.exists():
        found.leave_out(path, ": the link leads nowhere.")
    elif not stat.S_ISREG(path.stat().st_mode):
        found.leave_out(path, " is no file.")
    elif path.stat().st_size > MOST_FILE_BYTES:
        found.leave_out(path, f" is larger than {MOST_FILE_BYTES >> 30} GiB.")
    else:
        copy = scratch / "files" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
        found.files[name] = copy


def _take_link(found: Gathered, path: Path, name: str) -> None:
    leads_to = os.readlink(path)
    if not name.startswith("config/"):
        found.leave_out(path, " is a link, which only folders of the configuration may have.")
    elif not leads_to.isprintable():
        found.leave_out(path, ": the name that the link leads to cannot be kept.")
    else:
        found.links[name] = leads_to


def _fits_header(name: str) -> bool:
    """Whether a plain tar file can hold a file of this name."""
    try:
        tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    except ValueError:
        return False
    return True


def copy_history(source: Path, target: Path) -> Path:
    """A copy of the history as it is at one moment, by SQLite's backup API. Raises sqlite3.Error."""
    with (
        contextlib.closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as db,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    shutil.copystat(source, target)
    return target


def image_files(store: Store) -> Iterator[tuple[BackupEntry, Path]]:
    """All versions in a store, with the hashes that their manifests state. Raises FarmError for a damaged one."""
    for manifest in store.list():
        store.verify(manifest.image)
        for name in FILES:
            full, file = f"images/{manifest.image}/{name}", manifest.files[name]
            entry = BackupEntry(name=full, size=file.size, sha256=file.sha256, mode=0o644, modified=manifest.built)
            yield entry, store.path(manifest.image) / name
        yield described(f"images/{manifest.image}/manifest.json", store.path(manifest.image) / "manifest.json")


def described(name: str, path: Path) -> tuple[BackupEntry, Path]:
    """A file with its entry."""
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode) & 0o777
    modified = min(max(found.st_mtime, 0.0), LAST_TIME)
    return BackupEntry(name=name, size=found.st_size, sha256=sha256(path), mode=mode, modified=modified), path
