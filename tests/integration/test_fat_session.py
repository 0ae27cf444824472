"""A session on a fat client: real lightdm, a program on the client's screen, the home of the server beneath it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.fat_room import AS_USER, HOME, as_user, fat_room, home_is_mounted, make_fat
from tests.lab import until
from tests.login_room import CLIENT, PASSWORD, USER, WINDOW, LoginRoom, ThinClient

LOST, BACK = "The connection to the server is lost.", "The server is back:"
LIGHTDM = "org.freedesktop.DisplayManager"


@pytest.fixture
def room() -> Iterator[LoginRoom]:
    with fat_room() as room:
        yield room


def sit_down(room: LoginRoom, attempts: int = 1) -> None:
    """Log in by typing, at a greeter that is there, with so many log-ins in all."""
    room.client.type(USER)
    room.client.wait_for_question(attempts)
    room.client.type(PASSWORD)
    until(lambda: WINDOW in room.client.screen(), "the session does not appear")


def environment(room: LoginRoom) -> dict[str, str]:
    """The environment of the session's programs."""
    lines = room.server.machine.path(f"{HOME}/session-environment").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_a_session_from_the_greeter_to_the_greeter(room: LoginRoom) -> None:
    chosen = "[Desktop]\nLanguage=C.UTF-8\nSession=gnome\n"
    room.server.machine.run("sh", "-c", f"echo '{chosen}' > {HOME}/.dmrc; chown {USER} {HOME}/.dmrc")
    room.client.start_greeter()
    sit_down(room)

    found = environment(room)
    assert (CLIENT, "pc01", "52:54:00:00:00:01", "/run/farm/cache", HOME, "C.UTF-8") == (
        *(found[key] for key in ("LTSP_CLIENT", "LTSP_CLIENT_HOSTNAME", "LTSP_CLIENT_MAC")),
        *(found[key] for key in ("XDG_CACHE_HOME", "HOME", "LANG")),
    )
    assert [] == [name for name in found if name.startswith("FARM_")]
    # What was chosen for sessions on the server still holds.
    assert "Session=gnome" in room.server.machine.path(f"{HOME}/.dmrc").read_text()
    assert not found["XAUTHORITY"].startswith("/home/")
    joined = room.server.machine.path(f"{HOME}/session-id").read_text()
    assert all(f"({group})" in joined for group in ("audio", "video", "plugdev"))
    assert any("xev" in each for each in room.client.machine.processes(USER))

    room.client.machine.run("pkill", "-x", "xev")
    room.client.wait_for_greeter(times=2)
    assert "" == room.client.users()
    assert not home_is_mounted(room.client)
    until(lambda: not room.server.machine.processes(USER), "the connection stays")

    # The same again, and an order of the server to log out.
    sit_down(room, attempts=2)
    done = room.client.machine.run("/usr/bin/python3", "-I", "-m", "farm.node", "logout", input="{}")
    assert {"users": [USER], "error": ""} == json.loads(done.stdout)
    room.client.wait_for_greeter(times=3)
    assert not home_is_mounted(room.client)


def test_a_guest_has_a_session_there_too(room: LoginRoom) -> None:
    room.client.set_lts(LDM_GUESTLOGIN="True", LDM_USERNAME=USER, LDM_PASSWORD=PASSWORD, LDM_LOGIN_TIMEOUT="1")
    room.client.start_lightdm()
    room.client.wait_for_session()

    assert home_is_mounted(room.client)
    assert any("xev" in each for each in room.client.machine.processes(USER))


def test_nobody_elses_log_in_at_the_machine_ends_the_session(room: LoginRoom) -> None:
    room.server.add_user("carol", "pw")
    room.client.start_greeter()
    sit_down(room)

    # A second greeter, by the display manager's own orders, which everybody can give it.
    for path, order in (("", ".AddLocalXSeat int32:0"), ("/Seat0", ".Seat.SwitchToGreeter")):
        ask = f"--dest={LIGHTDM} /org/freedesktop/DisplayManager{path} {LIGHTDM}{order}".split()
        said = as_user(room, "dbus-send", "--system", "--print-reply", *ask, check=False)
        assert "AccessDenied" in said or "Failed to switch to greeter" in said

    # And at one that there is all the same.
    for password in ("wrong", "pw"):
        entered, said = room.client.log_in("carol", password)
        assert not entered
        assert "Somebody is logged in at this machine, and has to log out first." in said
    assert 0 == room.server.tries()
    until(lambda: WINDOW in room.client.screen(), "the session is gone")
    assert home_is_mounted(room.client)
    assert 1 == room.client.machine.log("lightdm").count("Greeter connected")


