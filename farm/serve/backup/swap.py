"""Putting files in the place of others so that, whatever happens meanwhile, the old ones or the new ones are there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from farm.errors import NOT_JSON, FarmError
from farm.home import Home, remove, write_atomic

NEW, BEFORE = ".restore-new", "before-restore"
"""Beside the files that are replaced: where the new ones wait, and where the old ones go."""
_JOURNAL = ".restoring"

Belongs = Callable[[Path], bool]
"""Whether something in a folder is part of a backup, and so replaced."""


def swap(home: Home, folders: Collection[Path], belongs: Belongs) -> None:
    """Put what waits in each folder's NEW in the place of what belongs there, which goes to BEFORE.

    If that fails, all is as it was. Raises OSError.
    """
    moves = [move for folder in folders for move in _moves(folder, belongs)]
    for folder in folders:
        remove(folder / BEFORE)
        (folder / BEFORE).mkdir(mode=0o700)
    journal = home.state / _JOURNAL
    write_atomic(journal, msgspec.json.encode([(str(source), str(target)) for source, target in moves]), mode=0o600)
    try:
        for source, target in moves:
            os.rename(source, target)
    except BaseException:
        _take_back(moves)
        journal.unlink()
        raise
    journal.unlink()


def _moves(folder: Path, belongs: Belongs) -> Iterable[tuple[Path, Path]]:
    old = sorted(path for path in folder.iterdir() if belongs(path))
    yield from ((path, folder / BEFORE / path.name) for path in old)
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
