from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from farm.activity import Activity
from farm.errors import FarmError
from farm.history import database
from farm.history.builds import HOUR, MAX_CLOSED, QUIET_SECONDS
from farm.history.records import NodeShare, Wait
from farm.history.store import History
from tests.unit.history_jobs import START, asked, begun, compiled, daemons, local

CLONE_NEWNS = 0x20000
FARM = daemons("ws01", "ws02", "pc01")


def burst(history: History, time: float = START, submitter: int = 1, jobs: int = 3, *, over: bool = True) -> None:
    """A build of a few jobs that end at one time; ``over``: and then it is quiet."""
    activity = FARM
    for job in range(jobs):
        activity = compiled(activity, job, submitter, 3, time)
    history.record(activity, 0)
    history.tick(activity, time)
    if over:
        history.tick(activity, time + QUIET_SECONDS + 1)


def opened(path: Path | None, **more: float) -> History:
    """A history that tries again at once, and forgets nothing of what is long ago."""
    return History(path, days=36500, retry=0.0, **more)  # type: ignore[arg-type]


def kept(path: Path) -> list[int]:
    """The numbers of jobs of all builds, as another process would read them later."""
    with closing(opened(path)) as history:
        return [build.jobs for build in history.builds()]


# -- what is remembered


@pytest.mark.parametrize("stored", [False, True])
def test_builds_are_told_newest_first(tmp_path: Path, stored: bool) -> None:
    with closing(opened(tmp_path / "history.db" if stored else None)) as history:
        for number in range(4):
            burst(history, START + 100 * number, 1 + number % 2)
            if number != 3:
                history.flush()

        assert [4, 3, 2, 1] == [build.id for build in history.builds()]
        assert [4, 3] == [build.id for build in history.builds(2)]
        assert [3, 1] == [build.id for build in history.builds(submitter="ws01")]
        assert [4, 3] == [build.id for build in history.builds(since=START + 200)]
        assert [] == history.builds(submitter="ws03")
        assert [NodeShare("pc01", 3, 0, 300, 6000)] == history.build(2).nodes
        with pytest.raises(FarmError, match="no build 9"):
            history.build(9)


def test_an_open_build_is_told_as_it_is_now(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "history.db")) as history:
        burst(history, over=False)
        history.flush()
        activity = begun(asked(FARM, 10, 1, START + 5), 10, 3, START + 6)
        history.tick(activity, START + 8)

        (build,) = history.builds()
        assert (True, 3, START + 8) == (build.open, build.jobs, build.ended)
        assert build == history.build(1).build


def test_all_of_a_build_is_stored(tmp_path: Path) -> None:
    activity = compiled(FARM, 1, 1, 3, START, exit=1)
    activity = local(activity, 2, 1, START + 1)
    with closing(opened(tmp_path / "history.db")) as history:
        history.record(activity, 0)
        waiting = asked(begun(asked(activity, 3, 2, START), 3, 3, START), 4, 1, START)
        history.tick(waiting, START + 2)
        history.tick(waiting, START + 3)
        before = history.build(1)
    with closing(opened(tmp_path / "history.db")) as history:
        after = history.build(1)

    assert [Wait("ws02", 1.0)] == after.waits
    assert (1, 2) == (len(after.failures), len(after.slowest))
    assert (True, False) == (before.build.open, after.build.open)
    assert (before.nodes, before.slowest, before.failures) == (after.nodes, after.slowest, after.failures)


def test_a_restart_loses_what_was_not_flushed_and_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    killed = opened(path)
    burst(killed, jobs=2, over=False)
    killed.flush()
    burst(killed, START + 1, jobs=1, over=False)

    with closing(opened(path)) as history:
        burst(history, START + 10, over=False)
        history.flush()

        assert [(2, True, 3), (1, False, 2)] == [(build.id, build.open, build.jobs) for build in history.builds()]
    killed.close()


def test_hours_of_nodes_outlive_a_restart(tmp_path: Path) -> None:
    now = time.time()
    for _ in range(3):
        with closing(opened(tmp_path / "history.db")) as history:
            burst(history, now)
            unwritten = history.node_hours()
            history.flush()
            assert unwritten == history.node_hours()

    assert [NodeShare("pc01", 9, 0, 900, 18000)] == [each.share for each in unwritten]
    assert now - HOUR < unwritten[0].hour <= now


def test_many_threads_may_ask_while_one_records(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "history.db")) as history:
        over = threading.Event()
        counts: list[list[int]] = [[], []]

        def ask(mine: list[int]) -> None:
            while not over.is_set():
                mine.append(sum(build.jobs for build in history.builds(1000)))
                mine.append(sum(build.jobs for build in history.builds(1000)))
                history.flush()

        with ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(ask, mine) for mine in counts]
            for number in range(300):
                burst(history, START + 100 * number, jobs=2)
            over.set()
            for each in asking:
                each.result()

        for mine in counts:
            assert mine == sorted(mine)
        assert 600 == sum(build.jobs for build in history.builds(1000))


# -- what is forgotten


def test_builds_are_forgotten_after_some_days(tmp_path: Path) -> None:
    now = time.time()
    with closing(History(tmp_path / "history.db", days=7)) as history:
        burst(history, now - 8 * 86400)
        burst(history, now - 6 * 86400)
        history.flush()

        assert [2] == [build.id for build in history.builds()]


@pytest.mark.parametrize("stored", [False, True])
def test_the_oldest_go_when_it_grows_too_large(tmp_path: Path, stored: bool) -> None:
    path = tmp_path / "history.db"
    with closing(opened(path if stored else None, megabytes=8)) as history:
        history._most = 200_000
        for number in range(300):
            burst(history, START + 100 * number, jobs=20)
            history.flush()
        ids = [build.id for build in history.builds(1000)]

        assert list(range(300, 300 - len(ids), -1)) == ids
        assert 20 < len(ids) < 300
    if stored:
        assert path.stat().st_size < 300_000


# -- bad days


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
        db.execute(f"PRAGMA user_version = {database.SCHEMA + 1}")
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
        assert "not written" in history.problem
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
from tests.unit.test_history_store import burst, opened

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
        assert "not written" in history.problem
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
        assert "not written" in history.problem
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


def test_recording_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(opened(path)) as history:
        with history._disk:  # as during a write that hangs
            burst(history)
        assert [3] == [build.jobs for build in history.builds()]


def test_only_what_is_new_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write = database.write

    def count(db: sqlite3.Connection, builds: object, hours: object) -> None:
        details = list(builds)  # type: ignore[call-overload]
        written.append(len(details))
        write(db, details, hours)  # type: ignore[arg-type]

    monkeypatch.setattr(database, "write", count)
    with closing(opened(tmp_path / "history.db")) as history:
        burst(history, over=False)
        history.flush()
        history.flush()
        history.tick(Activity(), START + 1)
        history.flush()
    assert [1] == written
