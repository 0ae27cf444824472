"""Sound of a session: real PipeWire on the client, and programs for PulseAudio on the server, over the log-in's ssh."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.diskless import Diskless
from tests.lab import PATIENCE, until
from tests.login_room import PASSWORD, USER, WINDOW, LoginRoom, login_room
from tests.tone import RATE, has_tone, wav

OTHER = "eve"
RAW = ("--raw", "--format=s16le", f"--rate={RATE}", "--channels=1")
TONE = "/tmp/tone.wav"
USER_MANAGER = """#!/bin/sh
# Starts for a session what systemd starts for its account, with cards that need no hardware.
export XDG_RUNTIME_DIR=/run/user/$(id -u)
export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus
dbus-daemon --session --fork --address=$DBUS_SESSION_BUS_ADDRESS
pipewire > /tmp/pipewire.log 2>&1 &
until [ -S $XDG_RUNTIME_DIR/pipewire-0 ]; do sleep 0.05; done
wireplumber > /tmp/wireplumber.log 2>&1 &
pipewire-pulse > /tmp/pulse.log 2>&1 &
until pactl info > /dev/null 2>&1; do sleep 0.05; done
pactl load-module module-null-sink sink_name=speakers sink_properties=device.description=Loudspeakers
# What a microphone hears is what is played to where it listens.
pactl load-module module-null-sink sink_name=air
pactl load-module module-remap-source master=air.monitor source_name=mic source_properties=device.description=Headset
pactl set-default-sink speakers
pactl set-default-source mic
exec "$@"
"""
EXTRAS = """
import json, sys
from farm.node.session.extras import RemoteFolder, during_session, look_all, on_server
from farm.node.session.lts_values import told_values
if sys.argv[1:] == ["look"]:
    print(json.dumps(look_all().get("sound", {})))
else:
    folder = RemoteFolder(lambda: on_server("mktemp -d /tmp/farm-XXXXXXXX 2>&1; true"))
    with during_session(told_values(), folder) as environment:
        print(json.dumps(environment))
"""
AS_SESSION = ("setpriv", "--reuid=64000", "--regid=64000", "--clear-groups")


def set_up(room: LoginRoom) -> None:
    """Let the client have what an account has at a log-in, and the server another user."""
    room.client.machine.run("install", "-d", "-o", "64000", "-g", "64000", "-m", "0700", "/run/user/64000")
    room.client.machine.write("/usr/bin/user-manager", USER_MANAGER, 0o755)
    room.client.machine.write("/etc/lightdm/lightdm.conf.d/99-test.conf", "[Seat:*]\nsession-wrapper=user-manager\n")
    room.client.told(room.server.settings(), session="plain")
    room.server.add_user(OTHER, "secret")


def look(room: LoginRoom) -> dict[str, Any]:
    """What the client tells of its sound."""
    said = room.client.machine.run("/usr/bin/python3", "-I", "-c", EXTRAS, "look").stdout
    told: dict[str, Any] = json.loads(said)
    return told


@pytest.fixture(scope="module")
def session() -> Iterator[LoginRoom]:
    """A room in which a user is logged in."""
    with login_room() as room:
        set_up(room)
        room.client.start_greeter()
        assert {} == look(room)
        room.client.type(USER)
        room.client.wait_for_question()
        room.client.type(PASSWORD)
        until(lambda: WINDOW in room.client.screen(), "the session does not appear")
        yield room


def pulse_server(room: LoginRoom) -> str:
    """Where the session's programs find the sound server."""
    lines = room.server.machine.path(f"/home/{USER}/session-environment").read_text().splitlines()
    return next(line for line in lines if line.startswith("PULSE_SERVER="))


def on_server(room: LoginRoom, user: str, *argv: str) -> list[str]:
    """The command line that runs a program as a session's user does on the server."""
    environment = ("env", f"HOME=/home/{user}", pulse_server(room))
    return room.server.machine.argv("runuser", "-u", user, "--", *environment, *argv)


def on_client(room: LoginRoom, *argv: str) -> list[str]:
    """The same on the client, in the session's account."""
    environment = ("env", "HOME=/run/farm/home", "XDG_RUNTIME_DIR=/run/user/64000")
    return room.client.machine.argv(*AS_SESSION, *environment, *argv)


