"""The first file in a backup: what it is of, and each file that follows, with size, permissions and hash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from farm.errors import NOT_JSON
from farm.instance import INSTANCE_FILE
from farm.serve.backup.swap import is_before

INDEX_NAME = "backup.json"
BACKUP_SCHEMA = 1
MOST_INDEX_BYTES = 16 << 20
MOST_ENTRIES = 20_000
LAST_TIME = float((1 << 33) - 1)
"""The last Unix time that a plain tar file can state."""
HISTORY = "history.db"

_NOT_STATE = frozenset({"images", "published", INSTANCE_FILE, HISTORY, f"{HISTORY}-wal", f"{HISTORY}-shm"})
_OF_FOLDERS = frozenset({"state", "run", "log"})
"""In a home of its own, farm.yaml is beside these folders."""
_OF_THIS_COMPUTER = frozenset(
    {"workstation.json", "workstation.undo.json", "desk.json", "desk.pyz", "iceccd-spare.env"}
)
"""What `farm join` wrote beside farm.yaml: it says what `farm leave` puts back on this computer and no other."""

_PLACE = re.compile(r"(?:config|state|images|host-keys)(?:/[^/\x00-\x1f\x7f]{1,255}){1,24}")
_HOST_KEY = re.compile(r"host-keys/ssh_host_[a-z0-9]{1,16}_key(?:\.pub)?")
_IMAGE_FILE = re.compile(
    r"images/(?:[a-z0-9][a-z0-9-]{0,31}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,63}/"
    r"(?:root\.squashfs|kernel|initrd|manifest\.json)"
)


class BackupEntry(Struct, frozen=True, kw_only=True):
    """A file: its place begins with ``config/``, ``state/``, ``images/`` or ``host-keys/``; sizes are in bytes."""

    name: str
    size: Annotated[int, Meta(ge=0, lt=1 << 33)]
    sha256: str
    mode: Annotated[int, Meta(ge=0, le=0o777)]
    modified: Annotated[float, Meta(ge=0, le=LAST_TIME)] = 0.0
    """Unix time of its last change."""


class BackupIndex(Struct, frozen=True, kw_only=True):
    """All that a backup says of itself."""

    schema: int = BACKUP_SCHEMA
    release: str
    """Of the program that wrote it."""
    farm: str
    host: str
    made: Annotated[float, Meta(ge=0, le=LAST_TIME)]
    """Unix time at which it was written."""
    interface: str
    """Of the lab; empty for a farm without a farm.yaml."""
    selected: dict[str, str] = {}
    """The version that next boots got, as the store calls it, by the name of the image."""
    exports: dict[str, dict[str, dict[str, str | int]]] = {}
    """What the exports say of each version, as its AoE slot: nodes that run read their roots there."""
    links: dict[str, str] = {}
    """Symbolic links in folders of the configuration, by their places."""
    folders: dict[str, Annotated[int, Meta(ge=0, le=0o777)]] = {}
    """The permissions of the folders in the configuration and the state, by their places."""
    left_out: list[str] = []
    """What could not be taken in, in a sentence each."""
    entries: list[BackupEntry] = []

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    @property
    def versions(self) -> list[str]:
        """The image versions that are in it with all their files."""
        manifests = (entry.name for entry in self.entries if entry.name.startswith("images/"))
        return [name[7:-14] for name in manifests if name.endswith("/manifest.json")]


def read_index(content: bytes) -> BackupIndex:
    """What an index says, checked. Raises ValueError with a sentence that says what is wrong with it."""
    try:
        schema = msgspec.json.decode(content, type=_Schema).schema
        if schema > BACKUP_SCHEMA:
            raise ValueError(f"A later release wrote it: its format is {schema}, and {BACKUP_SCHEMA} is known here.")
        index = msgspec.json.decode(content, type=BackupIndex)
    except NOT_JSON as error:
        raise ValueError(f"Its index cannot be read: {error}.") from None
    if flaw := next(_flaws(index), ""):
        raise ValueError(flaw)
    return index


class _Schema(Struct, frozen=True):
    schema: int


def _flaws(index: BackupIndex) -> Iterator[str]:
    names = [*(entry.name for entry in index.entries), *index.links]
    if len(names) + len(index.folders) > MOST_ENTRIES:
        yield f"It lists {len(names)} files; at most {MOST_ENTRIES} are accepted."
    if len(set(names)) != len(names):
        yield "It lists a file twice."
    for name in [*names, *index.folders]:
        if not proper_place(name):
            yield f"It lists a file at a place where none belongs: {name[:200]!r}."
    for name in index.links:
        if not name.startswith("config/") or name.count("/") < 2:
            yield f"It lists a link at a place where none belongs: {name[:200]!r}."
    files = set(names)
    for name in [*names, *(f"{folder}/." for folder in index.folders)]:
        folders = [*accumulate(name.split("/"), lambda above, part: f"{above}/{part}")][:-1]
        if inside := files.intersection(folders):
            yield f"It lists {min(inside)[:200]!r} as a file and as a folder."


def proper_place(name: str) -> bool:
    """Whether a file of a backup can be there: below one of the four folders, and never above them."""
    if not _PLACE.fullmatch(name) or {".", ".."}.intersection(name.split("/")):
        return False
    top, below = name.split("/")[:2]
    if top == "config":
        return is_configuration(below)
    if top == "state":
        return is_state(below) or below == HISTORY
    pattern = {"host-keys": _HOST_KEY, "images": _IMAGE_FILE}.get(top)
    return pattern is None or pattern.fullmatch(name) is not None


def is_configuration(name: str) -> bool:
    """Whether something beside farm.yaml, of this name, is part of the farm's configuration."""
    return not (name.startswith(".") or is_before(name) or name in _OF_FOLDERS | _OF_THIS_COMPUTER)


def is_state(name: str) -> bool:
    """Whether something in the state folder outlives the server: not what is made again, nor images, nor the dead."""
    return not (name.startswith(".") or is_before(name) or name in _NOT_STATE or ".corrupt-" in name)
