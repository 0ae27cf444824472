"""Which farms use an image store, and which versions their nodes may run while nobody can ask them.

A store may serve several farms (FARM_IMAGES). Each notes itself in the store when it comes up, and when it goes down
what its nodes were left running; so no version disappears under a node, whoever removes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON
from farm.home import Home, write_atomic
from farm.image.store import Store


class User(Struct, frozen=True):
    """A farm that has used the store; ``home``: its folder, None: the machine's own farm."""

    home: str | None
    kept: list[str]
    """What its nodes were left running when it last went down."""
    served: list[str]
    """What it has served since it came up; empty when it was taken down."""
    exports: list[str] = []
    """By which exports the nodes may read their roots that were left running when it last went down."""

    def at(self) -> Home:
        """The home of the farm that uses it."""
        return Home.at(Path(self.home) if self.home is not None else None)


def users(store: Store) -> list[User]:
    """All that are noted; a note that cannot be read counts for nothing, nor does one of a home that was deleted."""
    found = []
    for path in sorted(_folder(store).glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=User))
        except (OSError, *NOT_JSON):
            continue
    return [user for user in found if user.home is None or Path(user.home).is_dir()]


def noted(store: Store, home: Home) -> User:
    """What is noted of a farm."""
    own = _home(home)
    return next((user for user in users(store) if user.home == own), User(own, [], []))


def note_user(
    store: Store, home: Home, *, kept: Iterable[str] = (), served: Iterable[str] = (), exports: Iterable[str] = ()
) -> None:
    """Note what a farm's nodes may run; nothing: the farm uses the store no more."""
    path = _folder(store) / f"{hashlib.sha256(str(home.runtime).encode()).hexdigest()[:16]}.json"
    user = User(_home(home), sorted(set(kept)), sorted(set(served)), sorted(set(exports)))
    if user.kept or user.served:
        write_atomic(path, msgspec.json.encode(user))
    else:
        path.unlink(missing_ok=True)


def _home(home: Home) -> str | None:
    return str(home.directory) if home.directory else None


def _folder(store: Store) -> Path:
    return store.directory / ".users"