def carried(player: Diskless, play: list[str], record: list[str], hertz: int) -> bool:
    """Whether a tone that one program plays for a while is heard by another one."""
    player.path(TONE).write_bytes(wav(hertz, PATIENCE))
    player.path(TONE).chmod(0o644)
    with (
        subprocess.Popen(record, stdout=subprocess.PIPE) as recorder,
        subprocess.Popen([*play, TONE]) as playing,
    ):
        assert recorder.stdout
        heard = b""
        while not has_tone(heard, hertz) and playing.poll() is None:
            heard = (heard + recorder.stdout.read(RATE // 2))[-4 * RATE :]
        for process in (recorder, playing):
            process.kill()
    return has_tone(heard, hertz)


def test_what_the_servers_programs_play_comes_out_here(session: LoginRoom) -> None:
    play = on_server(session, USER, "paplay")
    record = on_client(session, "parec", *RAW, "--device=speakers.monitor")
    assert carried(session.server.machine, play, record, 440)


def test_what_is_said_here_is_heard_by_the_servers_programs(session: LoginRoom) -> None:
    play = on_client(session, "paplay", "--device=air")
    record = on_server(session, USER, "parec", *RAW)
    assert carried(session.client.machine, play, record, 700)


def test_nobody_else_can_listen_or_speak(session: LoginRoom) -> None:
    mine = subprocess.run(on_server(session, USER, "pactl", "info"), capture_output=True, text=True, check=False)
    assert "Host Name: pc01" in mine.stdout, mine.stderr
    others = subprocess.run(on_server(session, OTHER, "pactl", "info"), capture_output=True, text=True, check=False)
    assert (1, "") == (others.returncode, others.stdout)
    path = session.server.machine.path(pulse_server(session).removeprefix("PULSE_SERVER=unix:"))
    assert (0o700, 0o600) == (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777)

    for machine in (session.client.machine, session.server.machine):
        listening = machine.run("ss", "-H", "-l", "-t", "-u", "-n", "-p").stdout.splitlines()
        assert [] == [line for line in listening if "sshd" not in line]


def test_it_is_told_how_sound_does(session: LoginRoom) -> None:
    expected = {"running": True, "failed": "", "output": "Loudspeakers", "microphone": "Headset"}
    assert {**expected, "volume": 100, "muted": False} == look(session)
    subprocess.run(on_server(session, USER, "pactl", "set-sink-volume", "speakers", "35%"), check=True)
    subprocess.run(on_server(session, USER, "pactl", "set-sink-mute", "speakers", "1"), check=True)
    assert {**expected, "volume": 35, "muted": True} == look(session)


def test_what_told_of_sound_may_take_its_time_to_end(session: LoginRoom) -> None:
    machine = session.client.machine
    machine.run("mv", "/usr/bin/timeout", "/usr/bin/timeout-itself")
    machine.write("/usr/bin/timeout", '#!/bin/sh\ntimeout-itself "$@"\nexec >&-\nsleep 1\n', 0o755)
    assert look(session)["running"]
    machine.run("mv", "/usr/bin/timeout-itself", "/usr/bin/timeout")


@pytest.fixture(scope="module")
def connected() -> Iterator[LoginRoom]:
    """A room whose server forwards no sockets, to which a user has connected."""
    with login_room() as room:
        set_up(room)
        room.server.restart("KbdInteractiveAuthentication yes\nAllowStreamLocalForwarding no\n")
        assert room.client.log_in(USER, PASSWORD)[0]
        yield room


def begin(room: LoginRoom, **lts: str) -> dict[str, str]:
    """Begin a session, and end it: what its environment has of sound."""
    room.client.set_lts(**lts)
    done = room.client.machine.run(*AS_SESSION, "/usr/bin/python3", "-I", "-c", EXTRAS)
    environment: dict[str, str] = json.loads(done.stdout)
    return {key: value for key, value in environment.items() if key.startswith("PULSE")}


def test_a_session_begins_without_sound(connected: LoginRoom) -> None:
    assert {} == begin(connected, SOUND="False")
    assert {} == look(connected)

    assert {} == begin(connected)
    assert "no sound server runs on this machine" == look(connected)["failed"]

    connected.client.machine.write("/run/user/64000/pulse/native", "")
    assert {} == begin(connected)
    reason = "the server's sshd forwards no sockets (AllowStreamLocalForwarding)"
    assert {"running": False, "failed": reason} == look(connected)

    connected.server.machine.run("chmod", "0700", "/tmp")
    assert {} == begin(connected)
    assert look(connected)["failed"].startswith("no folder on the server: mktemp: failed to create directory")
    connected.server.machine.run("chmod", "1777", "/tmp")


def test_what_a_session_left_is_not_trusted(connected: LoginRoom) -> None:
    connected.client.machine.run("ln", "-sfn", "/etc/shadow", "/run/farm/login/sound")
    assert "" == look(connected)["failed"]
