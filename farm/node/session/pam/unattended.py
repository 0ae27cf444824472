"""Log-ins for which nobody types a password: that of the machine itself (LDM_AUTOLOGIN) and a guest's (LDM_GUESTLOGIN).

Both are of one user, LDM_USERNAME. They begin at the greeter, which says why they fail; a name can be typed there at
any time instead.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from farm.node.files import read, write
from farm.node.retry import pauses
from farm.node.session.lts_values import LtsValues
from farm.node.session.pam import client_account
from farm.node.session.pam.interview import PASSWORD
from farm.node.session.pam.log_in import Outcome
from farm.node.session.pam.login_failure import ELSEWHERE, LoginFailure
from farm.node.session.pam.open_question import OpenQuestion
from farm.node.session.pam.user_name import USER_NAME
from farm.node.session.session_settings import SessionServer

FILE = "/run/farm/unattended"
"""What the last one came to."""
AUTOLOGIN, GUEST = "autologin", "guest"
LISTED = "farm-guest"
"""The guest's name in the greeter's list: lightdm would keep what it finds there of the user, who becomes another."""
KINDS = {"LDM_AUTOLOGIN": AUTOLOGIN, "LDM_GUESTLOGIN": GUEST}
"""The first that is set counts."""
MAX_TIMEOUT = 24 * 3600
GAP_SECONDS = 15.0
"""Between two log-ins by themselves: a session that ends at once must not be started again and again."""
SERVER_PAUSES = 5.0, 60.0
"""Seconds between tries when it is the servers' fault."""
USER_PAUSES = 300.0, 3600.0
"""The same when it is the account's: servers lock accounts after a few wrong passwords."""


class Unattended(NamedTuple):
    """Such a log-in, as lts.conf says it."""

    kind: str
    """One of the KINDS: AUTOLOGIN or GUEST."""
    user: str
    password: str
    after: float | None
    """Seconds until it begins by itself; None: when somebody asks for it."""
    once: bool = False
    """After a log-out the greeter waits for somebody."""

    @property
    def in_list(self) -> bool:
        """Whether the greeter offers it in a list, beside log-ins with a name."""
        return self.kind == GUEST

    def begins_with(self, name: str | None, last: Last) -> bool:
        """Whether it is meant when the greeter begins with this name; None: with nobody's."""
        over = self.once and last.at and not last.failed
        return not over and name == (LISTED if self.in_list else None)


class Last(NamedTuple):
    """How the last one went."""

    failed: str = ""
    """The sentence about it."""
    at: float = 0.0
    """Seconds after the kernel's start."""


def offered(lts: LtsValues, host: str) -> Unattended | None:
    """The log-in that lts.conf wants on a machine with this name; None when there is none."""
    kind = next((kind for variable, kind in KINDS.items() if lts.is_on(variable)), "")
    if not kind:
        return _ltsp23(lts, host)
    if lts.text("HOST_TO_USERNAME") and not host:
        return None
    user = lts.text("LDM_USERNAME") or mapped(lts.text("HOST_TO_USERNAME"), host) or host
    seconds = lts.number("LDM_LOGIN_TIMEOUT", 0, MAX_TIMEOUT, 0)
    after = float(seconds) if kind == AUTOLOGIN or seconds else None
    return Unattended(kind, user, lts.found.get("LDM_PASSWORD", "") or user, after)


def mapped(rule: str, host: str) -> str:
    """The user of a host by HOST_TO_USERNAME: ``pc/guest`` makes guest01 of pc01; empty when it does not apply."""
    begin, slash, user = rule.partition("/")
    return user + host.removeprefix(begin) if slash and re.match(re.escape(begin) + "[0-9]", host) else ""


def _ltsp23(lts: LtsValues, host: str) -> Unattended | None:
    """The same by the names of LTSP 23: AUTOLOGIN is a user, or such a rule; RELOGIN=0 makes it happen once."""
    said = lts.text("AUTOLOGIN")
    user = mapped(said, host) if "/" in said else said
    once = not lts.is_on("RELOGIN", default=True)
    return Unattended(AUTOLOGIN, user, password_of(lts, user), 0.0, once) if user else None


def password_of(lts: LtsValues, user: str) -> str:
    """A user's password by PASSWORDS_x, lists of patterns, each with a slash and a password in base64; or the user."""
    lists = [value for key, value in sorted(lts.found.items()) if key.startswith("PASSWORDS_")]
    for pattern, _, written in (word.partition("/") for each in lists for word in each.split()):
        with contextlib.suppress(re.error, ValueError):  # what is none of these is left out
            if re.fullmatch(pattern, user):
                return base64.b64decode(written, validate=True).decode().rstrip("\n")
    return user


class Nobody:
    """In a person's place: answers with the password, and nothing else."""

    def __init__(self, password: str) -> None:
        self._password = password

    def ask(self, text: str) -> str | None:
        """The password, when that is asked for."""
        return self._password if text == PASSWORD else None

    def tell(self, text: str) -> None:
        """Say nothing, as nobody listens."""


def account(own: Unattended | None) -> str:
    """The line of /etc/passwd by which the greeter offers a guest; empty when there is none."""
    return client_account.line(LISTED, "Guest") if own and own.in_list and USER_NAME.fullmatch(own.user) else ""


def invitation(own: Unattended, last: Last, left: str = "") -> str:
    """What the greeter says while it waits; ``left``: what else there is to say."""
    soon = f" after {own.after:.0f} seconds" if own.after else ""
    if own.in_list:
        what = "Press Enter to log in as a guest." + f" That happens by itself{soon}." * bool(soon)
    elif last.failed:
        what = "Trying again; type a name to log in yourself."
    else:
        what = f"{own.user} is logged in automatically{soon}."
    return " ".join(filter(None, (left, last.failed, what)))


def keep_trying(own: Unattended, question: OpenQuestion, attempt: Callable[[], Outcome], file: str = FILE) -> bool:
    """Log in when it is time, and again as long as that fails; whether somebody is logged in now.

    When there is something new to say it ends, as the greeter shows nothing beside its question.
    """
    last = read_last(file)
    pause = first_pause(own, last, time.clock_gettime(time.CLOCK_BOOTTIME))
    slow, fast = pauses(*USER_PAUSES), pauses(*SERVER_PAUSES)
    while True:
        answered = question.wait(pause)
        outcome = attempt()
        sentence = outcome.sentence if isinstance(outcome, LoginFailure) else ""
        write(file, json.dumps(Last(sentence, time.clock_gettime(time.CLOCK_BOOTTIME))), 0o600)
        if not isinstance(outcome, LoginFailure) or answered or sentence != last.failed:
            return isinstance(outcome, SessionServer)
        pause = next(fast if outcome.kind in ELSEWHERE else slow)


def first_pause(own: Unattended, last: Last, now: float) -> float | None:
    """Seconds until the first try; None: until somebody asks for it."""
    if own.after is None:
        return None
    soon = SERVER_PAUSES[0] if last.failed else 0.0
    gap = GAP_SECONDS - (now - last.at) if last.at and not last.failed else 0.0
    return max(own.after, soon, gap)


def read_last(file: str = FILE) -> Last:
    """How the last one went; nothing when there was none."""
    try:
        failed, at = json.loads(read(file))
        return Last(str(failed), float(at))
    except (ValueError, TypeError):
        return Last()
