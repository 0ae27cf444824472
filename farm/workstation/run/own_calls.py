"""Which jobs are a run's own, from icecc's log of it: a daemon's jobs may come from several builds at a time.

icecc names the scheduler's job id of what it sends to a node, and says when it compiles something here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from farm.printable import printable
from farm.workstation.explain.call_words import parse

MAX_LOG = 64 << 20
"""Bytes after which a log is begun anew."""
MAX_REMEMBERED = 500_000
"""Jobs, and names of files."""
MAX_FILE_NAME = 255
"""Bytes of a file's name (NAME_MAX, limits.h)."""
LOG_CHUNK = 1 << 20

_LINE = re.compile(
    rb"ICECC\[(\d+)\] (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d): (?:"
    rb"(?P<begin>invoked as: )"
    rb"|preparing (?P<source>[^\n]+) to be compiled "
    rb"|Have to use host (?P<host>\S+):\d+ - Job ID: (?P<job>\d{1,10}) "
    rb"|(?P<spoilt>call_cpp process failed )"
    rb"|(?P<own>building myself, )"
    rb"|(?P<here><building_local>)"
    rb"|</building_local: (?P<ms>\d{1,10})ms>"
    rb"|(?P<alone>no local daemon found)"
    rb"|invoking: (?P<invoked>[^\n]+?)(?=ICECC\[\d+\] \d{4}-|\n|\Z)"
    rb")"
)
"""A long text is written apart from its line's end, so that another process's line may follow it at once."""


@dataclass
class HereCall:
    """What this machine did itself of a run, as far as the scheduler hears of it too."""

    name: str
    """Of its file, as the scheduler's job has it, without folders."""
    second: float
    """Unix time at which it began; icecc's clock has whole seconds."""
    ms: int | None = None


@dataclass
class OwnCalls:
    """What icecc's log has told so far."""

    remote: dict[int, str] = field(default_factory=dict)
    """Job ids, and the address that each was sent to."""
    here: int = 0
    """Compiled, linked or preprocessed by this machine, in whatever way it came to that."""
    here_ms: int = 0
    fallen: set[int] = field(default_factory=set)
    """Job ids of what was compiled here after a node had tried."""
    spoilt: set[int] = field(default_factory=set)
    """Job ids of what no node could try, since this machine's own preprocessor failed."""
    names: set[str] = field(default_factory=set)
    """Of the files that were compiled or made here, without folders, as the scheduler's jobs have them."""
    made: list[HereCall] = field(default_factory=list)
    """What this machine did, in the order in which it began."""
    _sources: dict[bytes, str] = field(default_factory=dict)
    """Process → the source that it prepared."""
    _making: dict[bytes, HereCall] = field(default_factory=dict)
    """Process → what it does here."""
    _present: dict[bytes, int] = field(default_factory=dict)
    """Process → the job that it sent away."""
    _local: set[bytes] = field(default_factory=set)
    """Processes that compile here."""

    def feed(self, lines: bytes) -> None:
        """Take in whole lines that have been written since."""
        for match in _LINE.finditer(lines):
            self._line(match)

    def _line(self, match: re.Match[bytes]) -> None:
        process, said = match[1], match.lastgroup
        match said:
            case "begin":
                for table in (self._present, self._sources, self._making):
                    table.pop(process, None)
                self._local.discard(process)
            case "job":
                if len(self.remote) < MAX_REMEMBERED:
                    self.remote[int(match["job"])] = match["host"].decode(errors="replace")
                self._present[process] = int(match["job"])
            case "spoilt" if process in self._present:
                self.spoilt.add(self._present.pop(process))
            case "own" | "here" | "alone":
                if said == "alone":
                    self._making[process] = HereCall("", 0.0)  # nobody hears of it
                self.here += process not in self._local
                self._local.add(process)
                if process in self._present:
                    self.fallen.add(self._present.pop(process))
                if said == "own" and process in self._sources:
                    self._make(match, self._sources[process])
            case "ms":
                self.here_ms += int(match["ms"])
                if call := self._making.get(process):
                    call.ms = int(match["ms"])
            case "source":
                self._sources[process] = self._named(os.fsdecode(match["source"]))
            case "invoked" if process in self._local:
                name = self._named(parse(os.fsdecode(match["invoked"])).output or "a.out")
                if process not in self._making:
                    self._make(match, name)
            case _:
                pass

    def _make(self, match: re.Match[bytes], name: str) -> None:
        """A process begins to do something here."""
        call = HereCall(name, _unix(match[2].decode()))
        self._making[match[1]] = call
        if len(self.made) < MAX_REMEMBERED:
            self.made.append(call)

    def _named(self, path: str) -> str:
        name = printable(os.fsencode(os.path.basename(path)).decode(errors="replace"), MAX_FILE_NAME)
        if len(self.names) < MAX_REMEMBERED:
            self.names.add(name)
        return name


def _unix(clock: str) -> float:
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.fromisoformat(clock).timestamp()
    return 0.0


@dataclass
class _Part:
    """A file of the log, and the beginning of a line in it that is not whole yet."""

    file: BinaryIO
    rest: bytes = b""

    def read(self) -> Iterator[bytes]:
        """The whole lines that are new, in pieces."""
        while data := self.file.read(LOG_CHUNK):
            lines, newline, rest = (self.rest + data).rpartition(b"\n")
            self.rest = rest[-LOG_CHUNK:]
            if newline:
                yield lines


class FollowedLog:
    """icecc's log while it is written: each icecc appends to the file of that name."""

    def __init__(self, path: Path, calls: OwnCalls, most: int = MAX_LOG) -> None:
        self._path, self._calls, self._most = path, calls, most
        self._parts = [_Part(path.open("rb"))]

    def read(self) -> None:
        """Take in what is new; a log that has become too long is begun anew, so that its last part is kept."""
        for part in self._parts:
            for lines in part.read():
                self._calls.feed(lines)
        with contextlib.suppress(OSError):
            status = os.fstat(self._parts[-1].file.fileno())
            if status.st_size > self._most:
                self._renew(status)

    def _renew(self, old: os.stat_result) -> None:
        """Processes that have the old file open go on writing there, where nobody but us sees it."""
        fresh = self._path.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if old.st_uid != os.geteuid():
                os.fchown(handle, old.st_uid, old.st_gid)
        finally:
            os.close(handle)
        fresh.replace(self._path)
        for part in self._parts[:-1]:
            part.file.close()
        self._parts = [self._parts[-1], _Part(self._path.open("rb"))]

    def close(self) -> None:
        """Close the files that it reads."""
        for part in self._parts:
            part.file.close()
