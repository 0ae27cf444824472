"""Putting files in the place of others so that, whatever happens meanwhile, the old ones or the new ones are there."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from farm.errors import NOT_JSON, FarmError
from farm.home import Home, write_atomic

NEW, BEFORE = ".restore-new", "before-restore"
"""Beside the files that are replaced: where the new ones wait, and where the old ones go, at first."""
MOST_BEFORE = 9
"""Folders of old files that are kept; none is ever removed, as the first may have the only copy of a farm."""
_JOURNAL = ".restoring"

_BEFORE = re.compile(rf"{BEFORE}(?:-[2-{MOST_BEFORE}])?")

Belongs = Callable[[Path], bool]
"""Whether something in a folder is part of a backup, and so replaced."""


def is_before(name: str) -> bool:
    """Whether a folder of this name has the files from before a restore."""
    return _BEFORE.fullmatch(name) is not None


def free_before(folders: Collection[Path]) -> str:
    """The name of the next folder for old files, which has none yet in each of these. Raises FarmError."""
    for name in (BEFORE, *(f"{BEFORE}-{number}" for number in range(2, MOST_BEFORE + 1))):
        if not any((folder / name).is_dir() and any((folder / name).iterdir()) for folder in folders):
            return name
    raise FarmError(
        f"Files from before {MOST_BEFORE} restores are kept already, so nothing was changed.",
        "A restore removes none of them.",
        "Remove those that nobody needs: farm disk",
    )


def swap(home: Home, folders: Collection[Path], belongs: Belongs, before: str) -> None:
    """Put what waits in each folder's NEW in the place of what belongs there, which goes to its folder ``before``.

    ``before``: as `free_before` says. If that fails, all is as it was. Raises OSError.
    """
    moves = [move for folder in folders for move in _moves(folder, belongs, before)]
    for folder in folders:
        (folder / before).mkdir(mode=0o700, exist_ok=True)
    journal = home.state / _JOURNAL
    write_atomic(journal, msgspec.json.encode([(str(source), str(target)) for source, target in moves]), mode=0o600)
    try:
        _flush(home.state)
        for source, target in moves:
            os.rename(source, target)
        for folder in folders:  # configuration and state may be on two disks, and the journal is on one of them
            _flush(folder / before)
            _flush(folder)
    except BaseException:
        _take_back(moves)
        journal.unlink()
        raise
    journal.unlink()


def _flush(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _moves(folder: Path, belongs: Belongs, before: str) -> Iterable[tuple[Path, Path]]:
    old = sorted(path for path in folder.iterdir() if belongs(path))
    yield from ((path, folder / before / path.name) for path in old)
    yield from ((path, folder / path.name) for path in sorted((folder / NEW).iterdir()))


def _take_back(moves: Iterable[tuple[Path, Path]]) -> None:
    for source, target in reversed([*moves]):
        if os.path.lexists(target) and not os.path.lexists(source):
            os.rename(target, source)


def take_back_interrupted(home: Home) -> None:
    """Undo a swap that was interrupted, by a power cut for example; nothing happens if there was none."""
    journal = home.state / _JOURNAL
    with contextlib.suppress(FileNotFoundError, *NOT_JSON):
        moves = msgspec.json.decode(journal.read_bytes(), type=list[tuple[str, str]])
        _take_back((Path(source), Path(target)) for source, target in moves)
    journal.unlink(missing_ok=True)


def require_no_interrupted(home: Home) -> None:
    """Raise FarmError when a restore was interrupted: of its files some may be the old ones and some the new."""
    if (home.state / _JOURNAL).exists():
        raise FarmError(
            "A restore of this farm was interrupted.",
            "Its configuration and its state may not belong together.",
            "Run it again: sudo farm restore FILE",
        )


def require_outside(home: Home, file: Path) -> None:
    """Raise FarmError for a backup in a folder of the farm: the next would hold it, and a restore would move it."""
    for folder in (home.state, home.config.parent):
        if file.resolve().is_relative_to(folder.resolve()):
            raise FarmError(
                f"{file} is in {folder}, which is the farm's.",
                "There it would be part of the next backup, and a restore would move it away.",
                "Keep backups elsewhere, as in /backup/farm.tar.",
            )
