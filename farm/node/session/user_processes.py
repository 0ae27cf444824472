"""The processes of an account on this machine, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from farm.node.files import read

TERM_SECONDS, POLL_SECONDS = 5.0, 0.02
"""Programs may save for so long when they are told to end."""
STUCK_SECONDS = 3.0
"""After which programs that cannot be killed are taken to wait for a disk or a server."""
NOBODYS_UID = 2**32 - 16
"""Of no account: systemd's UIDS-GIDS lets none be above 2**31."""
GROUPS = "/sys/fs/cgroup"


def end(uid: int, patience: float = STUCK_SECONDS) -> bool:
    """End all processes of an account, kill those that do not listen; whether all are gone.

    ``patience``: seconds to wait for those that cannot even be killed.
    """
    begin = time.monotonic()
    told: set[int] = set()
    while left := of_account(uid):
        waited = time.monotonic() - begin
        if waited > TERM_SECONDS:
            _kill_all(uid)
        if waited > TERM_SECONDS + patience:
            return False
        for pid in left - told:
            tell(pid, signal.SIGTERM)
        told |= left
        time.sleep(POLL_SECONDS)
    _kill_all(uid)
    return True


def _kill_all(uid: int) -> None:
    """In one step of the kernel: programs that start new ones all the time are never all in a list.

    Who sends it has only its effective id from the account, so that the account's programs can neither stop nor kill it
    (kill(2) looks at the real and the saved one of the process that is to get a signal).
    """
    assert uid
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresuid(NOBODYS_UID, uid, NOBODYS_UID)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def leave_control_group() -> None:
    """Have this process, which ends a session, counted as its parent's: of a session's own there may be no more."""
    own, parent = (_control_group(pid) for pid in ("self", str(os.getppid())))
    if own.startswith("/user.slice/") and parent and not parent.startswith("/user.slice/"):
        with contextlib.suppress(OSError), open(f"{GROUPS}{parent}/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))


def _control_group(pid: str) -> str:
    """Of version 2, below GROUPS; empty when there is none."""
    lines = read(f"/proc/{pid}/cgroup").splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")


def of_account(uid: int, name: str = "") -> set[int]:
    """The ids of those that live; ``name``: only those that are called so."""
    return {int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _lives_as(pid, uid, name)}


def tell(pid: int, word: signal.Signals) -> None:
    """Send a signal to a process, which may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, word)


def status(pid: str | int) -> dict[str, str]:
    """What the kernel says of a process (proc(5)); empty when it has ended."""
    lines = (line.partition(":") for line in read(f"/proc/{pid}/status").splitlines())
    return {key: value.strip() for key, _, value in lines}


def _lives_as(pid: str, uid: int, name: str) -> bool:
    said = status(pid)
    # One that has ended stays in the list until its parent asks for it.
    lives = said.get("Uid", "").split()[:1] == [str(uid)] and not said["State"].startswith("Z")
    return lives and name in ("", said["Name"])
