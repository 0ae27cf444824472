"""The history's SQLite file: opening, writing, reading, forgetting. Functions over a connection raise sqlite3.Error."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from farm.errors import NOT_JSON, FarmError
from farm.history.build_records import Build, BuildDetail, Curve, FileTime, NodeHour, NodeShare, Wait

DATABASE_SCHEMA = 1
MAX_WAL = 4 * 1024 * 1024
FORGET_STEPS = 60
"""A tenth is forgotten at each."""

_COLUMNS = ", ".join(Build.__struct_fields__)
_LATER = ("name", "run")
"""Columns of text that earlier versions of this program do not write; a file of theirs gets them when it is opened.

The schema stays 1: those versions go on working with the file, should an update be undone.
"""
_TABLES = """
CREATE TABLE IF NOT EXISTS builds (
    id INTEGER PRIMARY KEY, submitter TEXT NOT NULL, address TEXT NOT NULL,
    started REAL NOT NULL, ended REAL NOT NULL, open INTEGER NOT NULL, tag TEXT NOT NULL,
    remote INTEGER NOT NULL, own INTEGER NOT NULL, local INTEGER NOT NULL, fallback INTEGER NOT NULL,
    failed INTEGER NOT NULL, lost INTEGER NOT NULL, real_ms INTEGER NOT NULL, user_ms INTEGER NOT NULL,
    waited_ms INTEGER NOT NULL, in_bytes INTEGER NOT NULL, out_bytes INTEGER NOT NULL, most INTEGER NOT NULL,
    detail BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS builds_by_submitter ON builds (submitter, id);
CREATE INDEX IF NOT EXISTS builds_by_end ON builds (ended);
CREATE TABLE IF NOT EXISTS node_hours (
    hour INTEGER NOT NULL, node TEXT NOT NULL, jobs INTEGER NOT NULL, failed INTEGER NOT NULL,
    real_ms INTEGER NOT NULL, out_bytes INTEGER NOT NULL, PRIMARY KEY (hour, node)
) WITHOUT ROWID;
"""
_PUT_BUILD = f"INSERT OR REPLACE INTO builds ({_COLUMNS}, detail) VALUES ({'?, ' * len(Build.__struct_fields__)}?)"
_ADD_HOUR = """
INSERT INTO node_hours VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hour, node) DO UPDATE SET
    jobs = jobs + excluded.jobs, failed = failed + excluded.failed,
    real_ms = real_ms + excluded.real_ms, out_bytes = out_bytes + excluded.out_bytes
"""


class _Lists(Struct, frozen=True):
    """A build's lists, kept as one JSON value: they are always read and written together."""

    nodes: list[NodeShare]
    slowest: list[FileTime]
    failures: list[FileTime]
    waits: list[Wait]
    curve: Curve = Curve()


class NewerError(sqlite3.Error):
    """The file was written by a later version of this program."""


def open_memory() -> sqlite3.Connection:
    """A database that lasts as long as its connection."""
    return _prepared(_connect(":memory:"))


def open_file(path: Path, *, check: bool) -> tuple[sqlite3.Connection, list[BuildDetail]]:
    """Open for writing, made if missing; and the builds that an earlier process left open, which are closed there.

    ``check`` reads all of it for damage (some 0.3 s per 100 MB).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    db = _connect(f"file:{quote(str(path))}?mode=rwc")
    try:
        if check and (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise Damaged(found)
        return _prepared(db), _take_open(db)
    except BaseException:
        db.close()
        raise


def open_to_read(path: Path) -> sqlite3.Connection | None:
    """Open a file that cannot be written, None when there is none.

    In a folder that cannot be written either, SQLite wants to be told that nothing will change.
    """
    if not path.is_file():
        return None
    for unchanging in ("", "&immutable=1"):
        db = _connect(f"file:{quote(str(path))}?mode=ro{unchanging}")
        try:
            _check_version(db)
            db.execute("SELECT 1 FROM builds LIMIT 1")
        except sqlite3.OperationalError:
            db.close()
        except sqlite3.Error:
            db.close()
            raise
        else:
            return db
    return None


class Damaged(sqlite3.DatabaseError):
    """The history's file is damaged; the message is what SQLite's quick_check found."""


def is_damaged(error: sqlite3.Error) -> bool:
    """The file is no database, or a broken one."""
    return isinstance(error, Damaged) or name_of(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def name_of(error: sqlite3.Error) -> str:
    """SQLite's name for it (SQLITE_FULL); empty for an error of Python's module."""
    return getattr(error, "sqlite_errorname", "")


def set_aside(path: Path, day: str) -> Path:
    """Move a damaged file out of the way, in place of the one before it. Raises OSError."""
    aside = path.with_name(f"{path.name}.corrupt-{day}")
    path.replace(aside)
    for older in path.parent.glob(f"{path.name}.corrupt-*"):
        if older != aside:
            older.unlink()
    for part in ("-wal", "-shm"):  # they belong to the old file, and would be taken for the new one's
        path.with_name(path.name + part).unlink(missing_ok=True)
    return aside


def _connect(uri: str) -> sqlite3.Connection:
    # The caller's lock sees to it that one thread at a time uses it.
    db = sqlite3.connect(uri, uri=True, timeout=1.0, isolation_level=None, check_same_thread=False)
    db.text_factory = functools.partial(str, encoding="utf-8", errors="replace")  # one bad name hides no other build
    return db


def _check_version(db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > DATABASE_SCHEMA:
        raise NewerError(f"it has schema {version}, but only {DATABASE_SCHEMA} is known")


def _prepared(db: sqlite3.Connection) -> sqlite3.Connection:
    _check_version(db)
    if not db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA journal_size_limit = {MAX_WAL}")
    with db:
        db.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.split(";"):
            db.execute(statement)
        for column in _missing(db):
            db.execute(f"ALTER TABLE builds ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")
        db.execute(f"PRAGMA user_version = {DATABASE_SCHEMA}")
    return db


def _missing(db: sqlite3.Connection) -> list[str]:
    known = {name for (name,) in db.execute("SELECT name FROM pragma_table_info('builds')")}
    return [column for column in _LATER if column not in known]


def _readable(db: sqlite3.Connection) -> str:
    """What to select for the fields of a build, also of an earlier version's file that cannot be written."""
    missing = _missing(db)
    return ", ".join(f"'' AS {field}" if field in missing else field for field in Build.__struct_fields__)


