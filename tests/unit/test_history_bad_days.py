"""The history on bad days: corrupt, removed, locked, full and read-only, with real files and file systems."""

from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from farm.errors import FarmError
from farm.history import database
from farm.history.builds import MAX_CLOSED
from tests.unit.history_jobs import START, burst, kept, opened

CLONE_NEWNS = 0x20000


@pytest.mark.parametrize(
    "content", [b"not a database" * 1000, b"SQLite format 3\x00" + os.urandom(5000)], ids=["text", "garbage"]
)
def test_a_corrupt_file_is_moved_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(content)
    (tmp_path / "history.db.corrupt-2001-01-01").touch()
    with closing(opened(path)) as history:
        burst(history)
        history.flush()

        (aside,) = tmp_path.glob("history.db.corrupt-*")
        assert content == aside.read_bytes()
        assert str(aside) in history.problem
        aside.unlink()
        history.flush()
        assert "" == history.problem
    assert [3] == kept(path)


def test_a_file_damaged_in_the_middle_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(opened(path)) as history:
        for number in range(50):
            burst(history, START + 100 * number)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)

    with closing(opened(path)) as history:
        assert [] == history.builds()
        burst(history)
        history.flush()
        assert "damaged" in history.problem
        assert [3] == [build.jobs for build in history.builds()]


def test_what_one_damaged_row_says_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(opened(path)) as history:
        burst(history)
        burst(history, START + 100)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE builds SET tag = CAST(x'61ff' AS TEXT), detail = x'7b22ff' WHERE id = 1")
    with closing(opened(path)) as history:
        assert [(2, ""), (1, "a\N{REPLACEMENT CHARACTER}")] == [(build.id, build.tag) for build in history.builds()]
        assert [] != history.build(2).nodes
        with pytest.raises(FarmError, match="The record of build 1 cannot be read"):
            history.build(1)
        assert "" == history.problem


def test_a_file_that_is_damaged_while_it_is_open_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(opened(path)) as history:
        burst(history, over=False)
        history.flush()
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        path.write_bytes(b"\xff" * path.stat().st_size)
        burst(history, START + 1, 2)
        history.flush()

        assert "damaged" in history.problem
        assert [3, 3] == [build.jobs for build in history.builds()]
    assert [3, 3] == kept(path)


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {database.DATABASE_SCHEMA + 1}")
    before = path.read_bytes()
    with closing(opened(path)) as history:
        burst(history)
        history.flush()
        assert "newer version" in history.problem
        assert [3] == [build.jobs for build in history.builds()]
    assert before == path.read_bytes()


def test_a_path_that_cannot_be_is_said_and_may_mend(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.mkdir()
    with closing(opened(path)) as history:
        burst(history)
        history.flush()
        assert "cannot be written" in history.problem
        assert str(path) in history.problem
        path.rmdir()
        history.flush()
        assert "" == history.problem
    assert [3] == kept(path)


def test_a_removed_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(opened(path)) as history:
        burst(history)
        history.flush()
        burst(history, START + 100, jobs=2, over=False)
        history.flush()
        path.unlink()
        burst(history, START + 101, jobs=1)
        history.flush()
        assert [(2, 3)] == [(build.id, build.jobs) for build in history.builds()]
    assert [3] == kept(path)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.history_jobs import burst, opened

history = opened(Path(sys.argv[1]))
for number in range(50):
    burst(history, 1000.0 * number)
    history.flush()
burst(history, 1e6, over=False)
history.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_all_that_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    killed = subprocess.run([sys.executable, "-c", KILLED, path], cwd=Path(__file__).parents[2])

    assert -signal.SIGKILL == killed.returncode
    with closing(opened(path)) as history:
        assert [(number, False, 3) for number in range(51, 0, -1)] == [
            (build.id, build.open, build.jobs) for build in history.builds()
        ]
        assert "" == history.problem


def test_another_writer_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(opened(path)) as history, closing(sqlite3.connect(path, isolation_level=None)) as other:
        history.flush()
        other.execute("BEGIN IMMEDIATE")
        burst(history)
        history.flush()
        assert "locked" in history.problem
        other.execute("ROLLBACK")
        history.flush()
        assert "" == history.problem
    assert [3] == kept(path)


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def among_own_mounts(work: Callable[[], None]) -> None:
    """Run it in a thread with a mount namespace of its own; when the thread ends, its mounts are gone."""

    def apart() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "unshare")
        mount("--make-rprivate", "/")
        work()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(apart).result()


def test_a_full_disk(tmp_path: Path) -> None:
    among_own_mounts(partial(_full_disk, tmp_path))


def _full_disk(folder: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=400k", "tmpfs", folder)
    path, ballast = folder / "history.db", folder / "ballast"
    with closing(opened(path)) as history:
        burst(history)
        history.flush()
        _fill(ballast)
        for number in range(1, 200):
            burst(history, START + 100 * number)
            history.flush()

        assert "disk is full" in history.problem
        assert f"df -h {folder}" in history.problem
        assert list(range(200, 0, -1)) == [build.id for build in history.builds(1000)]
        ballast.unlink()
        history.flush()
        assert "" == history.problem
    assert [3] * 100 == kept(path)


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    among_own_mounts(partial(_full_from_the_start, tmp_path))


def _full_from_the_start(folder: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=400k", "tmpfs", folder)
    path, ballast = folder / "history.db", folder / "ballast"
    with closing(opened(path)) as history:
        burst(history)
    _fill(ballast)
    with closing(opened(path)) as history:
        for number in range(1, 6):
            burst(history, START + 100 * number, jobs=2)
            history.flush()
        assert "cannot be written" in history.problem
        assert [2, 2, 2, 2, 2, 3] == [build.jobs for build in history.builds()]
        ballast.unlink()
        history.flush()
        assert "" == history.problem
        assert [2, 2, 2, 2, 2, 3] == [build.jobs for build in history.builds()]
    assert [2, 2, 2, 2, 2, 3] == kept(path)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_a_read_only_disk(tmp_path: Path) -> None:
    among_own_mounts(partial(_read_only, tmp_path))


def _read_only(folder: Path) -> None:
    path = folder / "history.db"
    with closing(opened(path)) as history:
        burst(history)
    mount("--bind", folder, folder)
    mount("-o", "remount,bind,ro", folder)
    with closing(opened(path)) as history:
        burst(history, START + 100, jobs=2)
        history.flush()
        assert "cannot be written" in history.problem
        assert f"ls -l {path}" in history.problem
        assert [(2, 2), (1, 3)] == [(build.id, build.jobs) for build in history.builds()]
        assert 3 == history.build(1).build.jobs
        mount("-o", "remount,bind,rw", folder)
        history.flush()
        assert "" == history.problem
    assert [2, 3] == kept(path)


def test_a_history_of_a_read_only_folder_stays_in_bounds(tmp_path: Path) -> None:
    path = tmp_path / "file" / "history.db"
    path.parent.touch()
    with closing(opened(path)) as history:
        for number in range(MAX_CLOSED + 50):
            burst(history, START + 100 * number, jobs=1)
            history.flush()
        assert MAX_CLOSED == len(history.builds(10_000))
