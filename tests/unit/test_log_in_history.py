"""The history of log-ins: what machines tell of their screens, folded into records, and the file of these."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.history.log_in_history import LogInHistory
from farm.history.log_in_records import MAX_OF_MACHINE, Visits, after, lost
from farm.watch.node_telemetry import LoggedIn, LogInTold, SessionTold

MAC = "52:54:00:00:00:01"
AT = 1_800_000_000.0
SERVER = "10.77.0.1"
DOWN = "The server 10.77.0.1 does not answer."
OK = LogInTold(AT, "alice", SERVER)
FAILED = LogInTold(AT - 60, "alice", SERVER, DOWN)
THERE = SessionTold(ready=True, users=[LoggedIn("alice", AT + 2)], server=SERVER, log_ins=[FAILED, OK])
LEFT = SessionTold(ready=True, greeter=True, log_ins=[FAILED, OK])


def told(*sayings: tuple[SessionTold, float]) -> Visits:
    """The log-ins of a machine that has told this, so many seconds after AT."""
    visits = Visits()
    for said, seconds in sayings:
        visits = after(visits, MAC, "pc01", said, AT + seconds)
    return visits


def test_a_session_lasts_until_its_user_is_no_longer_there() -> None:
    failed, session = told((THERE, 5)).log_ins
    assert (DOWN, AT - 60, False) == (failed.failed, failed.ended, failed.lasts)
    assert ("alice", "pc01", SERVER, AT, True) == (
        session.user,
        session.node,
        session.server,
        session.began,
        session.lasts,
    )

    _, session = told((THERE, 5), (THERE, 10), (LEFT, 15)).log_ins
    assert AT + 15 == session.ended


def test_a_desktop_that_starts_has_not_ended() -> None:
    assert told((LEFT, 3)).log_ins[1].lasts
    assert told((LEFT, 3), (THERE, 40), (THERE, 45)).log_ins[1].lasts
    # One that never came up lasted no time.
    assert AT == told((LEFT, 3), (LEFT, 40)).log_ins[1].ended


def test_a_machine_that_was_away_has_ended_its_session_when_it_was_last_heard() -> None:
    visits = lost(told((THERE, 5), (THERE, 10)))
    assert AT + 10 == visits.log_ins[1].ended
    # Its cable was out, and its user is still there.
    assert after(visits, MAC, "pc01", THERE, AT + 300).log_ins[1].lasts
    # Or it has booted again.
    fresh = SessionTold(ready=True, greeter=True)
    assert AT + 10 == after(told((THERE, 5), (THERE, 10)), MAC, "pc01", fresh, AT + 300).log_ins[1].ended


def test_one_who_logs_in_again_has_two_sessions() -> None:
    again = LogInTold(AT + 100, "alice", SERVER)
    back = SessionTold(ready=True, users=[LoggedIn("alice", AT + 102)], log_ins=[FAILED, OK, again])
    _, first, second = told((THERE, 5), (LEFT, 15), (back, 105)).log_ins
    assert (AT + 15, True) == (first.ended, second.lasts)


def test_a_session_whose_log_in_nobody_noted_is_known_all_the_same() -> None:
    (session,) = told((SessionTold(ready=True, users=[LoggedIn("bob", AT)]), 5)).log_ins
    assert ("bob", AT, "", True) == (session.user, session.began, session.server, session.lasts)


def test_what_a_machine_tells_again_is_known_already() -> None:
    assert told((THERE, 5)).log_ins == told((THERE, 5), (THERE, 10), (THERE, 15)).log_ins


@pytest.mark.parametrize("wrong", [AT + 10 * 365 * 86400.0, AT - 10 * 365 * 86400.0, 1e10])
def test_a_machine_whose_clock_is_wrong(tmp_path: Path, wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead battery: its log-ins neither stand first for ever nor are too old to be shown."""
    shift = wrong - AT
    there = SessionTold(
        ready=True,
        users=[LoggedIn("alice", AT + 2 + shift)],
        log_ins=[LogInTold(each.at + shift, each.user, each.server, each.failed) for each in (FAILED, OK)],
    )
    history = LogInHistory(tmp_path / "log-ins.json")
    for seconds in (5.0, 10.0):
        history.told(MAC, "pc01", there, AT + seconds, AT - 600)
    history.flush()
    again = LogInHistory(tmp_path / "log-ins.json")
    again.load()
    again.told(MAC, "pc01", there, AT + 15, AT - 600)
    monkeypatch.setattr("time.time", lambda: AT + 20)
    assert [("alice", AT + 5, True), ("alice", AT + 5, False)] == [
        (each.user, each.began, each.lasts) for each in sorted(again.newest(), key=lambda each: each.failed)
    ]