def test_who_logs_in_elsewhere_ends_the_session_and_finds_all_files(room: LoginRoom) -> None:
    other = ThinClient(room.second.machine)
    other.set_up()
    make_fat(other)
    other.told(room.server.settings())
    room.client.start_greeter()
    sit_down(room)
    as_user(room, "sh", "-c", "echo mine > ~/paper")

    entered, said = other.log_in(USER, PASSWORD, "no")
    assert not entered
    assert "You are logged in at pc01 already." in said
    assert home_is_mounted(room.client)

    entered, said = other.log_in(USER, PASSWORD, "yes")
    assert entered, said
    assert "mine\n" == other.machine.run("cat", f"{HOME}/paper").stdout
    assert not home_is_mounted(room.client)
    room.client.wait_for_greeter(times=2)


def test_a_server_that_starts_again_does_not_end_the_session(room: LoginRoom) -> None:
    room.client.patch("fat/session_key.py", "TELL_SECONDS = 10.0", "TELL_SECONDS = 0.0")
    room.client.start_greeter()
    sit_down(room)
    assert "restrict,from=" in room.server.machine.path(f"{HOME}/.ssh/authorized_keys").read_text()

    start_again_without_homes(room)
    until(lambda: LOST in room.client.screen(), "the user is not told")
    mount_homes(room)
    until(room.client.connected, "the session is not taken back")
    as_user(room, "sh", "-c", "echo later > ~/later")

    assert "later" in room.server.machine.path(f"{HOME}/later").read_text()
    assert WINDOW in room.client.screen()
    until(lambda: BACK in room.client.screen(), "the user is not told of the server")
    room.client.machine.run("pkill", "-x", "xev")
    room.client.wait_for_greeter(times=2)
    assert not room.server.machine.path(f"{HOME}/.ssh/authorized_keys").exists()

    # A server that refuses the key for good.
    room.client.patch("fat/session_key.py", "REFUSED_SECONDS = 120.0", "REFUSED_SECONDS = 0.5")
    sit_down(room, attempts=2)
    start_again_without_homes(room)
    room.client.wait_for_greeter(times=3)
    until(lambda: room.client.said_width() > 350, "why the session is over is not on the screen")


def start_again_without_homes(room: LoginRoom) -> None:
    """Start sshd again, and wait until it has refused the session's key twice: there is no home yet."""
    room.server.machine.run("mount", "-t", "tmpfs", "none", "/home")
    room.server.stop()
    room.server.machine.run("pkill", "-KILL", "-x", "sshd")
    until(lambda: not room.client.connected(), "the connection is not lost")
    room.server.start()
    before = room.server.visits()
    until(lambda: room.server.visits() >= before + 2, "the key is not tried")


def mount_homes(room: LoginRoom) -> None:
    """What happens late when the server starts."""
    room.server.machine.run("umount", "/home")


def test_a_cable_that_is_out_for_a_moment_is_waited_for(room: LoginRoom) -> None:
    # A thin client's session would be over after three seconds.
    room.client.patch(
        "ssh_client/ssh_command.py", "ALIVE_SECONDS, ALIVE_COUNT = 5, 3", "ALIVE_SECONDS, ALIVE_COUNT = 1, 3"
    )
    room.client.start_greeter()
    sit_down(room)
    room.client.machine.run("ip", "link", "set", "lab0", "down")
    writer = room.client.machine.start("writer", *AS_USER, "sh", "-c", "echo patience > ~/patience")
    time.sleep(4)
    assert writer.poll() is None
    room.client.machine.run("ip", "link", "set", "lab0", "up")

    assert 0 == writer.wait(60)
    assert "patience\n" == room.server.machine.path(f"{HOME}/patience").read_text()
    assert WINDOW in room.client.screen()


def test_a_log_out_while_the_server_is_away_comes_to_an_end(room: LoginRoom) -> None:
    room.client.patch("fat/session_keeper.py", "PUT_AWAY_SECONDS = 16", "PUT_AWAY_SECONDS = 1")
    room.client.patch("fat/session_key.py", "REMOVE_SECONDS = 8.0, 3.0", "REMOVE_SECONDS = 8.0, 0.5")
    room.client.start_greeter()
    sit_down(room)
    room.client.machine.run("ip", "link", "set", "lab0", "down")
    room.client.machine.start("stuck", *AS_USER, "sh", "-c", "echo lost > ~/lost")

    room.client.machine.run("pkill", "-x", "xev")
    room.client.wait_for_greeter(times=2)

    assert not home_is_mounted(room.client)
    assert [] == room.client.machine.processes("farm-session")
    room.client.machine.run("ip", "link", "set", "lab0", "up")
    # The server may still hold the connection: its user says that it is over.
    until(lambda: room.client.log_in(USER, PASSWORD, "yes")[0], "nobody can log in any more")
    assert "" == as_user(room, "sh", "-c", "echo back > ~/back")
