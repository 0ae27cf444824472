"""What makes a log-in one to this machine: the user's account and home are here before the session begins."""

from __future__ import annotations

import select
import shlex
import subprocess

from farm.node.session.fat import fat_home, lock_server, session_key, shared_folders
from farm.node.session.fat.server_account import SAY, ServerAccount, parse_account, why_not
from farm.node.session.lts_values import LtsValues
from farm.node.session.pam import client_account
from farm.node.session.pam.login_failure import FailureKind, LoginFailure
from farm.node.session.session_settings import SessionServer
from farm.node.session.ssh_client.ssh_command import over_master
from farm.node.session.ssh_client.ssh_run import run

KEEPER = ("/usr/bin/python3", "-I", "-m", "farm.node.session.fat.session_keeper")
KEEPER_SECONDS = 15.0
"""In which the mark of the session is on the server."""
FULL = ("No space left on device", "Disk quota exceeded")
"""Of a home in which nothing can be written: its user has to log in to change that."""


def begin(
    user: str, server: SessionServer, display: str, lts: LtsValues, unattended: bool
) -> ServerAccount | LoginFailure:
    """With the connection open, have the user's account and home here; what is left of a failure, `clear` removes.

    ``unattended``: nobody has typed a password, and the same user may be at other machines.
    """
    said = run(over_master(f"exec sh -c {shlex.quote(SAY)}", "-x", "-T"), display).stdout
    account = parse_account(user, said)
    if account is None:
        return LoginFailure(FailureKind.ACCOUNT, server.host, "the server does not say its numbers")
    ids = (client_account.local_ids(f"/etc/{file}").values() for file in ("passwd", "group"))
    if reason := why_not(account, *ids):
        return LoginFailure(FailureKind.ACCOUNT, server.host, reason)
    if reason := why_no_home(account):
        return LoginFailure(FailureKind.HOME, server.host, reason)
    if not _keep():
        return LoginFailure(FailureKind.CLOSED, server.host)
    try:
        fat_home.mount(account, server.host, lts)
    except fat_home.MountError as error:
        return LoginFailure(FailureKind.HOME, server.host, str(error))
    client_account.adopt(account)
    shared_folders.mount(account, display, lts)
    lock_server.tell(user, server, unattended)
    session_key.make(server, user, alone=not unattended and lts.is_on("LDM_LIMIT_ONE_SESSION", True))
    return account


def why_no_home(account: ServerAccount) -> str:
    """Why nobody can work in the account's home, the end of a sentence; empty when they can."""
    if not account.has_home:
        return "there is none"
    if account.why_unwritable.endswith(FULL):
        return ""
    return f"nothing can be written in it ({account.why_unwritable.rpartition(': ')[2]})" * bool(account.why_unwritable)


def environment(account: ServerAccount, name: str, mac: str) -> dict[str, str]:
    """What the session is told besides what a display manager tells: by LTSP's names, and FARM_* for fat_session."""
    return {
        "LTSP_CLIENT": account.client,
        "LTSP_CLIENT_HOSTNAME": name,
        "LTSP_CLIENT_MAC": mac,
        "XDG_CACHE_HOME": fat_home.CACHE,
        "FARM_LANGUAGE": account.language,
        "FARM_ZONE": account.zone,
        "FARM_SESSION": account.session,
    }


def _keep() -> bool:
    """Start what keeps the session; whether it has left its mark on the server."""
    keeper = subprocess.Popen(
        KEEPER,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        start_new_session=True,
    )
    assert keeper.stdout
    with keeper.stdout as said:
        return bool(select.select([said], [], [], KEEPER_SECONDS)[0] and said.readline())
