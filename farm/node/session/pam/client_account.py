"""The account under which a user's session runs on the thin client, from log-in to log-out.

The name that was typed becomes a second name of one fixed uid: no server can make somebody root here, whatever its own
uids are, and the session can use the connection, which belongs to that uid.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import time

from farm.node.files import read, write
from farm.node.session.ssh_client.ssh_command import FOLDER, HOME, KNOWN_HOSTS, RUN, SESSION_USER

EXTRAUSERS = "/var/lib/extrausers/passwd"
"""Read by libnss-extrausers after /etc/passwd."""
RESTING = f"{RUN}/resting-account"
"""What is there instead while nobody is logged in: a guest's account, which the greeter offers."""
TERM_SECONDS, POLL_SECONDS = 2.0, 0.02


def local_names() -> set[str]:
    """The accounts of this machine itself."""
    return {line.partition(":")[0] for line in read("/etc/passwd").splitlines()}


def make(user: str, known_hosts: str) -> None:
    """Make an account for a user whose name is valid, and remove what is left of the one before."""
    clear()
    write(KNOWN_HOSTS, known_hosts)
    account = pwd.getpwnam(SESSION_USER)
    for folder in (FOLDER, HOME):
        os.mkdir(folder, 0o700)
        os.chown(folder, account.pw_uid, account.pw_gid)
    write(EXTRAUSERS, line(user))


def line(user: str, shown: str = "") -> str:
    """The line of a user in /etc/passwd; ``shown``: the name by which the greeter's list has it."""
    account = pwd.getpwnam(SESSION_USER)
    return f"{user}:*:{account.pw_uid}:{account.pw_gid}:{shown}:{HOME}:/bin/sh\n"


def clear() -> None:
    """End what the session user runs, its connection with it, and remove its name and files."""
    write(EXTRAUSERS, read(RESTING))
    end_processes()
    os.makedirs(RUN, exist_ok=True)
    for folder in (FOLDER, HOME):
        if os.path.lexists(folder):
            shutil.rmtree(folder)


def end_processes() -> None:
    """End all processes of the session user; those that do not listen are killed."""
    uid = pwd.getpwnam(SESSION_USER).pw_uid
    end = time.monotonic() + TERM_SECONDS
    word = signal.SIGTERM
    sent: set[int] = set()
    while left := _processes(uid):
        if time.monotonic() > end:
            word, sent = signal.SIGKILL, set()
        for pid in left - sent:
            _kill(pid, word)
        sent |= left
        time.sleep(POLL_SECONDS)


def _kill(pid: int, word: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, word)


def _processes(uid: int) -> set[int]:
    return {int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _lives_as(pid, uid)}


def _lives_as(pid: str, uid: int) -> bool:
    fields = dict(line.split(":", 1) for line in read(f"/proc/{pid}/status").splitlines() if ":" in line)
    # One that has ended stays in the list until its parent asks for it.
    return fields.get("Uid", "").split()[:1] == [str(uid)] and not fields["State"].strip().startswith("Z")
