"""The session of a thin client: real lightdm with its greeter, and the server's programs on the client's screen."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from farm.node.session import thin_session
from farm.node.session.lts_values import LtsValues
from farm.node.session.pam.desktop_choice import desktop_environment
from tests.lab import until
from tests.login_room import CLIENT, PASSWORD, USER, WINDOW, LoginRoom, login_room

OPTIONS = "KbdInteractiveAuthentication yes\n"
AS_SESSION = ("setpriv", "--reuid=64000", "--regid=64000", "--clear-groups", "env", "HOME=/run/farm/home", "DISPLAY=:0")


@pytest.fixture
def room() -> Iterator[LoginRoom]:
    with login_room() as room:
        yield room


def sit_down(room: LoginRoom, password: str = PASSWORD) -> None:
    """Log in by typing."""
    room.client.type(USER)
    room.client.wait_for_question()
    room.client.type(password)


def environment(room: LoginRoom) -> dict[str, str]:
    """The environment of the session's programs."""
    lines = room.server.machine.path(f"/home/{USER}/session-environment").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_a_session_from_the_greeter_to_the_greeter(room: LoginRoom) -> None:
    room.client.set_lts(LDM_PRINTER_DEFAULT="its-queue")
    room.client.start_greeter()
    sit_down(room, "wrong")
    until(lambda: room.server.tries(), "the password was not tried")
    room.client.wait_for_question(attempts=2)
    room.client.type(PASSWORD)
    until(lambda: WINDOW in room.client.screen(), "the session does not appear")

    found = environment(room)
    assert ("plain", "Plain:X") == (found["DESKTOP_SESSION"], found["XDG_CURRENT_DESKTOP"])
    assert (CLIENT, "pc01", "52:54:00:00:00:01") == (
        found["LTSP_CLIENT"],
        found["LTSP_CLIENT_HOSTNAME"],
        found["LTSP_CLIENT_MAC"],
    )
    assert found["DISPLAY"].startswith("localhost:")
    assert [] == [name for name in found if name.startswith("FARM_")]
    assert found["PRINTER"] == "its-queue"
    # So that sshd, which waits for that at a log-in, goes on at once.
    assert "quickack 1" in room.client.machine.run("ip", "route", "show").stdout

    room.server.machine.run("pkill", "-x", "xev")
    room.client.wait_for_greeter(times=2)
    assert "" == room.client.users()
    assert [] == room.client.machine.processes("farm-session")
    assert not room.client.machine.path("/run/farm/home").exists()
    until(lambda: not room.server.machine.processes(USER), "programs stay on the server")


def test_a_cable_that_is_pulled_in_a_session(room: LoginRoom) -> None:
    room.server.restart(OPTIONS + "ClientAliveInterval 2\nClientAliveCountMax 2\n")
    room.client.start_greeter()
    sit_down(room)
    until(lambda: WINDOW in room.client.screen(), "the session does not appear")

    room.client.machine.run("ip", "link", "set", "lab0", "down")
    room.client.wait_for_greeter(times=2)
    until(lambda: not room.server.machine.processes(USER), "programs stay on the server")
    room.client.machine.run("ip", "link", "set", "lab0", "up")

    assert "" == room.client.users()
    until(lambda: room.client.log_in(USER, PASSWORD)[0], "nobody can log in any more")


def test_programs_that_draw_over_a_connection_of_their_own(room: LoginRoom) -> None:
    room.client.set_lts(LDM_DIRECTX="True")
    room.client.told(room.server.settings(), room.second.settings())
    room.client.start_greeter()
    # Nobody is logged in: the server reaches X no more than others do.
    with pytest.raises(OSError):
        room.server.machine.namespace.call(lambda: socket.create_connection((CLIENT, 6000), timeout=2))
    sit_down(room)
    until(lambda: WINDOW in room.client.screen(), "the session does not appear")

    assert f"{CLIENT}:0" == environment(room)["DISPLAY"]
    look = ["xwininfo", "-display", f"{CLIENT}:0", "-root"]
    # Another user of the server lacks the cookie, and another machine is not let through.
    mine = room.server.machine.run("runuser", "-u", USER, "--", "env", f"HOME=/home/{USER}", *look, check=False)
    assert 0 == mine.returncode, mine.stderr
    others = room.server.machine.run("runuser", "-u", "nobody", "--", *look, check=False)
    assert "unable to open display" in others.stderr
    with pytest.raises(OSError):
        room.second.machine.namespace.call(lambda: socket.create_connection((CLIENT, 6000), timeout=2))


@pytest.mark.parametrize(
    "said, waiting",
    [
        pytest.param("echo", "sed -u /^$/q", id="before the desktop starts"),
        pytest.param("echo; echo", "sleep 1000", id="in the session"),
    ],
)
def test_a_client_that_says_nothing_is_logged_out_by_a_server_that_does_not_look(
    room: LoginRoom, monkeypatch: pytest.MonkeyPatch, said: str, waiting: str
) -> None:
    monkeypatch.setattr(thin_session, "PATIENCE_SECONDS", 2)
    room.server.restart(OPTIONS)
    room.client.start_greeter()
    remote = thin_session.remote_command(desktop_environment(LtsValues({}), "sleep 1000"), {}, ":0")
    over = "ssh -F none -S /run/farm/login/ctl -o ProxyCommand=false -T -Y server"

    assert room.client.log_in(USER, PASSWORD)[0]
    # Standard input stays open, and nothing more comes.
    room.client.machine.start("remote", "sh", "-c", f'({said}; sleep 1000) | {over} "$0"', remote)
    until(lambda: waiting in room.server.machine.processes(USER), "the session does not start")
    until(lambda: not room.server.machine.processes(USER), "the session goes on")
    until(lambda: not room.client.connected(), "the connection stays")


@pytest.mark.parametrize(
    "fault, code",
    [
        ("sed -i 's/X11Forwarding yes/X11Forwarding no/' /etc/ssh/sshd_config && pkill -o -HUP -x sshd", "NO_DISPLAY"),
        (f"chown root:root /home/{USER} && chmod 755 /home/{USER}", "NO_HOME"),
        ("rm /etc/X11/Xsession", "NO_XSESSION"),
    ],
)
def test_why_a_session_did_not_start_is_said_at_the_next_log_in(room: LoginRoom, fault: str, code: str) -> None:
    room.server.machine.run("sh", "-c", fault)
    until(lambda: room.client.log_in(USER, PASSWORD)[0], "nobody can log in")

    done = room.client.machine.run(*AS_SESSION, "/usr/lib/farm/thin-session", check=False)
    room.client.log_out()

    expected = getattr(thin_session, code)
    assert expected == done.returncode, done.stderr
    assert thin_session.REASONS[expected] in room.client.log_in(USER, PASSWORD)[1]
    assert thin_session.REASONS[expected] not in room.client.log_in(USER, PASSWORD)[1]


def test_a_session_over_a_connection_that_is_gone_reaches_nobody(room: LoginRoom) -> None:
    room.client.start_greeter()

    done = room.client.machine.run(*AS_SESSION, "/usr/lib/farm/thin-session", check=False)

    assert 255 == done.returncode
    assert "Traceback" not in done.stderr
