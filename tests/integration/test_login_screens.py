"""Screens of a thin client, and what lts.conf says of the machine: real lightdm, Xorg, ssh and systemd."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from farm.node.session.lts_screens.run import FOLDER
from tests.lab import until
from tests.login_room import PASSWORD, SERVER, USER, X_WITHOUT_A_SCREEN, LoginRoom, login_room

APPLY = """
from farm.node.lts.precedence import KnownMachine
from farm.node.session.lts_values import told_values
from farm.node.session.machine_setup import apply
apply(told_values(), KnownMachine("pc01", "10.0.0.5", "52:54:00:00:00:01"))
"""
RUN = ("/usr/bin/python3", "-I", "-m", "farm.node.session.lts_screens.run")
UNITS = "/etc/systemd/system"


@pytest.fixture(scope="module")
def shared() -> Iterator[LoginRoom]:
    with login_room() as room:
        machine = room.client.machine
        machine.run("systemd-sysusers", "/usr/lib/sysusers.d/farm-screen.conf")
        machine.write("/usr/bin/X", X_WITHOUT_A_SCREEN, 0o755)
        yield room


def said(room: LoginRoom, **values: str) -> str:
    """What the machine's log says of these values, once they are applied."""
    room.client.set_lts(**values)
    return room.client.machine.run("/usr/bin/python3", "-I", "-c", APPLY).stderr


