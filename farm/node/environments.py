"""Which compilers a node holds: the environments that iceccd has unpacked, and how much RAM each takes."""

from __future__ import annotations

import os
import stat
import time
from typing import Any

ROOM_PER_SLOT = 25 << 20
"""Free bytes that iceccd wants in its folder for each free slot, and for one more (daemon/main.cpp)."""
MAX_ENVIRONMENTS = 64
MAX_FILES = 20_000
"""An environment of more files is not counted to its end."""
SETTLED_SECONDS = 30.0
"""So long after it was made is an environment looked at again each time: it may still be being unpacked."""


class Environments:
    """The environments in iceccd's folder (``-b``); sizes are remembered, so that looking often costs little."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._sizes: dict[str, tuple[float, int]] = {}

    def look(self) -> list[dict[str, Any]]:
        """The name (as icecream has it: the tarball's, without its end) and bytes of each, by name."""
        found: dict[str, int] = {}
        for path in self._paths():
            try:
                changed = os.stat(path).st_mtime
            except OSError:
                continue
            before, size = self._sizes.get(path, (-1.0, 0))
            found[path] = size if before == changed else _size(path)
            if time.time() - changed > SETTLED_SECONDS:
                self._sizes[path] = changed, found[path]
        self._sizes = {path: known for path, known in self._sizes.items() if path in found}
        return sorted(
            ({"name": os.path.basename(path), "bytes": size} for path, size in found.items()),
            key=lambda environment: environment["name"],
        )

    def _paths(self) -> list[str]:
        """Folders of environments: PLATFORM's are in ``target=PLATFORM`` (daemon/environment.cpp)."""
        targets = (name for name in sorted(_names(self.folder)) if name.startswith("target="))
        paths = (
            os.path.join(self.folder, target, name)
            for target in targets
            for name in _names(os.path.join(self.folder, target))
        )
        return [path for path in paths if os.path.isdir(path)][:MAX_ENVIRONMENTS]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _size(folder: str) -> int:
    """Bytes that the files below take."""
    total = files = 0
    for path, _, names in os.walk(folder):
        for name in names:
            files += 1
            if files > MAX_FILES:
                return total
            try:
                status = os.lstat(os.path.join(path, name))
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                total += status.st_blocks * 512
    return total
