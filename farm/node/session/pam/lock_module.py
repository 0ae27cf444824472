"""The PAM module of a locked screen on a machine that runs its sessions itself: the server says whose password it is.

The locker runs it as the user, who has no part in the log-in's connection: ssh asks the server once more, and leaves
nothing behind. As for a log-in, what PAM wants of it has PAM's names, and it says itself where the package is.
"""

from __future__ import annotations

import os
import sys
import syslog
import traceback
from typing import Any

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "../../../..")))

from farm.node.session.fat.lock_server import opens_by_itself, told_server
from farm.node.session.pam.conversation import Conversation
from farm.node.session.pam.log_in import LogIn


def pam_sm_authenticate(pamh: Any, flags: int, argv: list[str]) -> int:
    """Ask for the password of the one who is logged in, and let the server check it."""
    try:
        return _authenticate(pamh)
    except pamh.exception:  # the locker is gone
        return int(pamh.PAM_CONV_ERR)
    except Exception:
        for line in traceback.format_exc().splitlines():
            syslog.syslog(syslog.LOG_AUTH | syslog.LOG_ERR, line)
        return int(pamh.PAM_SYSTEM_ERR)


def pam_sm_setcred(pamh: Any, flags: int, argv: list[str]) -> int:
    """Nothing changes: the session is there already."""
    return int(pamh.PAM_SUCCESS)


def _authenticate(pamh: Any) -> int:
    user, server = told_server()
    if server is None or pamh.get_user(None) != user:
        return int(pamh.PAM_USER_UNKNOWN)
    if opens_by_itself():
        return int(pamh.PAM_SUCCESS)
    person = Conversation(pamh)
    failed = LogIn(user, person, "").check(server)
    if failed:
        person.tell(failed.sentence)
    return int(pamh.PAM_AUTH_ERR if failed else pamh.PAM_SUCCESS)
