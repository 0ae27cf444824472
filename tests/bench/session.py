"""A thin client's session beside plain ssh -Y to the same server: how soon it is there, and how fast it draws.

Both in namespaces, on an X server without a screen; the same password, the same program on the server. ssh -Y starts
it once as a session is started, by the server's Xsession, and once by itself, which no desktop is.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tests.lab import PATIENCE
from tests.login_room import PASSWORD, USER, LoginRoom, login_room

ROUNDS = 7
"""Of each kind in turns, as the computer may have other things to do."""
DRAW_ROUNDS = 3
DRAWS = ("rect500", "ftext", "putimage500")
"""Of x11perf, in the order in which it runs them: surfaces, text and pictures."""
OPEN_DISPLAY = ":77"
"""Beyond the ports that a machine of the lab closes to others (6000 to 6009)."""
DISPLAY, EVENTS = f"/home/{USER}/display", f"/home/{USER}/events"
"""Files: by what the session's programs find X, and what the program's window was told."""
SESSION = f"""#!/bin/sh
echo "$DISPLAY ${{XAUTHORITY:-$HOME/.Xauthority}}" > {DISPLAY}
exec xev > {EVENTS}
"""
SOUND = "/run/user/64000/pulse"
"""Where a machine's sound server has its socket: a session has it forwarded."""
ASKPASS = f"#!/bin/sh\necho '{PASSWORD}'\n"
SHOWN = "MapNotify"
"""What the window is told when it is on the screen."""
POLL_SECONDS = 0.002


class Waits(NamedTuple):
    """Seconds until the first window, from the last key of the password or the beginning of ssh."""

    session: float
    same: float
    """By ssh -Y, which runs the server's Xsession with the program."""
    bare: float
    """By ssh -Y, which runs the program alone."""


class Drawn(NamedTuple):
    """What x11perf draws per second, by kind."""

    session: dict[str, float]
    plain: dict[str, float]
    """By ``ssh -Y``; of LDM_DIRECTX: to an X server that anyone's programs reach by TCP."""


@dataclass(frozen=True)
class Sessions:
    """All rounds."""

    waits: list[Waits]
    drawn: list[Drawn]
    direct: list[Drawn]
    """With LDM_DIRECTX."""


def measure() -> Sessions:
    """Takes about two minutes and a half."""
    direct = _drawn_directly()
    with login_room() as room:
        room.server.machine.write("/usr/bin/plain", SESSION, 0o755)
        room.server.machine.write(f"/home/{USER}/.dmrc", "[Desktop]\nSession=plain\n")
        room.client.machine.write("/usr/bin/plain-askpass", ASKPASS, 0o755)
        room.client.machine.run("install", "-d", "-o", "64000", "-g", "64000", SOUND)
        room.client.machine.write(f"{SOUND}/native", "")
        room.client.start_greeter()
        waits = [
            Waits(_session(room), _plain(room, "/etc/X11/Xsession plain"), _plain(room, "plain")) for _ in range(ROUNDS)
        ]
        return Sessions(waits, _drawn_in_turns(room, lambda: _plainly_drawn(room)), direct)


def _drawn_directly() -> list[Drawn]:
    """In a session with LDM_DIRECTX, and on an X server of the same machine that has no door."""
    with login_room() as room:
        room.server.machine.write("/usr/bin/plain", SESSION, 0o755)
        room.server.machine.write(f"/home/{USER}/.dmrc", "[Desktop]\nSession=plain\n")
        room.client.set_lts(LDM_DIRECTX="True")
        room.client.start_greeter()
        display = f"{room.client.machine.namespace.address}{OPEN_DISPLAY}"
        room.client.machine.start("open", "Xvfb", OPEN_DISPLAY, "-listen", "tcp", "-ac", "-screen", "0", "800x600x24")
        return _drawn_in_turns(room, lambda: _draw(room, ["env", f"DISPLAY={display}"]))


def _session(room: LoginRoom) -> float:
    """Log in by typing, and out again; seconds until the window was there."""
    waited = _log_in(room)
    _log_out(room)
    return waited


