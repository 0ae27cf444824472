from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from farm.errors import FarmError
from farm.history import database
from farm.history.build_history import BuildHistory
from farm.history.build_records import NodeShare, Wait
from farm.history.node_hours import HOUR
from farm.history.runs import QUIET_SECONDS, RunNews
from farm.watch.activity import Activity
from tests.unit.history_jobs import FARM, START, asked, begun, burst, compiled, local, opened

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


def test_a_build_goes_on_after_a_restart_in_the_midst_of_it(tmp_path: Path) -> None:
    path, now = tmp_path / "history.db", time.time()
    killed = opened(path)
    burst(killed, now - QUIET_SECONDS - 5, submitter=2, over=False)
    burst(killed, now - 2, jobs=2, over=False)
    killed.flush()
    before = killed.build(2)

    with closing(opened(path)) as history:
        history.flush()
        assert before == history.build(2)
        burst(history, now, jobs=3, over=False)
        found = [(build.id, build.submitter, build.open, build.jobs) for build in history.builds()]
        assert [(2, "ws01", True, 5), (1, "ws02", False, 3)] == found
        assert before.build.started == history.build(2).build.started
        assert [NodeShare("pc01", 5, 0, 500, 10000)] == history.build(2).nodes
    with closing(opened(path)) as history:
        assert [5, 3] == [build.jobs for build in history.builds()]
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
    with closing(BuildHistory(tmp_path / "history.db", days=7)) as history:
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


# -- a file of an earlier version

EARLIER = """
CREATE TABLE builds (
    id INTEGER PRIMARY KEY, submitter TEXT NOT NULL, address TEXT NOT NULL,
    started REAL NOT NULL, ended REAL NOT NULL, open INTEGER NOT NULL, tag TEXT NOT NULL,
    remote INTEGER NOT NULL, own INTEGER NOT NULL, local INTEGER NOT NULL, fallback INTEGER NOT NULL,
    failed INTEGER NOT NULL, lost INTEGER NOT NULL, real_ms INTEGER NOT NULL, user_ms INTEGER NOT NULL,
    waited_ms INTEGER NOT NULL, in_bytes INTEGER NOT NULL, out_bytes INTEGER NOT NULL, most INTEGER NOT NULL,
    detail BLOB NOT NULL
);
CREATE TABLE node_hours (
    hour INTEGER NOT NULL, node TEXT NOT NULL, jobs INTEGER NOT NULL, failed INTEGER NOT NULL,
    real_ms INTEGER NOT NULL, out_bytes INTEGER NOT NULL, PRIMARY KEY (hour, node)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
PUT_EARLIER = """
INSERT OR REPLACE INTO builds (id, submitter, address, started, ended, open, tag, remote, own, local, fallback, failed,
    lost, real_ms, user_ms, waited_ms, in_bytes, out_bytes, most, detail)
VALUES (?, 'ws01', '10.77.0.1', 1700000000, 1700000009, 0, 'make', 7, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1,
    '{"nodes":[],"slowest":[],"failures":[],"waits":[]}')
"""


def test_a_file_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """Also with that version: what has come since it passes over."""
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(EARLIER)
        db.execute(PUT_EARLIER, (1,))
        db.commit()
    reader = database.open_to_read(path)
    assert reader is not None
    with closing(reader):
        assert [("make", "")] == [(build.tag, build.name) for build in database.read_builds(reader, 9, None, None)]
    with closing(opened(path)) as history:
        since = time.time() - START + 9
        news = RunNews(submitter="ws02", run="00112233", name="zstd/make", seconds=since, jobs=[0, 1, 2])
        history.run_told(news)
        burst(history, START + 100, 2)
    with closing(sqlite3.connect(path)) as db:
        db.execute(PUT_EARLIER, (3,))
        db.commit()
    with closing(opened(path)) as history:
        assert [(3, "", "", 7), (2, "zstd/make", "00112233", 3), (1, "", "", 7)] == [
            (build.id, build.name, build.run, build.jobs) for build in history.builds()
        ]
        assert "make" == history.build(1).build.tag