def many(number: int) -> SessionTold:
    return SessionTold(ready=True, log_ins=[LogInTold(AT + number, f"user{number}", SERVER, DOWN)])


def test_one_machine_has_a_bounded_number_of_them() -> None:
    visits = told(*((many(number), float(number)) for number in range(MAX_OF_MACHINE + 50)))
    assert MAX_OF_MACHINE == len(visits.log_ins)
    assert "user50" == visits.log_ins[0].user
    # What was forgotten is not taken for new.
    assert visits.log_ins == after(visits, MAC, "pc01", many(3), AT + 1000).log_ins


log_ins = st.builds(
    LogInTold,
    st.integers(0, 40).map(float),
    st.sampled_from(["", "alice", "bob"]),
    st.just(SERVER),
    st.sampled_from(["", DOWN]),
)
users = st.builds(LoggedIn, st.sampled_from(["", "alice", "bob"]), st.integers(0, 40).map(float))
sayings = st.builds(
    SessionTold,
    st.booleans(),
    st.booleans(),
    st.lists(users, max_size=3),
    log_ins=st.lists(log_ins, max_size=5),
)


@given(st.lists(st.tuples(sayings, st.integers(0, 500)), max_size=8))
def test_whatever_is_told_no_record_contradicts_itself(told_then: list[tuple[SessionTold, int]]) -> None:
    visits = Visits()
    for said, time in told_then:
        visits = after(visits, MAC, "pc01", said, float(time))
        began = [each.began for each in visits.log_ins]
        assert sorted(began) == began
        for each in visits.log_ins:
            assert each.lasts or each.ended >= each.began or each.failed
            assert not (each.lasts and each.failed)
        keys = [(*each.key, bool(each.failed)) for each in visits.log_ins]
        assert len(set(keys)) == len(keys)


# -- its file


def test_the_file_has_them_for_the_next_process_and_for_root_alone(tmp_path: Path) -> None:
    path = tmp_path / "log-ins.json"
    first = LogInHistory(path, days=36500)
    first.told(MAC, "pc01", THERE, AT + 5)
    first.flush()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)

    second = LogInHistory(path, days=36500)
    os.utime(path, (AT + 10, AT + 10))
    second.load()
    session, failed = second.newest()
    # It may have ended meanwhile; its machine says when it has not.
    assert (AT + 10, DOWN) == (session.ended, failed.failed)
    second.told(MAC, "pc01", THERE, AT + 30)
    assert [True, False] == [each.lasts for each in second.newest()]
    assert [True] == [each.lasts for each in second.newest(since=AT + 20)]
    assert 1 == len(second.newest(limit=1))


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    history = LogInHistory(tmp_path / "log-ins.json", days=1)
    history.told(MAC, "pc01", SessionTold(ready=True, log_ins=[LogInTold(1e9, "alice", SERVER, DOWN)]), 1e9)
    assert [] == history.newest()


def test_a_file_that_cannot_be_written_is_said_until_it_can(tmp_path: Path) -> None:
    path = tmp_path / "log-ins.json"
    path.mkdir()
    history = LogInHistory(path)
    history.told(MAC, "pc01", THERE, AT)
    history.flush()
    assert str(path) in history.problem
    path.rmdir()
    history.flush()
    assert ("", True) == (history.problem, path.is_file())


@given(st.binary(max_size=200))
def test_a_damaged_file_is_put_aside(content: bytes) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "log-ins.json"
        path.write_bytes(content)
        history = LogInHistory(path)
        history.load()
        assert [] == history.newest()
        assert (Path(name) / "log-ins.json.unreadable").exists()
