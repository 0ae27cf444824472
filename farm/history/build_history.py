"""The history: builds in memory while they grow, and in SQLite.

`record` and `tick` only fold in memory and never wait for a disk. `flush` writes what is new, at most a second's worth,
and is meant for a thread of its own, as are the questions (``await asyncio.to_thread(history.builds, 20)``). A disk
that cannot be written leaves the history in memory, within bounds, and ``problem`` says so until it can.
"""

from __future__ import annotations

import sqlite3
import threading
import time as clock
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from immutables import Map
from msgspec.structs import replace

from farm.config import HistoryConfig as Limits
from farm.errors import FarmError
from farm.history import builds, database, node_hours, stored_builds
from farm.history.build_records import Build, BuildDetail, NodeHour
from farm.history.builds import MAX_CLOSED, Burst, Ledger
from farm.history.node_hours import HOUR
from farm.history.runs import BuildKey, RunNews
from farm.watch.activity import Activity

DAYS, MEGABYTES = Limits().days, Limits().megabytes
"""As farm.yaml has them unless set."""
MEMORY_BYTES = 32_000_000
WRITE_RETRY_SECONDS = 5.0
"""After a failed write."""
DAY = 86400
MAX_ID = 2**63 - 1
"""The largest integer that SQLite can hold."""

Answer = TypeVar("Answer")


