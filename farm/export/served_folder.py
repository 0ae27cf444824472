"""One folder of a store with the root file of each version, for exports that serve the files of a folder by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from farm.export.description import Root
from farm.home import locked, place, same_file


def served_folder(store: Path) -> Path:
    """The folder. It lies in the store, on the same file system as the versions: its files are hard links."""
    return store / ".exports"


def served_name(root: Root) -> str:
    """What a version's root is called there: an image's name without the slash, which would be another folder."""
    return root.name.replace("/", ":")


def fill(store: Path, roots: Sequence[Root]) -> None:
    """Put the roots of these versions into the folder, and take out those of versions that the store has no more.

    What runs meanwhile sees a file old or new, never half.
    """
    folder = served_folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(store / ".exports.lock", "", wait=True):
        for root in roots:
            if root.file.is_file():
                place(root.file, folder / served_name(root))
        for path in folder.iterdir():
            # Another farm may have added versions to the store since these were listed.
            if not Root(store, path.name.replace(":", "/")).file.is_file():
                path.unlink()


def is_served(root: Root) -> bool:
    """Whether the folder holds this very file, not one that it has replaced."""
    path = served_folder(root.store) / served_name(root)
    return path.is_file() and root.file.is_file() and same_file(root.file, path)
