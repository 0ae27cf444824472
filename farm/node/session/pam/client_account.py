"""The account under which a user's session runs on this machine, from log-in to log-out.

The name that was typed becomes a second name of one fixed uid: no server can make somebody root here, whatever its own
uids are, and the session can use the connection, which belongs to that uid. A session whose programs run here has the
server's uid instead (`adopt`), and the connection is not for it to use.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil

from farm.node.files import read, write
from farm.node.session import user_processes
from farm.node.session.fat import fat_home, plugged_in, shared_folders, unmounting
from farm.node.session.fat.server_account import ServerAccount, group_line, passwd_line
from farm.node.session.lts_values import told_values
from farm.node.session.pam import unsaved
from farm.node.session.ssh_client.ssh_command import FOLDER, HOME, KNOWN_HOSTS, RUN, SESSION_USER

EXTRAUSERS = "/var/lib/extrausers/passwd"
"""Read by libnss-extrausers after /etc/passwd."""
EXTRAGROUPS = "/var/lib/extrausers/group"
DEVICES = ("audio", "video", "plugdev")
"""Groups of this machine whose members use its sound, cameras and sticks."""
ENDED = f"{FOLDER}-ended"
"""The log-in's folder while its connection ends."""
RESTING = f"{RUN}/resting-account"
"""What is there instead while nobody is logged in: a guest's account, which the greeter offers."""
LEFT_IN = ("/tmp", "/var/tmp", "/dev/shm")
STUCK_SECONDS = 1.0
"""For each folder to be unmounted, where programs that cannot be ended may use it."""
MAX_NAMED = 5
"""Programs of which the names are said."""


def local_names() -> set[str]:
    """The accounts of this machine itself."""
    return set(local_ids("/etc/passwd"))


def local_ids(file: str) -> dict[str, int]:
    """The numbers of this machine's own accounts or groups by their names; ``file``: /etc/passwd or /etc/group."""
    fields = (line.split(":") for line in read(file).splitlines())
    return {each[0]: int(each[2]) for each in fields if len(each) > 2 and each[2].isdecimal()}


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


def adopt(account: ServerAccount) -> None:
    """Let the user have their account of the server here, of which `why_not` has nothing to say."""
    write(EXTRAGROUPS, group_line(account, local_ids("/etc/group")))
    write(EXTRAUSERS, passwd_line(account))


def device_groups() -> list[int]:
    """The groups, by their numbers, in which the user is whose session runs here; none where it runs on the server."""
    local = local_ids("/etc/group")
    return [local[each] for each in DEVICES if each in local] if sitting()[1] != session_uid() else []


def sitting() -> tuple[str, int]:
    """The name and the uid of the one whose session this is; those of nobody's session when there is none."""
    fields = read(EXTRAUSERS).partition("\n")[0].split(":")
    return (fields[0], int(fields[2])) if len(fields) > 2 and fields[2].isdecimal() else ("", session_uid())


def session_uid() -> int:
    """Of the account that owns the connection to the server, and all of a session whose programs run there."""
    return pwd.getpwnam(SESSION_USER).pw_uid


def clear() -> str:
    """End what the session runs, put its home away, end its connection, and remove its name and files.

    Returns what there is to say of what may not have been written; empty when all went well.
    """
    name, uid = sitting()
    said = []
    seconds = unmounting.SECONDS
    if uid != session_uid():
        if left := _end_programs(uid):
            said.append(f"These programs of yours could not be ended, and may not have written all: {left}.")
            seconds = STUCK_SECONDS
        said.append(plugged_in.unmount(name, seconds))
    said += [shared_folders.unmount(told_values(), seconds), fat_home.unmount(seconds)]
    os.makedirs(RUN, exist_ok=True)
    _end_log_in()
    end_processes()
    for folder in (ENDED, HOME):
        if os.path.lexists(folder):
            shutil.rmtree(folder)
    _remove_left_by(uid)
    # Last, as the file system may be full of what has just been removed.
    write(EXTRAUSERS, read(RESTING))
    write(EXTRAGROUPS, "")
    sentence = " ".join(filter(None, said))
    if sentence:
        unsaved.note(name, sentence)
    return sentence


def _end_log_in() -> None:
    """From now on its connection is no loss to the one that keeps the session."""
    if os.path.lexists(ENDED):
        shutil.rmtree(ENDED)
    if os.path.lexists(FOLDER):
        os.rename(FOLDER, ENDED)


def _end_programs(uid: int) -> str:
    """End all that a user runs on this machine; the names of what can not be ended, or empty.

    A program that waits for the home is told that there is none, and ends; one that waits for a disk which does not
    answer stays, without a home and without its files, until the disk is pulled out.
    """
    if user_processes.end(uid):
        return ""
    fat_home.end_program()
    if user_processes.end(uid):
        return ""
    names = sorted({user_processes.status(pid).get("Name", "") for pid in user_processes.of_account(uid)})
    return ", ".join(filter(None, names[:MAX_NAMED]))


def _remove_left_by(uid: int) -> None:
    """What a user leaves where all may write: it fills the RAM, and the next one could read it."""
    for folder in LEFT_IN:
        for entry in os.scandir(folder) if os.path.isdir(folder) else ():
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_uid != uid:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def end_processes() -> None:
    """End all processes of the connection's owner; those that do not listen are killed."""
    user_processes.end(session_uid())
