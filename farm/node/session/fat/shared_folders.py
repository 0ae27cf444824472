"""Folders of the server that a fat client's session has besides the home, by the log-in's connection: /srv/shared.

What the user can do there, the server decides, by groups that this machine does not know. So each is mounted in a
folder that only the user can enter, and a link stands where programs look for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import syslog
import time
from collections.abc import Iterable

from farm.node.session.fat import fat_home, unmounting
from farm.node.session.fat.server_account import ServerAccount
from farm.node.session.fat.unmounting import Unmounted
from farm.node.session.lts_values import LtsValues
from farm.node.session.ssh_client.ssh_command import RUN, over_master
from farm.node.session.ssh_client.ssh_run import run

PLACE = f"{RUN}/shared"
DEFAULT = "/srv/shared"
MAX_FOLDERS = 6
"""sshd takes ten sessions by one connection (MaxSessions): the home is one, and short commands need some."""
IN_USE = "A folder of the server was still in use when you were logged out: look whether your last changes are there."
_FOLDER = re.compile("/(srv|mnt|media|opt)(/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}){1,4}")


def wanted(lts: LtsValues) -> list[str]:
    """The folders of SHARED_FOLDERS, which have the same paths here; what is no such path is left out."""
    named = lts.words("SHARED_FOLDERS") if "SHARED_FOLDERS" in lts.found else [DEFAULT]
    return [each for each in named if _FOLDER.fullmatch(each)][:MAX_FOLDERS]


def mount(account: ServerAccount, display: str, lts: LtsValues) -> None:
    """Mount those that the server has; one that fails is said, and no reason to let nobody in."""
    there = run(over_master(look_command(wanted(lts)), "-x", "-T"), display).stdout.split("\n")
    for folder in filter(there.__contains__, wanted(lts)):
        try:
            _mount(folder, account)
        except (OSError, subprocess.SubprocessError, fat_home.MountError) as error:
            _say(f"{folder} of the server is not here: {error}")


def unmount(lts: LtsValues, seconds: float) -> str:
    """Take them away, when no program of the session is left; what there is to say, empty when all went well."""
    said = ""
    for folder in wanted(lts):
        if os.path.islink(folder) and os.readlink(folder).startswith(f"{PLACE}/"):
            os.unlink(folder)
    for name in os.listdir(PLACE) if os.path.isdir(PLACE) else ():
        path = os.path.join(PLACE, name)
        if unmounting.unmount(path, seconds) is not Unmounted.WHOLE:
            said = IN_USE
        with contextlib.suppress(OSError):  # of the user's own: the folder is theirs
            os.rmdir(path)
    try:
        os.rmdir(PLACE)
    except FileNotFoundError:
        pass
    except OSError:  # never emptied by force: a mount that stays is the server's folder
        os.rename(PLACE, f"{PLACE}-left-{time.monotonic_ns()}")
    return said


def look_command(folders: Iterable[str]) -> str:
    """What the user's shell on the server runs to name those that are there."""
    script = 'for folder; do [ ! -d "$folder" ] || echo "$folder"; done'
    return f"exec {shlex.join(['sh', '-c', script, 'sh', *folders])}"


def _mount(folder: str, account: ServerAccount) -> None:
    if os.path.lexists(folder):
        raise FileExistsError("this machine has one of that name")
    place = os.path.join(PLACE, folder.strip("/").replace("/", "-"))
    os.makedirs(PLACE, 0o700, exist_ok=True)
    os.chown(PLACE, account.uid, account.gid)
    os.mkdir(place, 0o700)
    fat_home.run_mount(["mount.fuse3", f"sshfs#server:{folder}", place, "-o", fat_home.SSHFS])
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    os.symlink(place, folder)


def _say(sentence: str) -> None:
    syslog.syslog(syslog.LOG_AUTH | syslog.LOG_WARNING, sentence)
