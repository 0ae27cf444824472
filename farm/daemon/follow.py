"""Log files read as they grow, from their beginning, through rotation and truncation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

MAX_LINE = 64 * 1024
CHUNK = 1 << 20


class Follower:
    """One log file; `lines` returns what has been added since it was last called.

    A file that was replaced (rotation) is read to its end first, then the new one from its beginning; one that became
    shorter is read again from its beginning. One that does not exist (yet) is empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def lines(self) -> list[str]:
        """The whole lines that are new, without their ends."""
        if self._file is None and not self._open():
            return []
        found = self._read()
        if self._replaced():
            found += self._read()  # what was written between the reading and the rotation
            if self._open():
                found += self._read()
        return found

    def close(self) -> None:
        """Close the file; reading begins anew at the next call."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        self.close()
        self._rest = b""
        try:
            self._file = self.path.open("rb")
        except FileNotFoundError:
            return False
        return True

    def _replaced(self) -> bool:
        assert self._file is not None
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return False
        return not os.path.samestat(named, os.fstat(self._file.fileno()))

    def _read(self) -> list[str]:
        assert self._file is not None
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
            self._rest = b""
        found: list[str] = []
        while data := self._file.read(CHUNK):
            *whole, self._rest = (self._rest + data).split(b"\n")
            self._rest = self._rest[-MAX_LINE:]
            found += (line.decode(errors="replace") for line in whole if len(line) <= MAX_LINE)
        return found
