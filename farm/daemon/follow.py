"""Log files read as they grow, through rotation, truncation and removal, and kept from growing without bound."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from farm.home import write_atomic

MAX_LOG_LINE = 64 * 1024
KEPT_BYTES = 2 << 20
"""Bytes: a longer log is cut, and no more than so many are read at a time, the last ones."""
MARK_BYTES = 256
"""Bytes before a position, by which it is known again: a whole line, since only its beginning tells when it was."""


class Position(Struct, frozen=True):
    """How far a file was read: what is known of it, so that it can be told from another that took its place."""

    inode: int
    offset: int
    before: bytes
    """What stands before the offset."""

    @classmethod
    def of(cls, file: BinaryIO, offset: int) -> Position:
        """A place in an open file."""
        length = min(MARK_BYTES, offset)
        return cls(os.fstat(file.fileno()).st_ino, offset, os.pread(file.fileno(), length, offset - length))

    def is_in(self, file: BinaryIO) -> bool:
        """Whether it is a place in that file, and not in another or one that was written again."""
        return os.fstat(file.fileno()).st_size >= self.offset and Position.of(file, self.offset) == self

    def in_copy(self, file: BinaryIO) -> int | None:
        """The offset of this place in a copy of the file's end, None when it is not there."""
        if self.offset < MARK_BYTES:
            return None
        begin = max(0, os.fstat(file.fileno()).st_size - KEPT_BYTES)
        found = os.pread(file.fileno(), KEPT_BYTES, begin).rfind(self.before)
        return begin + found + len(self.before) if found >= 0 else None


def older(path: Path) -> Path:
    """Where a log's content before the last cut or rotation is."""
    return path.with_name(f"{path.name}.1")


def keep(path: Path) -> None:
    """Copy a log's last KEPT bytes to NAME.1; nothing happens when there is no room for that."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = os.pread(file.fileno(), KEPT_BYTES, max(0, size - KEPT_BYTES))
        write_atomic(older(path), data, mode=stat.S_IMODE(os.fstat(file.fileno()).st_mode))


def cut(path: Path) -> None:
    """Empty a log that is longer than KEPT; its end is in NAME.1 then. It must be one that is written by appending."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > KEPT_BYTES:
            keep(path)
            os.truncate(path, 0)


class Follower:
    """One log file; `lines` returns what has been added since it was last called.

    It begins at ``start``, or else with what the file and the one before it (NAME.1) still hold. A file that was
    replaced is read to its end first, then the new one from its beginning; one that was emptied or written again is
    read from its beginning. One that does not exist (yet), or cannot be read, is empty.
    """

    def __init__(self, path: Path, start: Position | None = None) -> None:
        self.path = path
        self.written = 0.0
        """Unix time at which the last line that was read was written, or later."""
        self.resumed = False
        """Reading began at ``start``."""
        self._start = start
        self._begun = False
        self._file: BinaryIO | None = None
        self._mark: Position | None = None
        self._rest = b""
        self._late = b""
        """Read already when the file was cut."""
        self._fixed = False
        """It cannot be cut."""

    def lines(self) -> list[str]:
        """The whole lines that are new, without their ends."""
        found = [] if self._begun else self._begin()
        if self._file is None and not self._open(self.path):
            return found
        found += self._read()
        if self._replaced():
            found += self._read()  # what was written between the reading and the rotation
            if self._open(self.path):
                found += self._read()
        return found

    def position(self) -> Position | None:
        """How far it has come; None when there is no file."""
        return self._mark

    def cut(self) -> None:
        """Empty the file when it is longer than KEPT; nothing that is in it by then remains unread."""
        if self._file is None or self._fixed or self._replaced() or os.fstat(self._file.fileno()).st_size <= KEPT_BYTES:
            return
        keep(self.path)
        self._late += self._file.read(KEPT_BYTES)
        try:
            os.truncate(self.path, 0)
        except OSError:
            self._fixed = True
            return
        self._file.seek(0)
        self._mark = Position.of(self._file, 0)

    def close(self) -> None:
        """Close the file; reading begins again at the next call."""
        self._close()
        self._begun = False

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._mark, self._rest, self._late, self._fixed = None, None, b"", b"", False

    def _begin(self) -> list[str]:
        self._begun = True
        if self._start is not None:
            for path in (self.path, older(self.path)):
                if self._open(path) and self._resume(self._start, copied=path != self.path):
                    return []  # if it is the older one, it is seen to be replaced after it was read
        found = self._read() if self._open(older(self.path)) else []
        self._close()
        return found

    def _resume(self, start: Position, *, copied: bool) -> bool:
        """Go on at a place in the file that was just opened, if that is in it."""
        assert self._file is not None
        offset = start.offset if start.is_in(self._file) else start.in_copy(self._file) if copied else None
        if offset is None:
            return False
        self._file.seek(offset)
        self._mark, self.resumed = Position.of(self._file, offset), True
        return True

    def _open(self, path: Path) -> bool:
        self._close()
        try:
            self._file = path.open("rb")
        except OSError:
            return False
        return True

    def _replaced(self) -> bool:
        assert self._file is not None
        try:
            named = self.path.stat()
        except OSError:
            return False
        return not os.path.samestat(named, os.fstat(self._file.fileno()))

    def _read(self) -> list[str]:
        file = self._file
        assert file is not None
        if self._mark is not None and not self._mark.is_in(file):
            file.seek(0)
            self._rest = b""
        status = os.fstat(file.fileno())
        new = self._new(file, status.st_size)
        data, self._late = self._late + new, b""
        self.written = status.st_mtime if data else self.written
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-MAX_LOG_LINE - 1 :]
        self._mark = Position.of(file, max(0, file.tell() - len(self._rest)))
        return [line.decode(errors="replace") for line in whole if len(line) <= MAX_LOG_LINE]

    def _new(self, file: BinaryIO, size: int) -> bytes:
        """What there is up to ``size``, or no more than its end, from the beginning of a line."""
        if size - file.tell() <= KEPT_BYTES:
            return file.read(max(0, size - file.tell()))
        file.seek(size - KEPT_BYTES - 1)
        self._rest = self._late = b""
        return file.read(KEPT_BYTES + 1).partition(b"\n")[2]
