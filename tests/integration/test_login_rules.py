"""The rules of lts.conf for log-ins, with real PAM, sshd and lightdm: servers, users, and log-ins without anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from farm.node.session import greeter_mark, log_ins
from tests.lab import until
from tests.login_room import PASSWORD, SERVER, USER, WINDOW, LoginRoom, login_room


@pytest.fixture(scope="module")
def shared() -> Iterator[LoginRoom]:
    with login_room() as room:
        yield room


@pytest.fixture
def room(shared: LoginRoom) -> LoginRoom:
    """Nobody is logged in, one server is told, and no lts.conf."""
    shared.client.told(shared.server.settings())
    shared.client.set_lts()
    shared.client.log_out()
    shared.client.machine.path(log_ins.FILE).unlink(missing_ok=True)
    return shared


@pytest.fixture
def own_room() -> Iterator[LoginRoom]:
    """For a test that needs the client's screen."""
    with login_room() as room:
        room.client.told(room.server.settings(), session="plain")
        yield room


def noted(room: LoginRoom) -> list[tuple[str, str, str]]:
    """User, server and failure of all that is noted on the client."""
    lines = room.client.machine.path(log_ins.FILE).read_text().splitlines()
    return [(each["user"], each["server"], each["failed"]) for each in map(json.loads, lines)]


def test_log_ins_and_failures_are_noted(room: LoginRoom) -> None:
    room.client.log_in("my secret", PASSWORD)
    room.client.log_in(USER, "wrong")
    room.client.log_in(USER, PASSWORD)

    assert [
        (
            "",
            "",
            "A user name has up to 32 small letters, digits, dots, hyphens and underscores, and begins with a letter.",
        ),
        (USER, SERVER, "Wrong user name or password."),
        (USER, SERVER, ""),
    ] == noted(room)


def test_the_greeter_leaves_a_mark_when_it_can_be_typed_at(own_room: LoginRoom) -> None:
    mark = own_room.client.machine.path(greeter_mark.FILE)
    own_room.client.start_greeter()
    assert 0 < float(mark.read_text())

    own_room.client.type(USER)
    own_room.client.wait_for_question()
    own_room.client.type(PASSWORD)
    until(lambda: WINDOW in own_room.client.screen(), "the session does not appear")
    assert not mark.exists()

    own_room.server.machine.run("pkill", "-x", "xev")
    own_room.client.wait_for_greeter(times=2)
    assert mark.exists()
