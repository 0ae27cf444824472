"""The user's home on this machine: mounted from the server, by sshfs over the log-in's connection or by NFS.

When it cannot be mounted there is no session: one without the user's files would lose what is written in it. Caches are
in RAM, in a place with a bound, as the network is slow for them and a full RAM is the end of a session.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import tempfile

from farm.node.files import read, write
from farm.node.session import session_kind, user_processes
from farm.node.session.fat import unmounting
from farm.node.session.fat.server_account import ServerAccount
from farm.node.session.fat.unmounting import Unmounted
from farm.node.session.lts_values import LtsValues
from farm.node.session.ssh_client.ssh_command import HOME_ROAD, RUN, SESSION_USER

CACHE = f"{RUN}/cache"
"""A file system in RAM, XDG_CACHE_HOME of the session."""
MAX_CACHE_MIB, CACHE_SHARE = 256, 8
"""How large it can be: this, or this part of RAM if that is less."""
PLACE = f"{RUN}/fat-home"
"""A file: the folder in which the home is mounted now."""
MOUNT_SECONDS = 30.0
SAFE = "nosuid,nodev"
SSHFS = f"setuid={SESSION_USER},drop_privileges,allow_other,idmap=none,{SAFE},reconnect,ssh_command={HOME_ROAD}"
"""The program is the connection's owner's, without root's rights. Who may do what in a home, the kernel decides by
the files' owners, which have the same numbers here. Nobody waits for ever on a server that went down and up
(`home_road`)."""
NFS = f"{SAFE},hard,vers=4,sec=sys"
_LEFT = {
    Unmounted.WHOLE: "",
    Unmounted.IN_USE: "Your home was still in use when you were logged out: look whether your last changes are there.",
    Unmounted.BEING_WRITTEN: "Your last changes were not all on the server when you were logged out: they arrive if it "
    "answers again while this machine stays on.",
}


class MountError(Exception):
    """The home can not be mounted; the text says why, without a full stop."""


def mount(account: ServerAccount, host: str, lts: LtsValues) -> None:
    """Mount the home, and a folder for caches. Raises MountError; nothing stays mounted then."""
    os.makedirs(account.home, 0o755, exist_ok=True)
    write(PLACE, account.home)
    try:
        run_mount(mount_command(account, host, lts))
        _check(account)
        os.makedirs(CACHE, exist_ok=True)
        size = min(MAX_CACHE_MIB, session_kind.ram_mib() // CACHE_SHARE)
        owner = f"size={size}m,mode=700,uid={account.uid},gid={account.gid},{SAFE}"
        run_mount(["mount", "-t", "tmpfs", "-o", owner, "cache", CACHE])
    except (OSError, subprocess.SubprocessError, MountError) as error:
        unmount()
        raise MountError(_words(error)) from None


def mount_command(account: ServerAccount, host: str, lts: LtsValues) -> list[str]:
    """How the home comes here; NFS_HOME of lts.conf says whether by NFS."""
    if lts.is_on("NFS_HOME"):
        return ["mount", "-t", "nfs", "-o", NFS, f"{host}:{account.server_home}", account.home]
    return ["mount.fuse3", "sshfs#server:", account.home, "-o", f"{SSHFS},default_permissions"]


def unmount(seconds: float = unmounting.SECONDS) -> str:
    """Take the home and the caches away; what there is to say of it, empty when all went well.

    Nothing is lost that programs have written: each waits for the server when it closes a file.
    """
    place = read(PLACE)
    # What a user has mounted there, by FUSE, stays in the list although its program has ended.
    for folder in unmounting.mounted_below(place) if place else ():
        unmounting.unmount(folder, seconds)
    unmounting.unmount(CACHE, seconds)
    said = _LEFT[unmounting.unmount(place, seconds)] if place else ""
    if place and not unmounting.is_mounted(place):
        os.unlink(PLACE)
        _remove_empty(place)
    return said


def end_program() -> None:
    """End what serves the home by sshfs: who waits for a server that does not answer is told so."""
    for pid in user_processes.of_account(pwd.getpwnam(SESSION_USER).pw_uid, "sshfs"):
        user_processes.tell(pid, signal.SIGKILL)


def _check(account: ServerAccount) -> None:
    found = os.stat(account.home)
    if found.st_uid != account.uid:
        raise MountError(f"it belongs to the user with the number {found.st_uid}")


def _remove_empty(folder: str) -> None:
    with contextlib.suppress(OSError):  # another user's is beside it
        while folder.startswith("/home/"):
            os.rmdir(folder)
            folder = os.path.dirname(folder)


def run_mount(argv: list[str]) -> None:
    """Run a command that mounts something. Raises MountError with its last words."""
    # A file, as a pipe would be open for as long as the home's program runs.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            timeout=MOUNT_SECONDS,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )
        if done.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").split("\n")
            raise MountError(next((each for each in reversed(lines) if each.strip()), f"{argv[0]} failed"))


def _words(error: Exception) -> str:
    text = "the server does not answer" if isinstance(error, subprocess.TimeoutExpired) else str(error)
    return "".join(each if each.isprintable() else " " for each in text).strip().rstrip(".")[:160]
