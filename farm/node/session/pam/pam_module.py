"""The PAM module of a log-in at a machine's screen, loaded by pam_python.so; what PAM wants of it has PAM's names.

lightdm runs it as root, in a process for each log-in. The file is loaded by its path, so that it has to say itself
where the rest of the package is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import syslog
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "../../../..")))

from farm.node.contract import SettingsError
from farm.node.files import read
from farm.node.session import direct_x, session_kind, user_processes
from farm.node.session.fat import fat_log_in, session_key
from farm.node.session.lts_values import LtsValues, told_values
from farm.node.session.on_screen import log_out
from farm.node.session.pam import client_account, greeter_mark, log_ins, notice, one_at_a_time
from farm.node.session.pam.conversation import Conversation
from farm.node.session.pam.interview import PASSWORD
from farm.node.session.pam.ldminfo import by_rating
from farm.node.session.pam.log_in import LogIn, Outcome
from farm.node.session.pam.login_failure import FailureKind, LoginFailure
from farm.node.session.pam.one_session import limit_to_one
from farm.node.session.pam.open_question import open_question
from farm.node.session.pam.server_choice import choose
from farm.node.session.pam.unattended import Nobody, Unattended, invitation, keep_trying, offered, read_last
from farm.node.session.pam.user_name import why_not
from farm.node.session.session_settings import SessionServer, SessionSettings, read_session
from farm.node.session.ssh_client import ssh_options
from farm.node.session.ssh_client.ssh_command import ALIVE_COUNT, FAT_ALIVE_COUNT, known_hosts

_DISPLAY = re.compile(r":[0-9]{1,4}")


def pam_sm_authenticate(pamh: Any, flags: int, argv: list[str]) -> int:
    """Log the user in on a server, and leave the connection open."""
    return _guarded(pamh, lambda: _authenticate(pamh))


def pam_sm_setcred(pamh: Any, flags: int, argv: list[str]) -> int:
    """Groups for what is plugged in here; else the server decides what the user can do there."""
    return _guarded(pamh, lambda: _join_groups(pamh))


def pam_sm_open_session(pamh: Any, flags: int, argv: list[str]) -> int:
    """Nothing: the log-in has made all that a session needs."""
    return int(pamh.PAM_SUCCESS)


def pam_sm_close_session(pamh: Any, flags: int, argv: list[str]) -> int:
    """End what is left of the session, the connection with it."""
    return _guarded(pamh, lambda: _close(pamh))


def _authenticate(pamh: Any) -> int:
    greeter = Conversation(pamh)
    left = notice.take()
    lts = told_values()
    try:
        settings = read_session()
    except SettingsError as error:
        sentence = f"No log-in is possible here, as this machine's settings can not be used: {error}."
        log_ins.note("", "", sentence, repeats=False)
        greeter.tell(sentence)
        return int(pamh.PAM_AUTHINFO_UNAVAIL)
    own = offered(lts, os.uname().nodename)
    if own and own.begins_with(pamh.user, read_last()):
        reason = why_not(own.user, client_account.local_names(), _allowed(lts))
        if not reason:
            return _unattended(pamh, own, settings, left)
        left = f"{left} {reason}".strip()
    if left:
        greeter.tell(left)
    if pamh.user is None:
        greeter_mark.put()
    user = pamh.get_user(None) or ""
    if reason := why_not(user, client_account.local_names(), _allowed(lts)):
        log_ins.note(user, "", reason)
        greeter.tell(reason)
        return int(pamh.PAM_USER_UNKNOWN)

    def limit(host: str, looked: str) -> LoginFailure | None:
        return limit_to_one(lts, host, looked, _display(pamh), lambda text: greeter.ask(text, shown=True))

    log_in = LogIn(user, greeter, _display(pamh), limit=limit, alive_count=_alive_count(lts))
    outcome = _log_in(pamh, log_in, choose(settings, lts).servers)
    if isinstance(outcome, LoginFailure):
        greeter.tell(outcome.sentence)
    return int(pamh.PAM_SUCCESS if isinstance(outcome, SessionServer) else pamh.PAM_AUTH_ERR)


def _unattended(pamh: Any, own: Unattended, settings: SessionSettings, left: str) -> int:
    """Log in the user of lts.conf, whose password nobody types, beside a question that the greeter shows."""
    servers = choose(settings, told_values(), own.kind).servers
    greeter = Conversation(pamh)
    greeter.tell(invitation(own, read_last(), left))
    greeter_mark.put()

    def question() -> object:
        return greeter.ask(PASSWORD) if own.in_list else pamh.get_user(None)

    def attempt() -> Outcome:
        person = Nobody(own.password)
        alive_count = _alive_count(told_values())
        return _log_in(pamh, LogIn(own.user, person, _display(pamh), repeats=False, alive_count=alive_count), servers)

    with open_question(question) as asked:
        if not keep_trying(own, asked, attempt):
            # Not AUTH_ERR, after which lightdm 1.26 reads the name that was typed, and crashes where there is none.
            return int(pamh.PAM_AUTHINFO_UNAVAIL)
    pamh.user = own.user
    return int(pamh.PAM_SUCCESS)


def _log_in(pamh: Any, log_in: LogIn, servers: Sequence[SessionServer]) -> Outcome:
    """Try the servers; without success nothing is left of it here. Nobody's session ends for another's log-in."""
    with one_at_a_time.turn() as mine:
        if not mine:
            return LoginFailure(FailureKind.NOT_ALONE, "")
        if log_out.who():
            return LoginFailure(FailureKind.SOMEBODY_HERE, "")
        try:
            return _log_in_alone(pamh, log_in, servers)
        except Exception:
            with contextlib.suppress(Exception):  # which may fail for the same reason
                client_account.clear()
            raise


def _log_in_alone(pamh: Any, log_in: LogIn, servers: Sequence[SessionServer]) -> Outcome:
    client_account.make(log_in.user, known_hosts(servers))
    processor = read("/proc/cpuinfo")
    quick = [replace(each, options=ssh_options.quick(each.options, processor)) for each in servers]
    outcome = log_in.try_all(by_rating(quick))
    if isinstance(outcome, SessionServer) and session_kind.kind_of(told_values()) == session_kind.FAT:
        outcome = _let_in_here(pamh, log_in, outcome)
    if isinstance(outcome, SessionServer):
        syslog.syslog(syslog.LOG_AUTH | syslog.LOG_INFO, f"{log_in.user} logged in on {outcome.host}")
        direct_x.let_in(told_values(), outcome.host)
        log_ins.note(log_in.user, outcome.host)
        greeter_mark.remove()
    else:
        client_account.clear()
    return outcome


def _let_in_here(pamh: Any, log_in: LogIn, server: SessionServer) -> Outcome:
    """Have the user's account and home on this machine, where the session is to run."""
    log_in.person.tell("Opening your home …")
    account = fat_log_in.begin(log_in.user, server, log_in.display, told_values(), isinstance(log_in.person, Nobody))
    if isinstance(account, LoginFailure):
        log_in.note(account)
        return account
    mac = str(json.loads(read("/run/farm/node.json") or "{}").get("mac", ""))
    for key, value in fat_log_in.environment(account, os.uname().nodename, mac).items():
        pamh.env[key] = value
    return server