# -- writing


def write(db: sqlite3.Connection, builds: Iterable[BuildDetail], hours: Iterable[NodeHour]) -> None:
    """Put builds as they are now, add to hours; all or nothing."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(_PUT_BUILD, (_row(detail) for detail in builds))
        db.executemany(_ADD_HOUR, ((each.hour, *astuple(each.share)) for each in hours))


def _row(detail: BuildDetail) -> tuple[object, ...]:
    lists = _Lists(detail.nodes, detail.slowest, detail.failures, detail.waits, detail.curve)
    return (*astuple(detail.build), msgspec.json.encode(lists))


def forget(db: sqlite3.Connection, before: float) -> None:
    """Drop what ended before a Unix time."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM builds WHERE ended < ?", (before,))
        db.execute("DELETE FROM node_hours WHERE hour < ?", (before,))
    db.execute("PRAGMA incremental_vacuum").fetchall()


def shrink(db: sqlite3.Connection, most: int) -> None:
    """Drop the oldest until no more than ``most`` bytes are in use."""
    for _ in range(FORGET_STEPS):
        if _bytes(db) <= most:
            return
        with db:
            db.execute("BEGIN IMMEDIATE")
            for table, key in (("builds", "id"), ("node_hours", "hour")):
                # A tenth at a time: how much room that gives is known only when it is done.
                number = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                db.execute(
                    f"DELETE FROM {table} WHERE {key} <= (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET ?)",
                    (number // 10,),
                )
        db.execute("PRAGMA incremental_vacuum").fetchall()


def _bytes(db: sqlite3.Connection) -> int:
    pages, free, size = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


# -- reading


def last_id(db: sqlite3.Connection) -> int:
    """The newest build's; 0 when there is none."""
    return int(db.execute("SELECT coalesce(max(id), 0) FROM builds").fetchone()[0])


def read_builds(db: sqlite3.Connection, limit: int, submitter: str | None, since: float | None) -> list[Build]:
    """The stored builds that match, the newest first."""
    rows = db.execute(
        f"SELECT {_readable(db)} FROM builds WHERE (?1 IS NULL OR submitter = ?1) AND (?2 IS NULL OR ended >= ?2)"
        " ORDER BY id DESC LIMIT ?3",
        (submitter, since, limit),
    )
    return [_build(row) for row in rows]


def read_build(db: sqlite3.Connection, id: int) -> BuildDetail | None:
    """One with its lists. Raises FarmError when those cannot be read."""
    row = db.execute(f"SELECT {_readable(db)}, detail FROM builds WHERE id = ?", (id,)).fetchone()
    if row is None:
        return None
    try:
        lists = msgspec.json.decode(row[-1], type=_Lists)
    except NOT_JSON as error:
        raise FarmError(f"The record of build {id} cannot be read.", str(error)) from None
    return BuildDetail(
        build=_build(row[:-1]),
        nodes=lists.nodes,
        slowest=lists.slowest,
        failures=lists.failures,
        waits=lists.waits,
        curve=lists.curve,
    )


def _build(row: tuple[object, ...]) -> Build:
    """What is open is in memory as well, and is taken from there: an open row is of a process that has ended."""
    values = dict(zip(Build.__struct_fields__, row, strict=True))
    return Build(**{**values, "open": False})  # type: ignore[arg-type]  # the columns' types are declared above


def _take_open(db: sqlite3.Connection) -> list[BuildDetail]:
    found = []
    for (id,) in db.execute("SELECT id FROM builds WHERE open").fetchall():
        with contextlib.suppress(FarmError):  # one build less is better than a farmd that does not start
            if detail := read_build(db, id):
                found.append(detail)
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE builds SET open = 0 WHERE open")
    return found


def read_hours(db: sqlite3.Connection, since: int) -> list[NodeHour]:
    """From the hour that began at ``since``."""
    rows = db.execute("SELECT hour, node, jobs, failed, real_ms, out_bytes FROM node_hours WHERE hour >= ?", (since,))
    return [NodeHour(row[0], NodeShare(*row[1:])) for row in rows]


def close(db: sqlite3.Connection) -> None:
    """Close it; whatever is wrong with the disk was said when it was written."""
    with contextlib.suppress(sqlite3.Error):
        db.close()
