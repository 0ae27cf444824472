"""One session for each user on a server: at a log-in the other one is found, and ended when its user says so.

A session of ours is marked there by its processes, so that the mark is never older than the session, on any server: the
part on the server (remote-session.sh) has FARM_NAME in its environment, the machine at which its user sits, and what
waits there for the machine's next sign of life has FARM_BEAT. Ended, that ends the session as if the machine were gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from farm.node.contract import NAME
from farm.node.session.lts_values import LtsValues
from farm.node.session.pam.login_failure import FailureKind, LoginFailure
from farm.node.session.ssh_client.ssh_command import by_sh, over_master
from farm.node.session.ssh_client.ssh_run import run

LOOK = "grep -sazhoe '^FARM_NAME=.*' /proc/[0-9]*/environ"
"""Of sh: prints at which machines the user sits, each ended by a NUL: environments of others cannot be read."""
END = """
tries=0
while grep -sazqe '^FARM_NAME=' /proc/[0-9]*/environ; do
	for each in $(grep -sazle '^FARM_BEAT=' /proc/[0-9]*/environ); do
		each=${each#/proc/}
		kill "${each%/environ}" 2> /dev/null
	done
	tries=$((tries + 1))
	[ "$tries" -lt 100 ] || exit 1
	sleep 0.2
done
echo FARM-ENDED
"""
"""Ends them all, and waits until they are over."""
ENDED = "FARM-ENDED"
MAX_MACHINES = 20
"""Of which a question tells."""
_AGREED = {"y", "yes"}


def limit_to_one(
    lts: LtsValues, host: str, looked: str, display: str, ask: Callable[[str], str | None]
) -> LoginFailure | None:
    """End the user's other sessions on the server if that is wanted; why a new one must not begin.

    ``looked``: what LOOK has printed there. ``ask``: puts a question to the user.
    """
    if not lts.is_on("LDM_LIMIT_ONE_SESSION", True):
        return None
    machines = _machines(looked)
    if not machines:
        return None
    if lts.is_on("LDM_LIMIT_ONE_SESSION_PROMPT", True):
        answer = ask(f"You are logged in at {' and '.join(machines)} already. Type yes to end that session.")
        if (answer or "").strip().lower() not in _AGREED:
            return LoginFailure(FailureKind.LOGGED_IN, host)
    if ENDED not in run(over_master(by_sh(END), "-x", "-T"), display).stdout.split():
        return LoginFailure(FailureKind.NOT_ENDED, host)
    return None


def _machines(said: str) -> list[str]:
    """The names of the machines; what is none is not shown."""
    names = (found[1] for line in re.split("[\0\n]", said) if (found := re.fullmatch("FARM_NAME=(.*)", line)))
    return sorted({name if NAME.fullmatch(name) else "another machine" for name in names})[:MAX_MACHINES]
