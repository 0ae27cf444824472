"""The desktop of a session as lts.conf and its user choose it, with real lightdm, sshd and Xsession."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.node.session.extras.local_apps import SCRIPT
from farm.node.session.thin_session import ENDED, LOST, REASONS
from tests.lab import until
from tests.login_room import GREETER, PASSWORD, USER, LoginRoom, ThinClient, login_room

AS_SESSION = ("setpriv", "--reuid=64000", "--regid=64000", "--clear-groups", "env", "HOME=/run/farm/home", "DISPLAY=:0")
NOTED, DMRC = f"/home/{USER}/noted", f"/home/{USER}/.dmrc"
SHORT = f"""#!/bin/sh
echo "$DESKTOP_SESSION ${{XDG_CURRENT_DESKTOP:-}} ${{LANG:-}}" > {NOTED}
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[LoginRoom]:
    """Where somebody is logged in, and sessions end by themselves."""
    with login_room() as room:
        for name in ("first", "second"):
            entry = f"[Desktop Entry]\nDesktopNames={name.title()};\nExec=/usr/bin/{name} --session\n"
            room.server.machine.write(f"/usr/share/xsessions/{name}.desktop", entry)
            room.server.machine.write(f"/usr/bin/{name}", SHORT, 0o755)
        room.server.machine.write("/usr/bin/starter", "#!/bin/sh\nDESKTOP_SESSION=by-starter\nexec $1\n", 0o755)
        assert room.client.log_in(USER, PASSWORD)[0]
        yield room


@pytest.mark.parametrize(
    "lts, last, started",
    [
        ({"LDM_SESSION": "first"}, "", "first First"),
        ({"LDM_SESSION": "/usr/bin/first --session"}, "", "first First"),
        ({"LDM_SESSION": "first"}, "Session=second", "second Second"),
        ({"LDM_SESSION": "first"}, "Session=gone", "first First"),
        ({"LDM_FORCE_SESSION": "first"}, "Session=second", "first First"),
        ({"LDM_FORCE_SESSION": "first;id"}, "Session=second", "second Second"),
        ({"LDM_LANGUAGE": "C.UTF-8"}, "Session=first", "first First C.UTF-8"),
        ({"LDM_LANGUAGE": "C.UTF-8"}, "Session=first\nLanguage=POSIX", "first First POSIX"),
        ({"LDM_FORCE_LANGUAGE": "C.UTF-8"}, "Session=first\nLanguage=POSIX", "first First C.UTF-8"),
        ({"LDM_XSESSION": "/usr/bin/starter"}, "Session=first", "by-starter First"),
    ],
)
def test_lts_conf_and_the_last_choice_say_what_is_started(
    shared: LoginRoom, lts: dict[str, str], last: str, started: str
) -> None:
    shared.client.set_lts(**lts)
    shared.server.machine.write(DMRC, f"[Desktop]\n{last}\n")
    shared.server.machine.path(NOTED).unlink(missing_ok=True)

    shared.client.machine.run(*AS_SESSION, "/usr/lib/farm/thin-session")

    assert shared.server.machine.path(NOTED).read_text().strip().startswith(started)


@pytest.fixture
def room() -> Iterator[LoginRoom]:
    with login_room() as room:
        yield room


def second_client(room: LoginRoom) -> ThinClient:
    """The second server, as a client."""
    client = ThinClient(room.second.machine)
    client.set_up()
    client.machine.run("hostname", "pc02")
    client.machine.write("/run/farm/node.json", json.dumps({"name": "pc02", "mac": "52:54:00:00:00:02"}))
    client.machine.run("userdel", USER)
    client.told(room.server.settings())
    return client


def start_session(
    room: LoginRoom, client: ThinClient, desktop: str = "#!/bin/sh\nexec sleep 1000\n"
) -> subprocess.Popen[bytes]:
    """Log in, and start a session without a screen of this machine, as its display manager does."""
    room.server.machine.write("/usr/bin/plain", desktop, 0o755)
    assert client.log_in(USER, PASSWORD)[0]
    session = client.machine.start("session", *AS_SESSION, "/usr/lib/farm/thin-session")
    until(lambda: "sleep 1000" in room.server.machine.processes(USER), "the session does not start")
    return session


def test_a_user_who_is_logged_in_elsewhere_is_asked(room: LoginRoom) -> None:
    other = second_client(room)
    session = start_session(room, other)

    done, said = room.client.log_in(USER, PASSWORD, "no")
    assert not done
    assert "You are logged in at pc02 already. Type yes to end that" in said
    assert "that session goes on" in said
    assert "sleep 1000" in room.server.machine.processes(USER)
    room.client.set_lts(LDM_LIMIT_ONE_SESSION="False")
    assert room.client.log_in(USER, PASSWORD)[0]
    room.client.set_lts()
    room.client.log_out()

    # The same at the greeter, whose text is as wide as a sentence now.
    room.client.start_greeter()
    room.client.type(USER)
    room.client.wait_for_question()
    room.client.type(PASSWORD)
    until(lambda: room.client.said_width() > 350, "the greeter asks nothing")
    room.server.machine.write("/usr/bin/plain", "#!/bin/sh\nexec xev\n", 0o755)
    room.client.type("yes")
    room.client.wait_for_session()

    assert ENDED == session.wait(30)
    assert "sleep 1000" not in room.server.machine.processes(USER)
    other.log_out()
    assert REASONS[ENDED] in other.log_in(USER, PASSWORD, "no")[1]


def test_without_the_question_the_other_session_is_ended(room: LoginRoom) -> None:
    session = start_session(room, room.client)
    other = second_client(room)
    other.set_lts(LDM_LIMIT_ONE_SESSION_PROMPT="False")

    assert other.log_in(USER, PASSWORD)[0]

    assert ENDED == session.wait(30)
    assert "sleep 1000" not in room.server.machine.processes(USER)


