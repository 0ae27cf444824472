"""Where a farm's disk space goes, what bounds each part, and which command frees it."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from farm.config import Config
from farm.config.file import load_or_default
from farm.errors import ConfigError
from farm.errors.hints import hint
from farm.home import Home
from farm.image.store import Store
from farm.serve.backup.swap import is_before
from farm.serve.versions import versions_in_use

Part = Literal["image", "build", "pull", "published", "tree", "history", "logs", "before-restore", "rest"]


class DiskPart(Struct, frozen=True, kw_only=True):
    """One part of what a farm has on disk."""

    part: Part
    name: str
    path: str
    bytes: int
    """What it takes on disk; a file with several names counts for the first part that has it."""
    removable: bool = False
    """Whether it can go without a loss for the farm as it is now."""
    why: str = ""
    """Why it stays, or what bounds it."""
    free: str = ""
    """What frees it; empty where that is neither needed nor wise."""


class Disk(Struct, frozen=True):
    """A file system on which the farm has something; sizes in bytes."""

    path: str
    size: int
    free: int


class DiskUse(Struct, frozen=True):
    """All parts, and the disks that they are on."""

    parts: list[DiskPart]
    disks: list[Disk]


def disk_use(home: Home) -> DiskUse:
    """Look at all that the farm has on disk. Raises FarmError when a manifest cannot be read."""
    try:
        config = load_or_default(home, virtual=True)
    except ConfigError:
        config = Config()
    measure = _Measure()
    parts = [
        *_images(home, measure),
        *_caches(home, measure),
        *_trees(config, measure),
        *_history(home, config, measure),
        _part(measure, "logs", "logs of services", home.logs, why="bounded: 8 MB for each service"),
        *_before(home, measure),
        _part(measure, "rest", "keys, leases and other state", home.state),
    ]
    found = {folder.stat().st_dev: folder for folder in (home.logs, home.images, home.state) if folder.is_dir()}
    disks = [Disk(str(folder), (usage := shutil.disk_usage(folder)).total, usage.free) for folder in found.values()]
    return DiskUse([part for part in parts if part.bytes or part.part == "image"], disks)


class _Measure:
    """Sizes of folders, each file counted once."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def __call__(self, path: Path) -> int:
        """Bytes on disk of a file, or of a folder with all in it, but for what was counted before."""
        try:
            found = path.lstat()
        except OSError:  # it has gone meanwhile
            return 0
        key = (found.st_dev, found.st_ino)
        if key in self._seen:
            return 0
        self._seen.add(key)
        size = found.st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            try:
                names = os.listdir(path)
            except OSError:
                names = []
            size += sum(self(path / name) for name in names)
        return size


def _part(measure: _Measure, part: Part, name: str, path: Path, *, why: str = "", free: str = "") -> DiskPart:
    return DiskPart(
        part=part, name=name, path=str(path), bytes=measure(path), removable=bool(free), why=why, free=hint(free)
    )


def _images(home: Home, measure: _Measure) -> Iterator[DiskPart]:
    store, in_use = Store(home.images), versions_in_use(home)
    selected = store.selections().values()
    for manifest in store.list():
        image = manifest.image
        why = "Next boots get it." if image in selected else in_use[image].why if image in in_use else ""
        free = "" if why else f"sudo farm image remove {image}"
        yield _part(measure, "image", image, store.path(image), why=why, free=free)


def _caches(home: Home, measure: _Measure) -> Iterator[DiskPart]:
    store = Store(home.images)
    for folder in [home.images, *sorted(home.images.glob("[!.]*/"))]:
        name = "" if folder == home.images else f" of {folder.name}"
        why = "kept so that builds take seconds; the next build after it is gone installs all packages"
        yield _part(
            measure, "build", f"packages for builds{name}", folder / ".base", why=why, free=_rm(folder / ".base")
        )
        # Under the lock it may be in use.
        why = "of a build that runs, or was interrupted; the next build removes it"
        yield _part(measure, "build", f"an unfinished build{name}", folder / ".build", why=why)
    why = "parts of images whose download was interrupted; the next one goes on with them"
    yield _part(
        measure, "pull", "unfinished downloads", store.directory / ".pull", why=why, free=_rm(home.images / ".pull")
    )
    why = "given to other servers, which find nothing there once it is gone"
    part = _part(measure, "published", "published images", home.published, why=why, free=_rm(home.published))
    yield msgspec.structs.replace(part, removable=False)


def _trees(config: Config, measure: _Measure) -> Iterator[DiskPart]:
    for name, image in config.images.items():
        if image.tree:
            yield _part(measure, "tree", f"tree of {name}", Path(image.tree), why="yours: the farm only reads it")


def _history(home: Home, config: Config, measure: _Measure) -> Iterator[DiskPart]:
    size = sum(measure(home.state / f"history.db{end}") for end in ("", "-wal", "-shm"))
    days, megabytes = config.history.days, config.history.megabytes
    yield DiskPart(
        part="history",
        name="history",
        path=str(home.state / "history.db"),
        bytes=size,
        why=f"bounded: {days} days and {megabytes} MB",
        free=hint(f"Set history.days or history.megabytes in {home.config} lower, then: sudo farm up"),
    )
    for path in sorted(home.state.glob("history.db.corrupt-*")):
        why = "damaged, and put aside; no command reads it"
        yield _part(measure, "history", "a damaged history", path, why=why, free=_rm(path))


def _before(home: Home, measure: _Measure) -> Iterator[DiskPart]:
    beside = [path for folder in (home.config.parent, home.state) if folder.is_dir() for path in folder.iterdir()]
    for folder in sorted(path for path in beside if is_before(path.name)):
        why = "what a restore has replaced; no command reads it"
        yield _part(measure, "before-restore", "files from before a restore", folder, why=why, free=_rm(folder))


def _rm(path: Path) -> str:
    return f"sudo rm -r {shlex.quote(str(path))}"