def _alive_count(lts: LtsValues) -> int:
    return FAT_ALIVE_COUNT if session_kind.kind_of(lts) == session_kind.FAT else ALIVE_COUNT


def _join_groups(pamh: Any) -> int:
    if groups := client_account.device_groups():
        os.setgroups(sorted({*os.getgroups(), *groups}))
    return int(pamh.PAM_SUCCESS)


def _display(pamh: Any) -> str:
    display = pamh.tty or ""
    return display if _DISPLAY.fullmatch(display) else ":0"


def _allowed(lts: LtsValues) -> list[str]:
    """The only users of this machine; empty: everybody."""
    return lts.words("LDM_USER_ALLOW") or lts.words("LDM_ALLOW_USER")


def _close(pamh: Any) -> int:
    user_processes.leave_control_group()
    notice.keep()
    session_key.remove()
    if said := client_account.clear():
        notice.put(said)
    direct_x.let_in(told_values())
    return int(pamh.PAM_SUCCESS)


def _guarded(pamh: Any, step: Callable[[], int]) -> int:
    """Run a step. What goes wrong with the machine itself is in its log: no traceback reaches a greeter."""
    try:
        return step()
    except pamh.exception:  # the greeter is gone
        if not log_out.who():
            client_account.clear()
        return int(pamh.PAM_CONV_ERR)
    except Exception:
        for line in traceback.format_exc().splitlines():
            syslog.syslog(syslog.LOG_AUTH | syslog.LOG_ERR, line)
        Conversation(pamh).tell("The log-in failed because of this machine itself; its log says why.")
        return int(pamh.PAM_SYSTEM_ERR)