class BuildHistory:
    """What is remembered of builds, in ``path``, or while the process lasts when that is None.

    ``days`` and ``megabytes`` say how long, and how much at most.
    """

    def __init__(
        self, path: Path | None, *, days: int = DAYS, megabytes: int = MEGABYTES, retry: float = WRITE_RETRY_SECONDS
    ) -> None:
        self.problem = ""
        """What is wrong and what mends it, in a sentence or two; empty when nothing is."""
        self._path, self._days, self._retry = path, days, retry
        self._most = megabytes * 1_000_000 if path else MEMORY_BYTES
        self._ledger = Ledger()
        self._changes = threading.Lock()
        """Held while the ledger changes: never for long."""
        self._disk = threading.Lock()
        """Held while the database is used."""
        self._db: sqlite3.Connection | None = None
        self._writable = self._checked = self._numbered = False
        self._written: Map[BuildKey, Burst] = Map()
        """Open builds as they were last written."""
        self._aside: Path | None = None
        self._next_try = self._next_forget = 0.0
        self._before: Activity | None = None
        self._since = 0.0

    # -- what happens

    def record(self, activity: Activity, before: int) -> None:
        """The jobs with numbers beyond ``before`` have ended."""
        with self._changes:
            ledger = self._ledger
            for number in range(max(before, activity.count - len(activity.ended)) + 1, activity.count + 1):
                if job := activity.ended.get(number):
                    ledger = builds.ended(ledger, job)
            self._ledger = ledger

    def tick(self, activity: Activity, time: float) -> None:
        """A second has passed, it is Unix ``time``: who waits for whom, and which builds are over."""
        before, since = self._before or activity, self._since or time
        self._before, self._since = activity, time
        with self._changes:
            self._ledger = builds.moment(self._ledger, before, activity, since, time)
        if self._path is None:
            self.flush()

    def tag(self, submitter: str, text: str) -> None:
        """Call a submitter's build (by the name of its daemon) that; the next one, when none has been seen yet."""
        with self._changes:
            self._ledger = builds.tagged(self._ledger, submitter, text, clock.time())

    def run_told(self, news: RunNews) -> list[int]:
        """A `farm run` tells of itself: it is one build. Those of its jobs that another run has claimed before."""
        with self._changes:
            self._ledger = builds.run_told(self._ledger, news, clock.time())
            claimed = self._ledger.runs.claimed
        return [job for job in news.jobs if claimed.get(job, news.run) != news.run]

    def flush(self) -> None:
        """Write what is new. Nothing is lost, and nothing raised, when that fails: ``problem`` tells."""
        if clock.monotonic() < self._next_try:
            return
        with self._disk:
            try:
                self._mended(self._write)
            except (sqlite3.Error, OSError) as error:
                self._failed(error)
            else:
                if self._writable:
                    self._succeeded()

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._next_try = 0.0
        self.flush()
        with self._disk:
            self._drop()

    # -- what is asked

    def builds(self, limit: int = 100, submitter: str | None = None, since: float | None = None) -> list[Build]:
        """The newest first; of one submitter, or those that ended at Unix time ``since`` or later, when asked so."""
        with self._disk:
            stored = self._read(lambda db: database.read_builds(db, limit, submitter, since)) or []
            held = [burst.build for burst in self._held()]
        known = {build.id for build in held}
        found = [
            build
            for build in held
            if (submitter is None or build.submitter == submitter) and (since is None or build.ended >= since)
        ]
        found += (build for build in stored if build.id not in known)
        return sorted(found, key=lambda build: -build.id)[:limit]

    def build(self, id: int) -> BuildDetail:
        """One of them. Raises FarmError when there is none."""
        with self._disk:
            stored = self._read(lambda db: database.read_build(db, id)) if id <= MAX_ID else None
            found = next((burst.detail() for burst in self._held() if burst.build.id == id), stored)
        if found is None:
            why = "The number is wrong, or the build was so long ago that it has been removed."
            raise FarmError(f"There is no build {id}.", self.problem or why, "List them: farm history")
        return found

    def node_hours(self, hours: int = 24) -> list[NodeHour]:
        """What each node did for others and itself in the last hours, the present one included; the newest first."""
        since = (int(clock.time() // HOUR) - hours + 1) * HOUR
        with self._disk:
            stored = self._read(lambda db: database.read_hours(db, since)) or []
            fresh = self._ledger.hours
        shares = {(each.hour, each.share.node): each.share for each in stored}
        for key, share in fresh.items():
            if key[0] >= since:
                shares[key] = node_hours.joined(shares[key], share) if key in shares else share
        found = [NodeHour(hour, share) for (hour, _), share in shares.items()]
        return sorted(found, key=lambda each: (-each.hour, -each.share.jobs, each.share.node))

    def _held(self) -> list[Burst]:
        ledger = self._ledger
        return [*ledger.open.values(), *ledger.closed]

    def _read(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer | None:
        try:
            return self._mended(lambda: question(db) if (db := self._opened()) else None)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return None

    # -- the database; all of it with the disk's lock held

    def _mended(self, work: Callable[[], Answer]) -> Answer:
        """Do it, and once more with a new file when the old one is damaged."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if self._path is None or not database.is_damaged(error):
                raise
        self._drop()
        self._aside = database.set_aside(self._path, datetime.now(UTC).date().isoformat())
        self._next_try = 0.0
        return work()

    def _opened(self) -> sqlite3.Connection | None:
        """The connection there is, or one to write, or else one to read, or None."""
        if self._writable and self._path is not None and not self._path.exists():
            self._drop()  # somebody removed it: what is written there would be gone with this process
        if self._db is None and self._path is None:
            self._adopt(database.open_memory(), writable=True)
        elif self._path is not None and not self._writable and clock.monotonic() >= self._next_try:
            try:
                db, left = database.open_file(self._path, check=not self._checked)
            except (sqlite3.OperationalError, OSError) as error:
                self._failed(error)
                if self._db is None and (reader := database.open_to_read(self._path)):
                    self._adopt(reader, writable=False)
            else:
                self._checked = True
                self._adopt(db, left, writable=True)
        return self._db

    def _adopt(self, db: sqlite3.Connection, left: Sequence[BuildDetail] = (), *, writable: bool) -> None:
        try:
            last = database.last_id(db)
        except sqlite3.Error:
            database.close(db)
            raise
        self._drop()
        self._db, self._writable = db, writable
        if not self._numbered:
            self._numbered = True
            with self._changes:
                self._ledger = stored_builds.resumed(stored_builds.renumbered(self._ledger, last), left, clock.time())

    def _write(self) -> None:
        db = self._opened()
        if db is None or not self._writable:
            return
        with self._changes:
            now = self._ledger
            self._ledger = replace(now, hours=Map())
        changed = [burst for key, burst in now.open.items() if self._written.get(key) is not burst]
        try:
            if changed or now.closed or now.hours:
                hours = [NodeHour(hour, share) for (hour, _), share in now.hours.items()]
                database.write(db, (burst.detail() for burst in (*now.closed, *changed)), hours)
        except BaseException:
            with self._changes:
                self._ledger = replace(self._ledger, hours=node_hours.add_hours(now.hours, self._ledger.hours))
            raise
        self._written = now.open
        with self._changes:
            self._ledger = stored_builds.without_written(self._ledger, now)
        if clock.monotonic() >= self._next_forget:
            self._next_forget = clock.monotonic() + HOUR
            database.forget(db, clock.time() - self._days * DAY)
        database.shrink(db, self._most)

    def _drop(self) -> None:
        if self._db is not None:
            database.close(self._db)
        self._db, self._writable, self._written = None, False, Map()

    def _failed(self, error: Exception) -> None:
        """Say it; the next try is later, with a new connection unless room is all that is missing."""
        self._next_try = clock.monotonic() + self._retry
        name = database.name_of(error) if isinstance(error, sqlite3.Error) else ""
        kept = f"Meanwhile, the last {MAX_CLOSED} builds are kept in memory."
        if name == "SQLITE_FULL":
            self.problem = (
                f"The history cannot be written: the disk is full. {kept} Free some space: df -h {self._folder}"
            )
            return
        if isinstance(error, database.NewerError):
            mend = f"Update this program, or move {self._path} away."
            self.problem = f"The history cannot be written: a newer version wrote it, {error}. {kept} {mend}"
        else:
            self.problem = (
                f"The history cannot be written: {error}. {kept} Make it writable for farmd: ls -l {self._path}*"
            )
        if self._writable:
            self._drop()

    @property
    def _folder(self) -> Path | str:
        return self._path.parent if self._path else ""

    def _succeeded(self) -> None:
        self._next_try = 0.0
        self.problem = ""
        if self._aside is not None and self._aside.exists():
            self.problem = (
                "The history was damaged, so a new one was started. You can examine or remove the old one: "
                f"{self._aside}"
            )
