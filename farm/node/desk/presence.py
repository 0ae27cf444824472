"""Whether somebody uses this machine: by logind's sessions, and by keyboard and mouse."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from farm.node.desk.input_watch import InputWatch

SESSIONS = "/run/systemd/sessions"
"""It changes when somebody logs in or out."""
ASK_SECONDS = 2.0
"""While somebody is logged in, logind is asked so often whether the screen is locked or idle."""
ASK_AGAIN_SECONDS = 15.0
"""While nobody is: logind may not have answered."""
MAX_SESSIONS = 64
PROPERTIES = ("Id", "Class", "Seat", "State", "IdleHint", "IdleSinceHintMonotonic", "LockedHint")


class LogindSession(NamedTuple):
    """A session of logind at a seat, of a person (class user), who is still logged in."""

    id: str
    idle_since: float | None
    """On the monotonic clock, in seconds; None: it is not idle."""
    locked: bool


def parse_sessions(text: str) -> list[LogindSession]:
    """The sessions of people at the screen, of what ``loginctl show-session`` says: blocks of lines KEY=value.

    A greeter is of another class, ssh has no seat, and a session that is being taken down is in another state.
    """
    found = []
    for block in text.split("\n\n")[:MAX_SESSIONS]:
        said = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if said.get("Class") == "user" and said.get("Seat") and said.get("State") in ("active", "online"):
            since = said.get("IdleSinceHintMonotonic", "")
            idle = said.get("IdleHint") == "yes" and since.isascii() and since.isdecimal()
            idle_since = int(since[:18]) / 1e6 if idle else None
            found.append(LogindSession(said.get("Id", ""), idle_since, said.get("LockedHint") == "yes"))
    return found


def is_used(
    sessions: Iterable[LogindSession],
    locked_since: Mapping[str, float],
    last_input: float | None,
    now: float,
    free_after: float,
) -> bool:
    """Whether somebody uses the machine at ``now``. All times are of the monotonic clock, in seconds.

    A screen that was locked or idle for ``free_after`` is left, as is one without input for so long.
    """
    if last_input is not None and now - last_input >= free_after:
        return False
    for session in sessions:
        left = [since for since in (session.idle_since, locked_since.get(session.id)) if since is not None]
        if not left or now - min(left) < free_after:
            return True
    return False


def ask_logind() -> str:
    """What logind says of all sessions; empty when it does not answer."""
    listed = _loginctl("list-sessions", "--no-legend")
    # A session's name is of letters and digits; an option is none.
    ids = [line.split()[0] for line in listed.splitlines() if line.split()]
    ids = [name for name in ids if name.isalnum()][:MAX_SESSIONS]
    return _loginctl("show-session", *(f"--property={name}" for name in PROPERTIES), "--", *ids) if ids else ""


def _loginctl(*words: str) -> str:
    try:
        done = subprocess.run(["loginctl", *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


class Presence:
    """Looks again and again whether somebody uses the machine, and asks logind only when that may have changed."""

    def __init__(
        self,
        free_after: float,
        ask: Callable[[], str] = ask_logind,
        inputs: InputWatch | None = None,
        sessions: str = SESSIONS,
    ) -> None:
        self._free_after = free_after
        """In seconds, since the last sign of anybody."""
        self._ask = ask
        self._inputs = inputs or InputWatch()
        self._folder = sessions
        self._known: list[LogindSession] = []
        self._changed = -1
        self._asked = 0.0
        self._locked: dict[str, float] = {}
        """Session → since when its screen is locked."""

    def look(self, now: float) -> bool:
        """Whether somebody uses it; ``now``: of the monotonic clock."""
        changed = self._last_change()
        if changed != self._changed or now - self._asked >= (ASK_SECONDS if self._known else ASK_AGAIN_SECONDS):
            # Before the answer: what changes after the question is asked again.
            self._changed, self._asked = changed, now
            self._known = parse_sessions(self._ask())
        locked = [session.id for session in self._known if session.locked]
        self._locked = {id: self._locked.get(id, now) for id in locked}
        return is_used(self._known, self._locked, self._inputs.last(now), now, self._free_after)

    def _last_change(self) -> int:
        try:
            return os.stat(self._folder).st_mtime_ns
        except OSError:
            return 0
