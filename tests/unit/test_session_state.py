"""What machines tell of the people at their screens: read on the machine, taken by the server, shown, and judged."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from farm.cli.session import log_ins_table, sessions_table
from farm.errors import NOT_JSON
from farm.history.log_in_records import LogInRecord
from farm.node.roles.session import MAX_LOG_INS, SessionProbe, server_of
from farm.node.session import round_trip
from farm.node.session.pam import unsaved
from farm.node.session.pam.log_ins import LogInNoted, note
from farm.node.session.pam.login_failure import FailureKind, LoginFailure
from farm.view.boot import marks
from farm.view.idle import idle_reason
from farm.view.session_words import (
    extra_lines,
    failed_lately,
    failing,
    kind_of,
    log_in_problems,
    round_trip_words,
    unsaved_problems,
)
from farm.watch.events import Stage
from farm.watch.node_telemetry import LoggedIn, LogInTold, SessionTold, parse, plain_value
from tests.unit.test_session_role import MAC, NOBODY, shown, state_of
from tui.anonymize import Mask

AT = 1_800_000_000.0
SERVER = "10.77.0.1"
DOWN = LoginFailure(FailureKind.SILENT, SERVER).sentence
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
)

# -- on the machine


def test_the_last_log_ins_are_told(tmp_path: Path) -> None:
    file = str(tmp_path / "log-ins")
    probe = SessionProbe(str(tmp_path), "", "no-such-greeter", noted=file)
    assert "log_ins" not in probe.look()
    for number in range(MAX_LOG_INS + 5):
        note(f"user{number}", SERVER, DOWN if number % 2 else "", file=file)
    told = probe.look()["log_ins"]
    assert (MAX_LOG_INS, f"user{MAX_LOG_INS + 4}", SERVER) == (len(told), told[-1]["user"], told[-1]["server"])
    assert DOWN == told[-2]["failed"]
    assert [LogInTold(**each) for each in told] == taken(log_ins=told).log_ins


def test_what_may_not_have_been_written_is_told_and_a_problem_for_an_hour(tmp_path: Path) -> None:
    file = str(tmp_path / "unsaved.json")
    probe = SessionProbe(str(tmp_path), "", "no-such-greeter", log_outs=file)
    assert "unsaved" not in probe.look()
    unsaved.note("alice", "A stick was in use.", file)
    told = taken(unsaved=probe.look()["unsaved"])
    assert told.unsaved
    assert ("alice", "A stick was in use.") == (told.unsaved.user, told.unsaved.said)

    state = state_of(replace(told, unsaved=replace(told.unsaved, at=136.0)))
    (problem,) = unsaved_problems(state)
    assert ("log-out-unsaved", "pc01") == (problem.code, problem.about)
    assert "Something may not have been written when alice logged out at pc01." == problem.what
    assert [] == [*unsaved_problems(state_of(replace(told, unsaved=replace(told.unsaved, at=136.0 - 4000))))]


@pytest.mark.parametrize("content", ["", "[]", '{"at": "x"}', '{"at": 1}', "{" * 5000])
def test_a_note_of_a_log_out_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "unsaved.json").write_text(content)
    assert None is unsaved.noted(str(tmp_path / "unsaved.json"))


def test_where_somebody_logged_in_is_told_by_the_log_in_that_succeeded() -> None:
    noted = [LogInNoted(1.0, "alice", "one"), LogInNoted(2.0, "alice", "two", "No.")]
    assert ("one", "", "") == (server_of("alice", noted), server_of("bob", noted), server_of("bob", []))


SS = (
    '0      0      10.99.7.20:43210 10.99.7.1:22    users:(("{program}",pid=7,fd=3)) timer:(keepalive,4sec,0)'
    " uid:{uid} ino:1 sk:1 cgroup:/ <-> ts sack cubic rto:204 rtt:{rtt}/0.75 ato:40 mss:1448\n"
)


def test_the_round_trip_is_that_of_the_log_ins_own_connection() -> None:
    others = SS.format(program="sshd", uid=64000, rtt="9") + SS.format(program="ssh", uid=0, rtt="8")
    mine = SS.format(program="ssh", uid=64000, rtt="1.25")
    assert None is round_trip.of_listing(others, 64000)
    assert 0.00125 == round_trip.of_listing(others + mine, 64000)
    assert None is round_trip.of_listing(SS.format(program="ssh", uid=6400, rtt="1"), 64000)


@given(st.text())
def test_any_listing_is_tolerated(text: str) -> None:
    round_trip.of_listing(text, 64000)


# -- on the server

MACHINE = {"farm": "lab", "name": "pc01", "mac": MAC, "uptime": 20.0}


def taken(**session: object) -> SessionTold:
    """What the server takes of what a machine tells."""
    document = {**MACHINE, "roles": {"session": {"ready": True, **session}}}
    told = parse(json.dumps(document).encode())[1].session
    assert told is not None
    return told


def test_all_that_is_told_arrives() -> None:
    sound = {"running": True, "output": "HDA Intel", "volume": 90, "microphone": False}
    sticks = [{"label": "PHOTOS", "size": 4 << 30, "filesystem": "vfat", "state": "shared"}]
    log_in = {"at": AT, "user": "alice", "server": SERVER, "failed": ""}
    told = taken(
        users=[{"name": "alice", "since": AT}],
        server=SERVER,
        round_trip=0.0004,
        log_ins=[log_in],
        extras={"sound": sound, "sticks": sticks},
    )
    assert (SERVER, 0.0004, [LogInTold(AT, "alice", SERVER)]) == (told.server, told.round_trip, told.log_ins)
    assert {"sound": sound, "sticks": sticks} == told.extras


def test_what_is_typed_at_a_screen_is_made_fit_to_show() -> None:
    evil = "\x1b[31mroot\n\u202e"
    told = taken(
        users=[{"name": evil}],
        server=evil,
        log_ins=[{"at": 1, "user": evil, "server": evil, "failed": evil}],
        extras={"sticks": [{"label": evil}], evil[:9]: {evil: [evil]}},
    )
    assert all(each.isprintable() for each in _texts(msgspec.to_builtins(told)))


def _texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for each in value for text in _texts(each)]
        case dict():
            return [text for pair in value.items() for each in pair for text in _texts(each)]
    return []


@given(ANY)
def test_extras_of_any_kind_are_bounded_and_can_be_told_again(value: object) -> None:
    plain = plain_value(value)
    assert all(text.isprintable() for text in _texts(plain))
    again = msgspec.json.decode(msgspec.json.encode(plain))
    for name, words in extra_lines({"thing": again}):
        assert ("thing", True) == (name, words.isprintable())


@given(st.dictionaries(st.sampled_from(["users", "server", "round_trip", "log_ins", "extras", "greeter"]), ANY))
def test_an_agent_is_understood_or_refused(session: dict[str, object]) -> None:
    document = {**MACHINE, "roles": {"session": {"ready": True, **session}}}
    try:
        parse(json.dumps(document).encode())
    except NOT_JSON:
        return


def test_what_each_extra_tells_is_a_line() -> None:
    extras: dict[str, object] = {
        "sound": {"running": True, "output": "HDA Intel", "volume": 90, "microphone": False},
        "sticks": {"sticks": [{"label": "A", "size": 4 << 30, "state": "shared"}, {"label": "B", "read_only": True}]},
        "printers": [{"model": "HP LaserJet", "device": "usb/lp0", "port": 9100, "busy": False}],
        "odd": 7,
        "none": [],
    }
    assert [
        ("sound", "running, output HDA Intel, volume 90 %, microphone: no"),
        ("sticks", "label A, 4.0 GiB, state shared"),
        ("sticks", "label B, read only"),
        ("printers", "model HP LaserJet, device usb/lp0, port 9100, busy: no"),
        ("odd", "7"),
    ] == extra_lines(extras)
    assert ("0.4 ms", "25 ms", "1.2 s") == tuple(map(round_trip_words, (0.0004, 0.025, 1.2)))


# -- why nobody can log in


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("words", ["", "maintenance until noon"])
def test_a_sentence_tells_its_kind(kind: FailureKind, words: str) -> None:
    assert kind is kind_of(LogInTold(AT, "alice", SERVER, LoginFailure(kind, SERVER, words).sentence))


def failures(*kinds: FailureKind) -> list[LogInTold]:
    """Log-ins that failed so, a minute apart, the last one at AT."""
    sentences = [LoginFailure(kind, SERVER).sentence for kind in kinds]
    return [
        LogInTold(AT - 60 * (len(kinds) - number), "alice", SERVER, sentence)
        for number, sentence in enumerate(sentences, 1)
    ]


SILENT, PASSWORD = FailureKind.SILENT, FailureKind.PASSWORD


def test_a_reason_that_is_not_the_users_own_is_counted_back_to_the_last_that_was_another() -> None:
    why = failing(failures(SILENT, PASSWORD, SILENT, SILENT), AT)
    assert why is not None
    assert (SILENT, 2, DOWN) == (why.kind, why.times, why.sentence)
    assert "systemctl status ssh" in why.fix("pc01")
    key = failing(failures(FailureKind.CHANGED_KEY), AT)
    assert key is not None
    assert "sudo farm node reboot pc01" in key.fix("pc01")
    own = "The server 10.77.0.1 does not let you in now: go home."
    closed = failing([LogInTold(AT, "alice", SERVER, own)], AT)
    assert closed is not None
    assert "home" not in closed.sentence
    strange = failing([LogInTold(AT, "alice", SERVER, "Something new.")], AT)
    assert strange is not None
    assert "farm node show pc01" in strange.fix("pc01")


@pytest.mark.parametrize(
    "log_ins, later",
    [
        ([], 0.0),
        (failures(SILENT, PASSWORD), 0.0),
        (failures(SILENT, SILENT), 4000.0),
        ([*failures(SILENT, SILENT), LogInTold(AT + 1, "alice", SERVER)], 0.0),
    ],
)
def test_otherwise_nothing_is_wrong(log_ins: list[LogInTold], later: float) -> None:
    assert None is failing(log_ins, AT + later)


def told(*kinds: FailureKind) -> SessionTold:
    return SessionTold(ready=True, greeter=True, log_ins=[replace(each, at=136.0) for each in failures(*kinds)])


def test_it_is_a_problem_of_the_farm_and_the_reason_why_nobody_is_there() -> None:
    (problem,) = log_in_problems(state_of(told(SILENT, SILENT)))
    assert ("log-ins-fail", "pc01") == (problem.code, problem.about)
    assert f"Log-ins at pc01 fail: {DOWN}" == problem.what
    assert [] == [*log_in_problems(state_of(told(SILENT)))]
    assert [] == [*log_in_problems(state_of(told(PASSWORD, PASSWORD)))]
    node = shown(told(SILENT))
    reason = idle_reason(node, [node], NOBODY, 140.0)
    assert reason is not None
    assert ("log-ins-fail", f"Log-ins fail: {DOWN}") == (reason.code, reason.why)


# -- as it is printed


def printed(table: object) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_machine_shows_who_is_there_or_why_the_last_log_in_failed() -> None:
    now = time.mktime((2027, 1, 15, 12, 0, 0, 0, 0, -1))
    there = SessionTold(ready=True, users=[LoggedIn("alice", now - 600)], server=SERVER, round_trip=0.0004)
    assert f"pc01 session alice since 11:50 {SERVER} 0.4 ms" == printed(sessions_table([shown(there)], now))[1]
    failed = SessionTold(ready=True, greeter=True, log_ins=[LogInTold(now - 60, "bob", SERVER, DOWN)])
    assert f"pc01 greeter log-in failed: {DOWN}" == printed(sessions_table([shown(failed)], now))[1]
    assert failed_lately(failed, now + 3600) is None
    assert "pc01 greeter" == printed(sessions_table([shown(failed)], now + 3600))[1]


def test_the_history_shows_from_when_to_when_or_why_not() -> None:
    now = time.mktime((2027, 1, 15, 12, 0, 0, 0, 0, -1))
    found = [
        LogInRecord(mac=MAC, node="pc01", user="alice", server=SERVER, began=now - 600),
        LogInRecord(mac=MAC, node="pc01", user="bob", server=SERVER, began=now - 90000, ended=now - 86400),
        LogInRecord(mac=MAC, node="pc02", user="eve", server=SERVER, began=now - 700, ended=now - 700, failed=DOWN),
    ]
    assert [
        f"11:50 now 10m00s alice pc01 {SERVER}",
        f"2027-01-14 11:00 2027-01-14 12:00 1h00m bob pc01 {SERVER}",
        f"11:48 failed eve pc02 {SERVER} {DOWN}",
    ] == printed(log_ins_table(found, now))[1:]


def test_names_can_be_hidden() -> None:
    mask = Mask()
    said = SessionTold(
        ready=True,
        users=[LoggedIn("alice", 1.0)],
        server="mail.example.org",
        log_ins=[
            LogInTold(1.0, "alice", "mail.example.org", "The server mail.example.org does not let you in: hi, alice.")
        ],
        extras={"sticks": [{"label": "ALICE", "size": 5}]},
    )
    record = LogInRecord(mac=MAC, node="pc01", user="alice", server="mail.example.org", began=1.0)
    seen = [msgspec.to_builtins(mask.node(shown(said)).session), msgspec.to_builtins(mask.log_in(record))]
    assert not any("alice" in text.lower() or "example" in text for text in _texts(seen))
    assert "user1" in _texts(seen)
    learned = Mask()
    learned.learn([shown(said)])
    assert "example" not in learned.text("Log-ins at pc01 fail: The server mail.example.org does not answer.")
    down = mask.failed(LogInTold(1.0, "alice", SERVER, DOWN))
    assert f"The server {mask.server(SERVER)} does not answer." == down
    assert 5 in seen[0]["agent"]["extras"]["sticks"][0].values()


def test_greeter_and_session_are_among_the_steps_of_a_boot() -> None:
    there = shown(SessionTold(ready=True, users=[LoggedIn("alice", 140.0)]))
    assert [] == marks(there)
    told = replace(there, uptime={"agent": 9.0, "greeter": 12.5, "session": 24.0, "iceccd": 3.0})
    agent = told.stages[Stage.AGENT]
    assert [("greeter", agent + 3.5), ("session", agent + 15.0)] == marks(told)
