"""What `farm join` changes on a machine, written down before the first change, so that `farm leave` can undo it.

The record outlives a crash, and a second joining: what it holds is always how things were before the first.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON, FarmError
from farm.home import write_atomic


class SavedFile(Struct, frozen=True, kw_only=True):
    """A file as it was; ``content`` None: it did not exist."""

    path: str
    content: bytes | None
    mode: int = 0
    uid: int = 0
    gid: int = 0
    modified: int = 0
    """Nanoseconds of Unix time."""


class Undo(Struct, frozen=True, kw_only=True):
    """How a machine, or a user's home, was before it joined its first farm."""

    files: tuple[SavedFile, ...] = ()
    """Files that were changed or made, as they were before."""
    folders: tuple[str, ...] = ()
    """Made, parents first; they go again when nothing is left in them."""
    trees: tuple[str, ...] = ()
    """Made for iceccd and for what is kept of builds: they go with all that is in them."""
    service: str = ""
    """The service of root's iceccd."""
    active: bool = False
    enabled: bool = True
    schema: int = 1


def beside(membership: Path) -> Path:
    """Where the record is kept that belongs to a membership."""
    return membership.with_name("workstation.undo.json")


def load(path: Path) -> Undo | None:
    """The record, or None; raises FarmError when it cannot be understood."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Undo)
    except FileNotFoundError:
        return None
    except (OSError, *NOT_JSON) as error:
        raise FarmError(
            "The record of the changes by `farm join` cannot be read.",
            f"{path}: {error}",
            "Undo the changes in docs/workstation.md by hand, and remove the record.",
        ) from error


def save(path: Path, undo: Undo) -> None:
    """Write it down, whole or not at all; its folders must exist. For nobody else to read: it holds files."""
    write_atomic(path, msgspec.json.encode(undo) + b"\n", mode=0o600)


def snapshot(path: Path) -> SavedFile:
    """A file as it is now; one behind a symbolic link counts by itself."""
    path = path.resolve()
    try:
        status, content = path.stat(), path.read_bytes()
    except FileNotFoundError:
        return SavedFile(path=str(path), content=None)
    return SavedFile(
        path=str(path),
        content=content,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        modified=status.st_mtime_ns,
    )


def rewrite(path: Path, content: bytes) -> None:
    """Change the content of a file that exists, whole or not at all, keeping its owner and mode."""
    now = snapshot(path)
    if now.content != content:
        _write(now, content)


def restore(saved: SavedFile) -> None:
    """Make a file what it was: content, mode, owner and time; one that was not there goes."""
    path = Path(saved.path)
    if saved.content is None:
        path.unlink(missing_ok=True)
    elif snapshot(path) != saved:
        _write(saved, saved.content)
        os.utime(path, ns=(saved.modified, saved.modified))


def _write(like: SavedFile, content: bytes) -> None:
    write_atomic(Path(like.path), content, mode=like.mode)
    os.chown(like.path, like.uid, like.gid)


def missing(*folders: Path) -> tuple[str, ...]:
    """Those of the folders, and of the folders above them, that do not exist; parents first."""
    found: dict[str, None] = {}
    for folder in folders:
        above = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        found |= dict.fromkeys(map(str, reversed(above)))
    return tuple(found)


def remove_made(undo: Undo) -> None:
    """Remove the trees, and the folders in which nothing is left."""
    for tree in undo.trees:
        shutil.rmtree(tree, ignore_errors=True)
    for folder in reversed(undo.folders):
        with contextlib.suppress(OSError):  # somebody else has put something there, or removed it
            os.rmdir(folder)
