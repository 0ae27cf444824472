"""The rules of lts.conf for log-ins, with real PAM, sshd and lightdm: servers, users, and log-ins without anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from farm.node.session.pam import greeter_mark, log_ins, unattended
from farm.node.session.pam.unattended import LISTED
from tests.lab import until
from tests.login_room import GREETER, PASSWORD, SECOND, SERVER, USER, WINDOW, LoginRoom, LoginServer, login_room


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


def info(room: LoginRoom, which: str, rating: int) -> None:
    """Let a server rate itself by ldminfod, from now on."""
    server: LoginServer = getattr(room, which)
    said = f"language:de_DE.UTF-8\\nsession:plain\\nrating:{rating}\\n"
    program = (
        "import socket; door = socket.create_server(('', 9571))\n"
        f"while True:\n with door.accept()[0] as peer: peer.sendall(b'{said}')"
    )
    server.machine.start("ldminfod", "/usr/bin/python3", "-I", "-c", program)
    server.machine.namespace.wait_for(9571)


def on(room: LoginRoom) -> str:
    """The server on which somebody is logged in."""
    return room.client.ssh("hostname").stdout.strip()


def test_the_best_rated_of_several_servers_is_taken_and_the_next_if_it_fails(own_room: LoginRoom) -> None:
    room = own_room
    room.client.told(room.server.settings(), known={SECOND: [room.second.host_key()]})
    room.client.set_lts(LDM_SERVER=f"{SERVER} {SECOND}")
    # Nobody rates itself: the first is taken.
    assert room.client.log_in(USER, PASSWORD)[0]
    assert "server" == on(room)

    info(room, "server", 20)
    info(room, "second", 70)
    assert room.client.log_in(USER, PASSWORD)[0]
    assert "second" == on(room)

    room.second.stop()
    assert room.client.log_in(USER, PASSWORD)[0]
    assert "server" == on(room)
    assert [
        (USER, SERVER, ""),
        (USER, SECOND, ""),
        (USER, SECOND, f"The server {SECOND} does not answer."),
        (USER, SERVER, ""),
    ] == noted(room)


def test_a_server_of_lts_conf_without_a_known_key_gets_no_password(room: LoginRoom) -> None:
    room.client.set_lts(LDM_SERVER=SECOND)

    entered, said = room.client.log_in(USER, PASSWORD)

    assert not entered
    assert f"This machine was not told the host key of {SECOND}; your password was not sent." in said
    assert "Password" not in said.replace("your password", "")


def test_another_port_and_options_of_ssh(own_room: LoginRoom) -> None:
    own_room.server.restart("Port 2222\nCiphers aes128-ctr\n")
    # No cipher in common, unless the options are heeded.
    own_room.client.set_lts(SSH_OVERRIDE_PORT="2222", LDM_SSHOPTIONS="-c aes256-ctr -o ProxyCommand=false")
    assert "no matching cipher" in own_room.client.log_in(USER, PASSWORD)[1]

    own_room.client.set_lts(SSH_OVERRIDE_PORT="2222", LDM_SSHOPTIONS="-c aes128-ctr -c arcfour")
    assert own_room.client.log_in(USER, PASSWORD)[0]


def test_only_the_users_of_the_machine_are_let_in(room: LoginRoom) -> None:
    before = room.server.visits()
    room.client.set_lts(LDM_USER_ALLOW="alice, carol")
    entered, said = room.client.log_in(USER, PASSWORD)
    assert not entered
    assert f"{USER} is not among the users of this machine." in said
    assert before == room.server.visits()

    room.client.set_lts(LDM_USER_ALLOW=f"alice,{USER}")
    assert room.client.log_in(USER, PASSWORD)[0]


@pytest.mark.parametrize("name", ["bob smith", "-oProxyCommand=x", "root"])
def test_why_a_name_is_not_sent_is_seen_at_the_greeter(own_room: LoginRoom, name: str) -> None:
    own_room.client.start_greeter()
    own_room.client.type(name)

    # When the log-in has ended, the greeter shows its own words instead, unless there are ours.
    log = own_room.client.machine.path("/var/log/lightdm/seat0-greeter.log")
    until(lambda: "Failed to authenticate" in log.read_text(), "the greeter did not try")
    until(lambda: own_room.client.said_width() > 350, "the sentence is not on the screen")


AUTOLOGIN = {"LDM_AUTOLOGIN": "True", "LDM_USERNAME": USER, "LDM_PASSWORD": PASSWORD}

SOON = "SERVER_PAUSES = 5.0, 60.0", "SERVER_PAUSES = 0.2, 0.4"


def leave(room: LoginRoom) -> None:
    """End the session, as its user does."""
    until(lambda: not room.server.machine.run("pkill", "-x", "xev", check=False).returncode, "there is no session")


def test_a_machine_logs_itself_in_and_again_after_a_log_out(own_room: LoginRoom) -> None:
    # Two log-ins at a short distance wait for each other.
    own_room.client.patch("pam/unattended.py", "GAP_SECONDS = 15.0", "GAP_SECONDS = 0.0")
    own_room.client.set_lts(**AUTOLOGIN)
    own_room.client.start_lightdm()
    own_room.client.wait_for_session()
    assert own_room.client.users().startswith(f"{USER}:")

    leave(own_room)
    own_room.client.wait_for_session(times=2)

    assert [(USER, SERVER, "")] * 2 == noted(own_room)
    assert PASSWORD not in own_room.client.machine.log("lightdm")


def test_a_machine_that_logs_itself_in_waits_for_a_server_that_is_down(own_room: LoginRoom) -> None:
    own_room.client.patch("pam/unattended.py", *SOON)
    own_room.server.stop()
    own_room.client.set_lts(**AUTOLOGIN)
    own_room.client.start_lightdm()
    until(lambda: own_room.client.machine.path(unattended.FILE).exists(), "nothing is tried")
    until(lambda: own_room.client.said_width() > 350, "why it waits is not on the screen")
    assert own_room.client.machine.path(greeter_mark.FILE).exists()

    own_room.server.start()
    own_room.client.wait_for_session()

    assert [(USER, SERVER, f"The server {SERVER} does not answer."), (USER, SERVER, "")] == noted(own_room)


def test_somebody_else_can_log_in_where_a_machine_cannot_log_itself_in(own_room: LoginRoom) -> None:
    own_room.client.patch("pam/unattended.py", *SOON)
    own_room.server.add_user("carol", "pw")
    own_room.client.set_lts(**{**AUTOLOGIN, "LDM_PASSWORD": "wrong"})
    own_room.client.start_lightdm()
    until(lambda: own_room.server.tries() == 2, "the password is not tried")
    until(lambda: own_room.client.said_width() > 350, "why it waits is not on the screen")

    own_room.client.type("carol")
    own_room.client.wait_for_question(user="carol")
    own_room.client.type("pw")
    own_room.client.wait_for_session()

    assert own_room.client.users().startswith("carol:")
    # A wrong password is not tried again soon: servers lock accounts.
    assert 2 == own_room.server.tries()
    assert [(USER, SERVER, "Wrong user name or password."), ("carol", SERVER, "")] == noted(own_room)


def test_a_guest_presses_enter(own_room: LoginRoom) -> None:
    own_room.client.set_lts(LDM_GUESTLOGIN="True", LDM_USERNAME=USER, LDM_PASSWORD=PASSWORD, LDM_GUEST_SERVER=SECOND)
    own_room.client.told(own_room.server.settings(), known={SECOND: [own_room.second.host_key()]})
    before = own_room.second.visits()
    own_room.client.start_lightdm()
    own_room.client.wait_for_question(user=LISTED)
    until(lambda: GREETER in own_room.client.screen(), "the greeter does not appear")
    assert own_room.client.machine.path(greeter_mark.FILE).exists()
    assert before == own_room.second.visits()

    own_room.client.on_screen("xdotool", "key", "Return")
    own_room.client.wait_for_session()

    assert [(USER, SECOND, "")] == noted(own_room)
    assert "second" == on(own_room)


def test_a_guest_is_logged_in_after_a_while(own_room: LoginRoom) -> None:
    own_room.client.set_lts(LDM_GUESTLOGIN="True", LDM_USERNAME=USER, LDM_PASSWORD=PASSWORD, LDM_LOGIN_TIMEOUT="1")
    own_room.client.start_lightdm()
    own_room.client.wait_for_session()

    assert [(USER, SERVER, "")] == noted(own_room)


def test_who_is_no_guest_chooses_to_type_a_name(own_room: LoginRoom) -> None:
    own_room.client.set_lts(LDM_GUESTLOGIN="True", LDM_USERNAME="guest01")
    own_room.client.start_lightdm()
    own_room.client.wait_for_question(user=LISTED)
    until(lambda: GREETER in own_room.client.screen(), "the greeter does not appear")

    # In the password's field it moves in the list above.
    own_room.client.on_screen("xdotool", "key", "Down")
    lightdm = own_room.client.machine
    until(lambda: "Greeter start authentication\n" in lightdm.log("lightdm"), "no name can be typed")
    until(lambda: "Prompt greeter" in lightdm.log("lightdm").rpartition("start authentication\n")[2], "none is asked")
    own_room.client.type(USER)
    own_room.client.wait_for_question()
    own_room.client.type(PASSWORD)
    own_room.client.wait_for_session()

    assert [(USER, SERVER, "")] == noted(own_room)


def test_a_user_of_lts_conf_whose_name_is_none_is_told(own_room: LoginRoom) -> None:
    own_room.client.set_lts(LDM_AUTOLOGIN="True", LDM_USERNAME="Guest User")
    own_room.client.start_greeter()

    until(lambda: own_room.client.said_width() > 350, "the sentence is not on the screen")
    assert not own_room.client.machine.path(unattended.FILE).exists()


@pytest.mark.parametrize(
    "chage, sentence",
    [
        # The server believes to be in the past, or in the future.
        (("--lastday", "2099-01-01"), ""),
        (("--expiredate", "2001-01-01"), f"The server {SERVER} does not let you in: Your account has expired"),
    ],
)
def test_a_server_whose_clock_is_wrong(room: LoginRoom, chage: tuple[str, str], sentence: str) -> None:
    room.server.machine.run("userdel", "--remove", "dora", check=False)
    room.server.add_user("dora", "pw")
    room.server.machine.run("chage", *chage, "dora")

    entered, said = room.client.log_in("dora", "pw")

    assert entered == (not sentence), said
    assert sentence in said
