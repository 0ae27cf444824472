"""The process that shares a stick: a root in which there are the stick and sftp-server, and nothing else.

    stick_cell DEVICE FILE_SYSTEM REPORT

Started by `stick` as root in namespaces of its own (mounts, network, processes): the stick is mounted there alone, so
that however this ends, nothing of it stays. Standard input and output are the protocol's; a line of JSON goes to the
descriptor REPORT when the stick is mounted, or an error.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import re
import select
import shutil
import subprocess
import sys

from farm.node.files import write
from farm.node.session.ssh_client.ssh_command import SESSION_USER

SERVER = "/usr/lib/openssh/sftp-server"
ROOT = "/mnt"
"""Becomes the root, of this process alone."""
STICK = "/stick"
SYNC_SECONDS = 2.0
"""How long what was written may stay in memory: people pull sticks out."""
MOUNT_SECONDS = 60.0
_ANYBODY = "nosuid,nodev,noexec"
_LIBRARY = re.compile(r"(?:=> |^\s*)(/\S+) \(0x", re.MULTILINE)
_PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 38, 47, 2
_CAP_DAC_OVERRIDE, _CAP_FOWNER = 1, 3
_CAPABILITY_VERSION_3 = 0x20080522


def main(device: str, file_system: str, report: str) -> int:
    """Mount the stick, serve it until the other side closes the connection, write all of it and unmount it."""
    with os.fdopen(int(report), "w") as told:
        try:
            _furnish()
            _mount(device, file_system)
            read_only = bool(os.statvfs(ROOT + STICK).f_flag & os.ST_RDONLY)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            json.dump({"error": said.strip()[-200:]}, told)
            return 1
        json.dump({"read_only": read_only}, told)
    server = os.fork()
    if not server:
        _serve(read_only, owners=file_system.startswith("ext"))
    for descriptor in (0, 1):
        os.close(descriptor)
    _sync_until_ended(server)
    return subprocess.run(["umount", ROOT + STICK], check=False).returncode


def options(file_system: str, uid: int, gid: int) -> str:
    """How it is mounted: its files are the session user's, and nobody else's."""
    owner = f"uid={uid},gid={gid}"
    return ",".join(
        {
            "vfat": (_ANYBODY, owner, "umask=077", "utf8"),
            "exfat": (_ANYBODY, owner, "umask=077"),
            "ntfs": (_ANYBODY, owner, "umask=077"),
            "iso9660": (_ANYBODY, "ro", owner, "mode=0400,dmode=0500", "iocharset=utf8"),
            "udf": (_ANYBODY, owner, "umask=077", "iocharset=utf8"),
        }.get(file_system, (_ANYBODY, "errors=remount-ro"))
    )


def _mount(device: str, file_system: str) -> None:
    """Mount the stick; mount(8) itself takes it read-only when it is write-protected."""
    account = pwd.getpwnam(SESSION_USER)
    # Debian 12's kernel has no driver for it.
    kind = "ntfs-3g" if file_system == "ntfs" else file_system
    argv = ["mount", "-t", kind, "-o", options(file_system, account.pw_uid, account.pw_gid), device, ROOT + STICK]
    subprocess.run(argv, check=True, capture_output=True, text=True, timeout=MOUNT_SECONDS)


def _furnish() -> None:
    """Make the root: sftp-server, the libraries that it asks for, /dev/null, and its user's name."""
    account = pwd.getpwnam(SESSION_USER)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,mode=755,size=32m", "none", ROOT], check=True)
    listed = subprocess.run(["ldd", SERVER], check=True, capture_output=True, text=True).stdout
    for file in (SERVER, *_LIBRARY.findall(listed)):
        os.makedirs(os.path.dirname(ROOT + file), exist_ok=True)
        shutil.copy(file, ROOT + file)
    os.mkdir(ROOT + "/dev")
    with open(ROOT + "/dev/null", "xb"):
        pass
    subprocess.run(["mount", "--bind", "/dev/null", ROOT + "/dev/null"], check=True)
    os.mkdir(ROOT + STICK)
    # sftp-server wants its uid to have a name.
    write(ROOT + "/etc/passwd", f"{SESSION_USER}:*:{account.pw_uid}:{account.pw_gid}::{STICK}:/\n")
    subprocess.run(["mount", "-o", "remount,ro", ROOT], check=True)


def _serve(read_only: bool, owners: bool) -> None:
    """Become sftp-server, as the session's user and without a way to more rights.

    ``owners``: the files have owners of another computer; there, in this root, it may read and write all of them.
    """
    account = pwd.getpwnam(SESSION_USER)
    libc = ctypes.CDLL(None, use_errno=True)
    os.chroot(ROOT)
    os.chdir(STICK)
    libc.prctl(_PR_SET_KEEPCAPS, int(owners), 0, 0, 0)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if owners:
        _keep(libc, _CAP_DAC_OVERRIDE, _CAP_FOWNER)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execv(SERVER, [SERVER, "-e", "-u", "022", *(["-R"] if read_only else [])])


def _keep(libc: ctypes.CDLL, *capabilities: int) -> None:
    """Have these capabilities and no others, and pass them on to the program (capabilities(7))."""
    mask = sum(1 << each for each in capabilities)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable, of the first 32; then those of the rest.
    if libc.capset(header, (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)):
        raise OSError(ctypes.get_errno(), "capset")
    for each in capabilities:
        if libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, each, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def _sync_until_ended(server: int) -> None:
    """Write what is in memory to the stick every few seconds, until the server has ended."""
    libc = ctypes.CDLL(None)
    watched = os.pidfd_open(server)
    stick = os.open(ROOT + STICK, os.O_RDONLY)
    try:
        while not select.select([watched], [], [], SYNC_SECONDS)[0]:
            libc.syncfs(stick)
        os.waitpid(server, 0)
        libc.syncfs(stick)
    finally:
        os.close(stick)
        os.close(watched)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