def _log_in(room: LoginRoom) -> float:
    asked = room.client.machine.log("lightdm").count("Greeter start authentication for")
    room.client.type(USER)
    room.client.wait_for_question(attempts=asked + 1)
    room.client.on_screen("xdotool", "type", PASSWORD)
    return _seconds(room, lambda: room.client.on_screen("xdotool", "key", "Return"))


def _log_out(room: LoginRoom) -> None:
    greeters = room.client.machine.log("lightdm").count("Greeter connected")
    room.server.machine.run("pkill", "-x", "xev")
    room.client.wait_for_greeter(times=greeters + 1)


def _plain(room: LoginRoom, command: str) -> float:
    """The same program by ssh -Y alone, on a machine that acknowledges as Linux does by itself (see `quick_acks`)."""
    _set_quick_acks(room, on=False)
    waiting: list[subprocess.Popen[bytes]] = []
    waited = _seconds(room, lambda: waiting.append(room.client.machine.start("plain", *_ssh(room, command))))
    room.server.machine.run("pkill", "-x", "xev")
    waiting[0].wait()
    _set_quick_acks(room, on=True)
    return waited


def _set_quick_acks(room: LoginRoom, *, on: bool) -> None:
    (route,) = room.client.machine.run("ip", "-4", "route", "show").stdout.splitlines()
    words = route.partition(" quickack")[0].split()
    room.client.machine.run("ip", "-4", "route", "change", *words, "quickack", str(int(on)))


def _ssh(room: LoginRoom, command: str) -> list[str]:
    """The plain command line, which gets its password from a program."""
    given = ["DISPLAY=:0", "XAUTHORITY=/run/lightdm/root/:0", "SSH_ASKPASS=/usr/bin/plain-askpass"]
    options = ["-F", "none", "-Y", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    return ["env", *given, "SSH_ASKPASS_REQUIRE=force", "ssh", *options, "-l", USER, room.server.address, command]


def _seconds(room: LoginRoom, begin: Callable[[], object]) -> float:
    """How long it takes until the window is there. Nobody asks X, so that asking takes no time of it."""
    events = room.server.machine.path(EVENTS)
    events.unlink(missing_ok=True)
    started = time.monotonic()
    begin()
    while not events.exists() or SHOWN not in events.read_text():
        assert time.monotonic() < started + PATIENCE, "there is no window"
        time.sleep(POLL_SECONDS)
    return time.monotonic() - started


def _drawn_in_turns(room: LoginRoom, plainly: Callable[[], dict[str, float]]) -> list[Drawn]:
    """What a program of the server draws in a session, and without one beside it."""
    _log_in(room)
    display, authority = room.server.machine.path(DISPLAY).read_text().split()
    session = ["env", f"DISPLAY={display}", f"XAUTHORITY={authority}"]
    drawn = [Drawn(_draw(room, session), plainly()) for _ in range(DRAW_ROUNDS)]
    _log_out(room)
    return drawn


def _plainly_drawn(room: LoginRoom) -> dict[str, float]:
    return _rates(room.client.machine.run(*_ssh(room, f"x11perf {_words()}")).stdout)


def _words() -> str:
    return " ".join(["-repeat 3 -time 1", *(f"-{kind}" for kind in DRAWS)])


def _draw(room: LoginRoom, prefix: list[str]) -> dict[str, float]:
    uid = room.server.machine.run("id", "-u", USER).stdout.strip()
    as_user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return _rates(room.server.machine.run(*as_user, *prefix, "x11perf", *_words().split()).stdout)


def _rates(said: str) -> dict[str, float]:
    """Medians of what x11perf has counted (``1200 reps @ 0.83 msec (1200.0/sec): PutImage…``)."""
    kinds: dict[str, list[float]] = {}
    for rate, kind in re.findall(r"^ *\d+ reps @ +[\d.]+ msec \( *([\d.]+)/sec\): (.+)$", said, re.MULTILINE):
        kinds.setdefault(kind, []).append(float(rate))
    return dict(zip(DRAWS, (statistics.median(rates) for rates in kinds.values()), strict=True))
