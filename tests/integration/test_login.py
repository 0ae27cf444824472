"""The log-in of a thin client by PAM alone, with real sshd: whom the server lets in, and what is said to the others."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import until
from tests.login_room import PASSWORD, SERVER, USER, LoginRoom, login_room

OPTIONS = "KbdInteractiveAuthentication yes\n"
WITHOUT_QUESTIONS = "KbdInteractiveAuthentication no\n"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6Cb0aYQ3X9uT7vV0pYrD6vV4u9Vn6l1Zz0l3rB8b2Q"


@pytest.fixture(scope="module")
def shared() -> Iterator[LoginRoom]:
    with login_room() as room:
        yield room


@pytest.fixture
def room(shared: LoginRoom) -> LoginRoom:
    """Nobody is logged in, and the client is told of one server, which has its usual options."""
    if shared.server.options != OPTIONS:
        shared.server.restart(OPTIONS)
    shared.client.told(shared.server.settings())
    shared.client.log_out()
    return shared


def test_the_server_lets_a_user_in_whom_the_client_does_not_know(room: LoginRoom) -> None:
    entered, said = room.client.log_in(USER, PASSWORD)

    assert entered
    assert f"Logging in on {SERVER}" in said
    assert room.client.connected()
    assert USER == room.client.ssh("whoami").stdout.strip()
    # A second name of the session user, whatever the uid on the server is.
    assert f"{USER}:*:64000:" in room.client.users()
    assert "64000" == room.client.machine.run("id", "-u", USER).stdout.strip()


def test_nothing_is_left_after_a_session(room: LoginRoom) -> None:
    assert room.client.log_in(USER, PASSWORD)[0]
    room.client.machine.start(
        "deaf", "setpriv", "--reuid=64000", "--clear-groups", "sh", "-c", "trap '' TERM; sleep 1000"
    )
    until(lambda: "sleep 1000" in room.client.machine.processes("farm-session"), "nothing is left running")
    (room.client.machine.path("/run/farm/home") / "private").write_text("letter")

    room.client.log_out()

    assert "" == room.client.users()
    assert [] == room.client.machine.processes("farm-session")
    assert not room.client.machine.path("/run/farm/home").exists()
    until(lambda: not room.server.machine.processes(USER), "the server still has the connection")


def test_the_next_user_gets_nothing_of_one_whose_session_was_lost(room: LoginRoom) -> None:
    room.server.add_user("carol", "pw")
    assert room.client.log_in(USER, PASSWORD)[0]
    (room.client.machine.path("/run/farm/home") / "private").write_text("letter")

    assert room.client.log_in("carol", "pw")[0]

    assert room.client.users().startswith("carol:")
    assert 1 == room.client.users().count("\n")
    assert "carol" == room.client.ssh("whoami").stdout.strip()
    assert [] == list(room.client.machine.path("/run/farm/home").iterdir())


@pytest.mark.parametrize("options", [OPTIONS, WITHOUT_QUESTIONS, OPTIONS + "PasswordAuthentication no\n"])
def test_a_wrong_password_is_sent_once(room: LoginRoom, options: str) -> None:
    room.server.restart(options)
    before = room.server.tries()

    entered, said = room.client.log_in(USER, "wrong")

    assert not entered
    assert "Wrong user name or password." in said
    until(lambda: room.server.tries() > before, "the server was not asked")
    assert before + 1 == room.server.tries()
    assert not room.client.connected()
    assert "" == room.client.users()


def test_a_failure_is_said_so_that_the_greeter_shows_it(room: LoginRoom) -> None:
    done = room.client.machine.run("pamtester", "lightdm", USER, "authenticate", input="wrong\n", check=False)

    # pamtester prints PAM's errors elsewhere, and the greeter replaces them by words of its own.
    assert "Wrong user name or password." in done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "bob smith",
        "-oProxyCommand=touch${IFS}/tmp/proof",
        "jürgen",
        "Bob",
        "../bob",
        "bob;id",
        "bob\n",
        "b" * 33,
        " bob",
        "1",
    ],
)
def test_what_is_no_name_does_not_reach_the_server(room: LoginRoom, name: str) -> None:
    before = room.server.visits()

    entered, said = room.client.log_in(name, PASSWORD)

    assert not entered
    assert "A user name has up to 32 small letters" in said
    assert before == room.server.visits()
    assert not room.client.machine.path("/tmp/proof").exists()
    assert "" == room.client.users()


@pytest.mark.parametrize("name", ["root", "daemon", "farm-session", "lightdm"])
def test_accounts_of_the_client_itself_are_not_sent(room: LoginRoom, name: str) -> None:
    before = room.server.visits()

    entered, said = room.client.log_in(name, PASSWORD)

    assert not entered
    assert f"{name} is an account of this machine itself" in said
    assert before == room.server.visits()


@pytest.mark.parametrize(
    "password", ['it\'s "quoted" \\n', "x" * 200, "пароль-ß-密码-🔑", "  spaces  ", "$(touch /tmp/proof) `id` %s", "-n"]
)
def test_any_password_arrives_as_it_was_typed(room: LoginRoom, password: str) -> None:
    room.server.machine.run("chpasswd", "--crypt-method", "SHA256", input=f"{USER}:{password}\n")
    try:
        assert room.client.log_in(USER, password)[0]
        assert not room.client.log_in(USER, password + "x")[0]
    finally:
        room.server.machine.run("chpasswd", "--crypt-method", "SHA256", input=f"{USER}:{PASSWORD}\n")


def test_a_password_is_nowhere_to_be_read(room: LoginRoom) -> None:
    assert room.client.log_in(USER, PASSWORD)[0]

    machine = room.client.machine
    secret = machine.run("grep", "-rlsF", PASSWORD, "/run", "/tmp", "/var/log", "/etc", check=False).stdout
    assert "" == secret
    for pid in machine.run("pgrep", "-U", "farm-session").stdout.split():
        for name in ("cmdline", "environ"):
            assert PASSWORD.encode() not in machine.path(f"/proc/{pid}/{name}").read_bytes()


@pytest.mark.parametrize(
    "keys, sentence",
    [
        ([], f"This machine was not told the host key of {SERVER}; your password was not sent."),
        (
            [OTHER_KEY],
            f"{SERVER} shows a host key this machine was not told to trust; your password was not sent.",
        ),
    ],
)
def test_a_server_that_cannot_be_trusted_gets_no_password(room: LoginRoom, keys: list[str], sentence: str) -> None:
    room.client.told(room.server.settings(host_keys=keys))

    entered, said = room.client.log_in(USER, PASSWORD)

    assert not entered
    assert sentence in said
    assert "Password" not in said.replace("your password", "")


def test_a_key_of_another_kind_than_the_server_has_is_not_its_key(room: LoginRoom) -> None:
    room.client.machine.run("ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", "/tmp/other")
    key = " ".join(room.client.machine.path("/tmp/other.pub").read_text().split()[:2])
    room.client.machine.run("rm", "/tmp/other", "/tmp/other.pub")
    room.client.told(room.server.settings(host_keys=[key]))

    entered, said = room.client.log_in(USER, PASSWORD)

    assert not entered
    assert re.search(f"host key of {SERVER}; your password|{SERVER} shows a host key", said)


def test_the_next_server_is_taken_when_one_is_down_or_not_to_be_trusted(room: LoginRoom) -> None:
    down = room.server.settings(port=2222)
    wrong = room.server.settings(host_keys=[OTHER_KEY])
    room.client.told(down, wrong, room.second.settings())

    assert room.client.log_in(USER, PASSWORD)[0]

    assert "second" == room.client.ssh("hostname").stdout.strip()


def test_a_wrong_password_is_not_shown_to_the_next_server(room: LoginRoom) -> None:
    room.client.told(room.server.settings(), room.second.settings())
    before = room.second.visits()

    entered, said = room.client.log_in(USER, "wrong")

    assert not entered
    assert "Wrong user name or password." in said
    assert before == room.second.visits()


def test_a_server_that_is_down_is_told_before_a_password_is_asked(room: LoginRoom) -> None:
    room.client.told(room.server.settings(port=2222))

    entered, said = room.client.log_in(USER, PASSWORD)

    assert not entered
    assert f"The server {SERVER} does not answer." in said
    assert "Password" not in said


def test_of_several_failures_the_first_is_told(room: LoginRoom) -> None:
    room.client.told(room.server.settings(port=2222), room.second.settings(host_keys=[]))

    assert f"The server {SERVER} does not answer." in room.client.log_in(USER, PASSWORD)[1]


def test_an_expired_password_is_changed_at_the_greeter(room: LoginRoom) -> None:
    room.server.add_user("eve", "old one")
    room.server.machine.run("chage", "--lastday", "0", "eve")

    entered, said = room.client.log_in("eve", "old one", "brand new 7", "brand new 7")

    assert entered, said
    assert "eve" == room.client.ssh("whoami").stdout.strip()
    # What the server says stands in the question: the greeter shows only one text.
    assert "You are required to change your password immediately" in said
    assert "New password:" in said
    assert room.client.log_in("eve", "brand new 7")[0]


def test_an_expired_password_is_changed_where_the_server_asks_only_in_a_terminal(room: LoginRoom) -> None:
    room.server.add_user("frank", "old one")
    room.server.machine.run("chage", "--lastday", "0", "frank")
    room.server.restart(WITHOUT_QUESTIONS)

    entered, said = room.client.log_in("frank", "old one", "brand new 7", "brand new 7")

    assert entered, said
    assert "frank" == room.client.ssh("whoami").stdout.strip()
    assert room.client.log_in("frank", "brand new 7")[0]


@pytest.mark.parametrize("options", [OPTIONS, WITHOUT_QUESTIONS])
def test_a_password_that_expired_and_was_not_changed_lets_nobody_in(room: LoginRoom, options: str) -> None:
    room.server.machine.run("userdel", "--remove", "grace", check=False)
    room.server.add_user("grace", "old one")
    room.server.machine.run("chage", "--lastday", "0", "grace")
    room.server.restart(options)

    entered, said = room.client.log_in("grace", "old one", "brand new 7", "something else")

    assert not entered
    assert "Your password has expired and was not changed" in said
    assert not room.client.connected()


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false"])
def test_an_account_without_a_shell_is_told_so(room: LoginRoom, shell: str) -> None:
    name = "h" + Path(shell).name
    room.server.add_user(name, "pw", "--shell", shell)

    entered, said = room.client.log_in(name, "pw")

    assert not entered
    assert f"Your account on {SERVER} has no shell that runs programs" in said
    assert not room.client.connected()


def test_a_server_that_lets_nobody_in_says_why(room: LoginRoom) -> None:
    room.server.machine.write("/etc/nologin", "Maintenance\x1b[31m until noon\n")
    try:
        entered, said = room.client.log_in(USER, PASSWORD)
    finally:
        room.server.machine.run("rm", "/etc/nologin")

    assert not entered
    assert f"The server {SERVER} does not let you in: Maintenance" in said
    assert "until noon" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("options", [OPTIONS, WITHOUT_QUESTIONS])
def test_a_banner_that_everybody_sees_is_no_reason(room: LoginRoom, options: str) -> None:
    room.server.machine.write("/etc/issue.net", "Permission denied (to strangers).\nHost key verification failed.\n")
    room.server.restart(options + "Banner /etc/issue.net\n")

    assert "Wrong user name or password. " in room.client.log_in(USER, "wrong")[1]
    assert room.client.log_in(USER, PASSWORD)[0]


def test_a_full_server_is_told_so_and_the_next_one_taken(room: LoginRoom) -> None:
    room.server.machine.write("/etc/security/limits.d/full.conf", "* - maxlogins 0\n")
    try:
        entered, said = room.client.log_in(USER, PASSWORD)
        room.client.told(room.server.settings(), room.second.settings())
        elsewhere, _ = room.client.log_in(USER, PASSWORD)
    finally:
        room.server.machine.run("rm", "/etc/security/limits.d/full.conf")

    assert not entered
    assert f"The server {SERVER} does not let you in now: There were too many logins" in said
    assert elsewhere
    assert "second" == room.client.ssh("hostname").stdout.strip()


def first_in_line(room: LoginRoom) -> socket.socket:
    """A connection for which sshd has a place."""
    while True:
        connection = room.namespace.call(lambda: socket.create_connection((SERVER, 22)))
        if connection.recv(100).startswith(b"SSH-"):
            return connection
        connection.close()


def test_a_server_with_too_many_log_ins_at_once_is_asked_again(room: LoginRoom) -> None:
    room.server.restart(OPTIONS + "MaxStartups 1:100:1\n")
    waiting = first_in_line(room)
    refused = room.server.machine.log("sshd").count("drop connection")
    process = room.client.machine.start("pam", "sh", "-c", f"echo '{PASSWORD}' | pamtester lightdm {USER} authenticate")
    until(lambda: room.server.machine.log("sshd").count("drop connection") > refused, "the server takes all")

    waiting.close()

    assert 0 == process.wait(60), room.client.machine.log("pam")


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", json.dumps({"servers": []}), json.dumps({"servers": [{"host": "-x"}]})]
)
def test_a_machine_without_valid_settings_says_so(room: LoginRoom, text: str | None) -> None:
    settings = room.client.machine.path("/etc/farm/session.json")
    settings.unlink() if text is None else settings.write_text(text)

    entered, said = room.client.log_in(USER, PASSWORD)

    assert not entered
    assert "No log-in is possible here, as this machine's settings can not be used" in said
    assert "Traceback" not in said


def test_a_fault_of_the_machine_itself_shows_no_traceback(room: LoginRoom) -> None:
    room.client.machine.run("userdel", "farm-session")
    try:
        entered, said = room.client.log_in(USER, PASSWORD)
    finally:
        room.client.machine.run("systemd-sysusers", "/usr/lib/sysusers.d/farm-session.conf")

    assert not entered
    assert "The log-in failed because of this machine itself" in said
    assert "Traceback" not in said


def test_a_pulled_cable_ends_the_connection_at_both_ends(room: LoginRoom) -> None:
    room.server.restart(OPTIONS + "ClientAliveInterval 2\nClientAliveCountMax 2\n")
    assert room.client.log_in(USER, PASSWORD)[0]
    room.client.machine.start("work", "ssh", "-F", "none", "-S", "/run/farm/login/ctl", "x", "exec sleep 1000")
    until(lambda: "sleep 1000" in room.server.machine.processes(USER), "nothing runs on the server")

    room.client.machine.run("ip", "link", "set", "lab0", "down")
    try:
        until(lambda: not room.client.connected(), "the client keeps the connection")
        until(lambda: not any("sshd" in each for each in room.server.machine.processes(USER)), "the server keeps it")
    finally:
        room.client.machine.run("ip", "link", "set", "lab0", "up")
    until(lambda: room.client.log_in(USER, PASSWORD)[0], "nobody can log in any more")