def test_a_server_that_is_restarted(room: LoginRoom) -> None:
    session = start_session(room, room.client)

    # As an init does: programs are asked to end, and then the service.
    room.server.machine.run("pkill", "-TERM", "-u", USER)
    room.server.machine.run("pkill", "-KILL", "-x", "sshd")
    assert LOST == session.wait(30)
    room.client.log_out()

    assert [] == room.client.machine.processes("farm-session")
    assert "" == room.client.users()
    room.server.start()
    assert not room.server.machine.processes(USER)
    done, said = room.client.log_in(USER, PASSWORD)
    assert done
    assert REASONS[LOST] in said


LDMINFOD = """import socket
said = b"language:de_DE.UTF-8\\nlanguage:x;id\\nsession-with-name:First one:/usr/bin/first --session\\n"
door = socket.create_server(("", 9571))
while True:
    with door.accept()[0] as peer:
        peer.sendall(said)
"""
SESSION_MENU, LANGUAGE_MENU = 2, 3
"""How far to the left of the one that F10 opens."""


def choose(client: ThinClient, menu: int) -> None:
    """Take the second entry of a menu, by keys."""

    def windows() -> int:
        return len(client.on_screen("xdotool", "search", "--onlyvisible", "--name", GREETER).stdout.split())

    before = windows()
    client.on_screen("xdotool", "key", "F10")
    until(lambda: windows() > before, "the menu does not open")
    client.on_screen("xdotool", "key", *["Left"] * menu, "Down", "Down", "Return")
    until(lambda: windows() == before, "nothing is chosen")


def test_session_and_language_of_the_server_are_chosen_at_the_greeter(room: LoginRoom) -> None:
    server, client = room.server.machine, room.client
    server.start("ldminfod", "/usr/bin/python3", "-I", "-c", LDMINFOD)
    server.namespace.wait_for(9571)
    server.write("/usr/share/xsessions/first.desktop", "[Desktop Entry]\nExec=/usr/bin/first --session\n")
    server.write("/usr/bin/first", SHORT + "exec xev\n", 0o755)
    client.start_greeter()

    client.type(USER)
    client.wait_for_question()
    choose(client, LANGUAGE_MENU)
    choose(client, SESSION_MENU)
    client.type(PASSWORD)
    client.wait_for_session()

    assert ["first", "de_DE.UTF-8"] == server.path(NOTED).read_text().split()
    assert ["[Desktop]", "Session=first", "Language=de_DE.UTF-8"] == server.path(DMRC).read_text().split()

    # For the next one who sits down there, nothing is chosen.
    server.run("pkill", "-x", "xev")
    client.wait_for_greeter(times=2)
    assert "server-" not in client.machine.path("/var/lib/lightdm/.cache/lightdm-gtk-greeter/state").read_text()
    assert [] == list(client.machine.path("/var/cache/lightdm").glob("dmrc/*"))


APP = """#!/bin/sh
echo "$HOME $DISPLAY $*" > "$HOME/from-the-client"
exec sleep 2000
"""
ASKING = f"""#!/bin/sh
"$LOCAL_APP" sh > /dev/null 2> {NOTED}
cat "${{XDG_DATA_DIRS%%:*}}/applications/painter.desktop" >> {NOTED}
$(sed -n 's/^Exec=//p' "${{XDG_DATA_DIRS%%:*}}/applications/painter.desktop")
exec sleep 1000
"""


def test_a_program_of_the_machine_is_started_from_the_servers_session(room: LoginRoom) -> None:
    client, server = room.client, room.server.machine
    client.set_lts(LOCAL_APPS="True", LOCAL_APPS_MENU="True", LOCAL_APPS_MENU_ITEMS="painter,../passwd gone")
    client.machine.write("/usr/bin/painter", APP, 0o755)
    entry = "[Desktop Entry]\nName=Painter; $(id)\nExec=painter --new %U\n"
    client.machine.write("/usr/share/applications/painter.desktop", entry)
    session = start_session(room, client, ASKING)

    written = server.path(f"/home/{USER}/from-the-client")
    until(lambda: written.exists() and bool(written.read_text()), "the program does not reach the home")
    home, display, *words = written.read_text().split()
    assert (":0", ["--new"]) == (display, words)
    assert home.startswith("/tmp/farm-home-")
    asked = server.path(NOTED).read_text()
    assert "no program that the thin client starts" in asked
    assert "Name=Painter; $(id)" in asked
    assert not server.path("/usr/bin/painter").exists()

    server.run("pkill", "-x", "sleep")
    session.wait(30)
    until(lambda: "sleep 2000" not in client.machine.processes("farm-session"), "the program goes on")
    assert "farm-home" not in client.machine.run("cat", "/proc/mounts").stdout
    assert [] == list(client.machine.path("/tmp").glob("farm-home-*"))
    assert written.exists()


@pytest.mark.parametrize("language", ["python3", "perl"])
def test_a_program_is_asked_for_whatever_the_server_has(tmp_path: Path, language: str) -> None:
    script = tmp_path / "local-app"
    script.write_text(SCRIPT)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / language).symlink_to(f"/usr/bin/{language}")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "apps"))
        door.listen()
        asking = subprocess.Popen(
            ["/bin/sh", str(script), "painter"],
            env={"PATH": str(tmp_path / "bin")},
            stderr=subprocess.PIPE,
            text=True,
        )
        with door.accept()[0] as asker:
            assert b"painter\n" == asker.makefile("rb").readline()
            asker.sendall(b"Not today.\n")
        assert "Not today." == asking.communicate()[1].strip()