def on(room: LoginRoom, number: int, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program on the X server of a screen, as root with its cookie."""
    return room.client.machine.run(
        "env", f"DISPLAY=:{number}", f"XAUTHORITY={FOLDER}/{number}/.Xauthority", *argv, check=False
    )


def test_a_log_in_and_a_screen_with_windows(shared: LoginRoom) -> None:
    machine = shared.client.machine
    said(
        shared,
        SCREEN_07="ldm",
        SCREEN_08="xterm",
        X_NUMLOCK="True",
        X_BLANKING="120",
        SCREEN_08_X_BLANKING="240",
        SCREEN_08_XKBLAYOUT="fr",
    )
    shared.client.start_greeter()
    screen = machine.start("screen", *RUN, "8")
    until(lambda: "xterm" in on(shared, 8, "xwininfo", "-root", "-tree").stdout, "there is no window")

    log_in, other = shared.client.on_screen("xset", "q").stdout, on(shared, 8, "xset", "q").stdout
    assert ("timeout:  120" in log_in, "timeout:  240" in other) == (True, True)
    assert "Num Lock:    on" in log_in
    assert "fr" in on(shared, 8, "setxkbmap", "-query").stdout
    assert "us" in shared.client.on_screen("setxkbmap", "-query").stdout
    assert 0 != machine.run("env", "DISPLAY=:8", "xset", "q", check=False).returncode, "it needs no cookie"

    machine.run("pkill", "-x", "xterm")
    assert 0 == screen.wait()
    assert not machine.path(f"{FOLDER}/8").exists()
    assert "Xvfb :8" not in machine.run("ps", "-eo", "args").stdout


def test_a_screen_ends_with_its_unit(shared: LoginRoom) -> None:
    machine = shared.client.machine
    shared.client.set_lts(SCREEN_09="xterm")
    screen = machine.start("screen", *RUN, "9")
    until(lambda: "xterm" in on(shared, 9, "xwininfo", "-root", "-tree").stdout, "there is no window")
    machine.run("pkill", "--signal", "TERM", "-f", "screens.run 9")
    assert 0 == screen.wait()
    assert "Xvfb :9" not in machine.run("ps", "-eo", "args").stdout


def test_a_program_runs_as_a_user_without_rights(shared: LoginRoom) -> None:
    machine = shared.client.machine
    machine.write("/usr/bin/chromium", '#!/bin/sh\nid > "$HOME/who"; echo "$@" >> "$HOME/who"; exec xev\n', 0o755)
    shared.client.set_lts(SCREEN_10="kiosk http://intranet/?a=$(id)", KIOSK_EXE="/usr/bin/chromium")
    screen = machine.start("screen", *RUN, "10")
    until(lambda: "Event Tester" in on(shared, 10, "xwininfo", "-root", "-tree").stdout, "there is no window")
    who = machine.path(f"{FOLDER}/10/who").read_text()
    assert "farm-screen" in who
    assert "groups=" in who and "root" not in who
    assert "http://intranet/?a=$(id)\n" in who
    machine.run("pkill", "-x", "xev")
    screen.wait()


def test_a_log_in_by_ssh_on_a_console(shared: LoginRoom) -> None:
    shared.client.set_lts(SCREEN_02="ssh")
    argv = shared.client.machine.argv("script", "-q", "-c", " ".join([*RUN, "2"]), "/dev/null")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        seen = b""

        def wait_for(text: bytes) -> None:
            nonlocal seen
            while text not in seen:
                assert process.stdout
                piece = process.stdout.read1()
                assert piece, seen
                seen += piece

        def type_line(text: str) -> None:
            assert process.stdin
            process.stdin.write(f"{text}\r".encode())
            process.stdin.flush()

        wait_for(b" as: ")
        type_line(USER)
        wait_for(b"assword:")
        type_line(PASSWORD)
        wait_for(b"$ ")
        type_line("echo I am $(id -un) on $(hostname); exit")
        wait_for(b"I am bob on server")
        process.stdin.close()
        process.wait()


def test_xorg_reads_what_is_written_for_it(shared: LoginRoom) -> None:
    machine = shared.client.machine
    log = said(
        shared,
        XKBLAYOUT="de,us",
        XKBOPTIONS="grp:alt_shift_toggle",
        X_MODE_0="1024x768 65.00 1024 1048 1184 1344 768 771 777 806 -hsync -vsync",
        X_HORZSYNC="30.0-80.0",
        X_VERTREFRESH="50-75",
        XSERVER="fbdev",
    )
    assert "left out" not in log
    done = machine.run("/usr/lib/xorg/Xorg", ":11", "-sharevts", "-novtswitch", "-logfile", "/tmp/x.log", check=False)
    read = machine.path("/tmp/x.log").read_text()
    assert "Parse error" not in done.stderr
    assert '(**) |-->Screen "lts.conf" (0)' in read
    assert '(**) |   |-->Monitor "lts.conf"' in read
    assert 'LoadModule: "fbdev"' in read


def test_systemd_takes_the_units(shared: LoginRoom) -> None:
    machine = shared.client.machine
    said(
        shared,
        SHUTDOWN_TIME="18:30",
        FSTAB_1="/dev/sda1 /home/my-data ext4 ro",
        FSTAB_2="s:/srv /srv/shared fuse.sshfs",
    )
    names = ["farm-screen-text@2", "farm-screen-x@8", "farm-screen-first@8", "farm-local-swap@sda2", "farm-send-log"]
    units = [f"{name}.service" for name in names] + [
        "farm-shutdown.timer",
        "farm-resolver.service",
        "farm-resolver.path",
    ]
    for unit in units:
        template = unit.partition("@")[0] + ("@.service" if "@" in unit else "")
        machine.run("cp", f"{UNITS}/{template}", f"/tmp/{unit}")
    done = machine.run("systemd-analyze", "verify", *(f"/tmp/{unit}" for unit in units), check=False)
    assert (0, "") == (done.returncode, done.stderr)

    machine.run("mkdir", "-p", "/tmp/made")
    machine.run("/usr/lib/systemd/system-generators/systemd-fstab-generator", *["/tmp/made"] * 3)
    made = {path.name for path in machine.path("/tmp/made").iterdir()}
    assert {"home-my\\x2ddata.mount", "srv-shared.automount"} <= made
    options = machine.path("/tmp/made/srv-shared.mount").read_text()
    assert "TimeoutSec=15s" in options
    assert "nosuid,nodev" in options


def test_the_log_goes_to_a_server(shared: LoginRoom) -> None:
    machine = shared.client.machine
    entry = {"MESSAGE": "one\ntwo", "SYSLOG_IDENTIFIER": "sudo", "_PID": "7", "PRIORITY": "4", "SYSLOG_FACILITY": "10"}
    machine.write("/tmp/journal", f"this is no entry\n{json.dumps(entry)}\n")
    machine.write("/usr/bin/journalctl", "#!/bin/sh\nexec cat /tmp/journal\n", 0o755)
    shared.client.set_lts(SYSLOG_HOST=SERVER)
    listener = (
        "import socket; s = socket.socket(2, 2); s.bind(('', 514)); print('ready', flush=True); print(s.recv(2000))"
    )
    server = shared.server.machine
    heard = server.start("syslog", "/usr/bin/python3", "-I", "-c", listener)
    until(lambda: "ready" in server.log("syslog"), "nobody listens")
    machine.run("/usr/bin/python3", "-I", "-m", "farm.node.session.machine_setup.log_sender")
    until(lambda: heard.poll() is not None, "no line comes in")
    assert "<84>" in server.log("syslog")
    assert "sudo[7]: one two" in server.log("syslog")


def test_the_machine_is_called_what_it_is_told(shared: LoginRoom) -> None:
    machine = shared.client.machine
    said(shared, HOSTNAME="Room7", HOSTS_01="10.99.7.1 school", TIMEZONE="Europe/Athens")
    assert "room7" == machine.run("hostname").stdout.strip()
    assert "10.99.7.1" in machine.run("getent", "hosts", "school").stdout
    assert machine.run("date", "+%Z").stdout.strip() in ("EET", "EEST")
