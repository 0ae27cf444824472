"""The history of log-ins: in memory, and in a file of the farm's state that only root can read."""

from __future__ import annotations

import contextlib
import threading
import time as clock
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from farm.config import HistoryConfig
from farm.errors import NOT_JSON
from farm.history.log_in_records import LogInRecord, Visits, after, lost
from farm.home import write_atomic
from farm.watch.node_telemetry import SessionTold

MOST = 5000
"""Log-ins that are kept, of all machines."""
DAY = 86400.0
LASTING_SECONDS = 60.0
"""The file is written so often while sessions last: its time says until when they certainly did."""


class _File(Struct, frozen=True):
    schema: Literal[1]
    log_ins: list[LogInRecord]


class LogInHistory:
    """What is remembered of log-ins, in ``path``, for so many ``days``.

    What is told is folded in memory; `flush` writes what is new, and is meant for a thread of its own.
    """

    def __init__(self, path: Path, *, days: int = HistoryConfig().days) -> None:
        self.problem = ""
        """What is wrong and what to do about it; empty when nothing is."""
        self._path, self._days = path, days
        self._machines: dict[str, Visits] = {}
        self._changes = threading.Lock()
        self._changed = False
        self._written = clock.monotonic()

    def load(self) -> None:
        """Learn what an earlier process wrote: what lasted then is over, unless its machine tells otherwise."""
        with contextlib.suppress(OSError):
            try:
                told = self._path.stat().st_mtime
                found = msgspec.json.decode(self._path.read_bytes(), type=_File).log_ins
            except NOT_JSON:
                self._path.replace(self._path.with_name(f"{self._path.name}.unreadable"))
                return
            self._begin_with(found, told)

    def _begin_with(self, found: list[LogInRecord], told: float) -> None:
        with self._changes:
            for mac in {each.mac for each in found}:
                self._machines[mac] = lost(Visits(tuple(each for each in found if each.mac == mac), told))

    def told(self, mac: str, node: str, said: SessionTold, time: float, booted: float = 0.0) -> None:
        """A machine that started at Unix ``booted`` has told who is there, at Unix ``time``."""
        with self._changes:
            before = self._machines.get(mac, Visits())
            self._put(mac, before, after(before, mac, node, said, time, booted))

    def lost(self, mac: str) -> None:
        """A machine is not heard of any more."""
        with self._changes:
            if (before := self._machines.get(mac)) is not None:
                self._put(mac, before, lost(before))

    def _put(self, mac: str, before: Visits, visits: Visits) -> None:
        self._changed |= before.log_ins != visits.log_ins
        self._machines[mac] = visits

    def newest(self, limit: int = MOST, since: float = 0.0) -> list[LogInRecord]:
        """The newest first; only those whose session lasted at Unix ``since`` or later."""
        oldest = clock.time() - self._days * DAY
        with self._changes:
            found = [
                each
                for visits in self._machines.values()
                for each in visits.log_ins
                if each.began >= oldest and (each.lasts or each.ended >= since)
            ]
        return sorted(found, key=lambda each: each.began, reverse=True)[:limit]

    def flush(self) -> None:
        """Write what has changed; a file that cannot be written is said, and tried again."""
        now = clock.monotonic()
        with self._changes:
            lasting = any(each.lasts for visits in self._machines.values() for each in visits.log_ins)
            if not self._changed and not (lasting and now - self._written > LASTING_SECONDS):
                return
            self._changed, self._written = False, now
        content = msgspec.json.encode(_File(1, self.newest()))
        try:
            write_atomic(self._path, content, 0o600)
            self.problem = ""
        except OSError as error:
            self._changed = True
            self.problem = f"The history of log-ins cannot be written: {self._path}: {error.strerror}."
