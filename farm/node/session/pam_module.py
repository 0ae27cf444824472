"""The PAM module of a thin client's log-in, loaded by pam_python.so; what PAM wants of it has PAM's names.

lightdm runs it as root, in a process for each log-in. The file is loaded by its path, so that it has to say itself
where the rest of the package is.
"""

from __future__ import annotations

import os
import re
import sys
import syslog
import textwrap
import traceback
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "../../..")))

from farm.node.contract import SettingsError
from farm.node.session import client_account, greeter_mark, log_ins, notice
from farm.node.session.interview import PASSWORD
from farm.node.session.ldminfo import by_rating
from farm.node.session.log_in import LogIn
from farm.node.session.login_failure import LoginFailure
from farm.node.session.lts_values import told_values
from farm.node.session.server_choice import choose
from farm.node.session.session_settings import read_session
from farm.node.session.ssh_command import known_hosts
from farm.node.session.user_name import why_not

COLUMNS = 60
"""Of a text: the greeter's window grows with its longest line."""
_DISPLAY = re.compile(r":[0-9]{1,4}")


class Greeter:
    """The person at the greeter, through PAM's conversation."""

    def __init__(self, pamh: Any) -> None:
        self._pamh = pamh

    def ask(self, text: str) -> str | None:
        """What they type without its being shown, or None when they give up.

        A question of the server is told as well: the greeter shows none as long as it shows something else.
        """
        if text != PASSWORD:
            self.tell(text)
        typed = self._pamh.conversation(self._pamh.Message(self._pamh.PAM_PROMPT_ECHO_OFF, text)).resp
        return None if typed is None else str(typed)

    def tell(self, text: str) -> None:
        """Say what is going on, or what went wrong.

        Never as an error: lightdm-gtk-greeter 2.0.8 puts a sentence of its own in its place.
        """
        self._pamh.conversation(self._pamh.Message(self._pamh.PAM_TEXT_INFO, textwrap.fill(text, COLUMNS)))


def pam_sm_authenticate(pamh: Any, flags: int, argv: list[str]) -> int:
    """Log the user in on a server, and leave the connection open."""
    return _guarded(pamh, lambda: _authenticate(pamh))


def pam_sm_setcred(pamh: Any, flags: int, argv: list[str]) -> int:
    """Nothing: the server decides what the user can do there."""
    return int(pamh.PAM_SUCCESS)


def pam_sm_open_session(pamh: Any, flags: int, argv: list[str]) -> int:
    """Nothing: the log-in has made all that a session needs."""
    return int(pamh.PAM_SUCCESS)


def pam_sm_close_session(pamh: Any, flags: int, argv: list[str]) -> int:
    """End what is left of the session, the connection with it."""
    return _guarded(pamh, lambda: _close(pamh))


def _authenticate(pamh: Any) -> int:
    greeter = Greeter(pamh)
    if left := notice.take():
        greeter.tell(left)
    try:
        settings = read_session()
    except SettingsError as error:
        greeter.tell(f"No log-in is possible here, as this machine's settings can not be used: {error}.")
        return int(pamh.PAM_AUTHINFO_UNAVAIL)
    if pamh.user is None:
        greeter_mark.put()
    user = pamh.get_user(None) or ""
    lts = told_values()
    if reason := why_not(
        user, client_account.local_names(), lts.words("LDM_USER_ALLOW") or lts.words("LDM_ALLOW_USER")
    ):
        log_ins.note(user, "", reason)
        greeter.tell(reason)
        return int(pamh.PAM_USER_UNKNOWN)
    servers = choose(settings, lts).servers
    client_account.make(user, known_hosts(servers))
    display = pamh.tty or ""
    log_in = LogIn(user, greeter, display if _DISPLAY.fullmatch(display) else ":0")
    outcome = log_in.try_all(by_rating(servers))
    if outcome is None or isinstance(outcome, LoginFailure):
        client_account.clear()
        if outcome:
            greeter.tell(outcome.sentence)
        return int(pamh.PAM_AUTH_ERR)
    syslog.syslog(syslog.LOG_AUTH | syslog.LOG_INFO, f"{user} logged in on {outcome.host}")
    log_ins.note(user, outcome.host)
    greeter_mark.remove()
    return int(pamh.PAM_SUCCESS)


def _close(pamh: Any) -> int:
    notice.keep()
    client_account.clear()
    return int(pamh.PAM_SUCCESS)


def _guarded(pamh: Any, step: Callable[[], int]) -> int:
    """Run a step. What goes wrong with the machine itself is in its log: no traceback reaches a greeter."""
    try:
        return step()
    except pamh.exception:  # the greeter is gone
        client_account.clear()
        return int(pamh.PAM_CONV_ERR)
    except Exception:
        for line in traceback.format_exc().splitlines():
            syslog.syslog(syslog.LOG_AUTH | syslog.LOG_ERR, line)
        Greeter(pamh).tell("The log-in failed because of this machine itself; its log says why.")
        return int(pamh.PAM_SYSTEM_ERR)
