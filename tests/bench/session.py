"""A thin client's session beside plain ssh -Y to the same server: how soon it is there, and how fast it draws.

Both in namespaces, on an X server without a screen; the same password, the same program on the server.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab import until
from tests.login_room import PASSWORD, USER, LoginRoom, login_room

ROUNDS = 3
DRAWS = ("rect500", "ftext", "putimage500")
"""Of x11perf, in the order in which it runs them: surfaces, text and pictures."""
SESSION = """#!/bin/sh
echo "$DISPLAY ${XAUTHORITY:-$HOME/.Xauthority}" > "$HOME/display"
exec xev
"""
ASKPASS = f"#!/bin/sh\necho '{PASSWORD}'\n"
WINDOW = "Event Tester"


@dataclass(frozen=True)
class Sessions:
    """Seconds from the last key of the password to the first window; draws per second, by kind."""

    session: list[float]
    plain: list[float]
    drawn: dict[str, float]
    plain_drawn: dict[str, float]


def measure() -> Sessions:
    """Takes about two minutes."""
    with login_room() as room:
        room.server.machine.write("/usr/bin/plain", SESSION, 0o755)
        room.server.machine.write(f"/home/{USER}/.dmrc", "[Desktop]\nSession=plain\n")
        room.client.start_greeter()
        waits = [_session(room) for _ in range(ROUNDS)]
        drawn = _in_session(room)
        plain = [_plain(room) for _ in range(ROUNDS)]
        return Sessions(waits, plain, drawn, _plainly_drawn(room))


def _session(room: LoginRoom) -> float:
    """Log in by typing, and out again; seconds until the window was there."""
    asked = room.client.machine.log("lightdm").count("Greeter start authentication for")
    room.client.type(USER)
    room.client.wait_for_question(attempts=asked + 1)
    room.client.on_screen("xdotool", "type", PASSWORD)
    waited = _seconds(room, lambda: room.client.on_screen("xdotool", "key", "Return"))
    greeters = room.client.machine.log("lightdm").count("Greeter connected")
    room.server.machine.run("pkill", "-x", "xev")
    room.client.wait_for_greeter(times=greeters + 1)
    return waited


def _in_session(room: LoginRoom) -> dict[str, float]:
    """What a program of the server draws in a session."""
    asked = room.client.machine.log("lightdm").count("Greeter start authentication for")
    room.client.type(USER)
    room.client.wait_for_question(attempts=asked + 1)
    _seconds(room, lambda: room.client.type(PASSWORD))
    display, authority = room.server.machine.path(f"/home/{USER}/display").read_text().split()
    drawn = _draw(room, ["env", f"DISPLAY={display}", f"XAUTHORITY={authority}"])
    greeters = room.client.machine.log("lightdm").count("Greeter connected")
    room.server.machine.run("pkill", "-x", "xev")
    room.client.wait_for_greeter(times=greeters + 1)
    return drawn


def _plain(room: LoginRoom) -> float:
    """The same program by ssh -Y alone."""
    waiting: list[subprocess.Popen[bytes]] = []
    waited = _seconds(room, lambda: waiting.append(room.client.machine.start("plain", *_ssh(room, "plain"))))
    room.server.machine.run("pkill", "-x", "xev")
    waiting[0].wait()
    return waited


def _plainly_drawn(room: LoginRoom) -> dict[str, float]:
    return _drawn(room.client.machine.run(*_ssh(room, f"x11perf {_words()}")).stdout)


def _ssh(room: LoginRoom, command: str) -> list[str]:
    """The plain command line, which gets its password from a program."""
    room.client.machine.write("/usr/bin/plain-askpass", ASKPASS, 0o755)
    given = ["DISPLAY=:0", "XAUTHORITY=/run/lightdm/root/:0", "SSH_ASKPASS=/usr/bin/plain-askpass"]
    options = ["-F", "none", "-Y", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    return ["env", *given, "SSH_ASKPASS_REQUIRE=force", "ssh", *options, "-l", USER, room.server.address, command]


def _seconds(room: LoginRoom, begin: Callable[[], object]) -> float:
    started = time.monotonic()
    begin()
    until(lambda: WINDOW in room.client.screen(), "there is no window")
    return time.monotonic() - started


def _words() -> str:
    return " ".join(["-repeat 3 -time 1", *(f"-{kind}" for kind in DRAWS)])


def _draw(room: LoginRoom, prefix: list[str]) -> dict[str, float]:
    uid = room.server.machine.run("id", "-u", USER).stdout.strip()
    as_user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return _drawn(room.server.machine.run(*as_user, *prefix, "x11perf", *_words().split()).stdout)


def _drawn(said: str) -> dict[str, float]:
    """Medians of what x11perf has counted (``1200 reps @ 0.83 msec (1200.0/sec): PutImage…``)."""
    kinds: dict[str, list[float]] = {}
    for rate, kind in re.findall(r"^ *\d+ reps @ +[\d.]+ msec \( *([\d.]+)/sec\): (.+)$", said, re.MULTILINE):
        kinds.setdefault(kind, []).append(float(rate))
    return dict(zip(DRAWS, (statistics.median(rates) for rates in kinds.values()), strict=True))
