"""A user's account on the server, which a session on this machine has here, too: the same name, uid, gid and home.

What the server says is checked: no server can make somebody root here, or give them what is this machine's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from farm.node.contract import ADDRESS
from farm.node.session.pam.desktop_choice import LANGUAGE, SESSION

FIRST_UID = 1000
"""Smaller ones are those of a system's own accounts, on each Linux."""
LAST_UID = 2**31 - 1
OTHER_GIDS = (100,)
"""Smaller than FIRST_UID, and nobody's but users' (Debian's and SUSE's group ``users``)."""
SAY = """
say() { printf 'FARM-%s=%s\\n' "$1" "$2"; }
say passwd "$(getent passwd "$(id -u)")"
say group "$(id -gn)"
say client "${SSH_CONNECTION%% *}"
say language "${LANG:-}"
say session "$(sed -n 's/^Session=//p' "$HOME/.dmrc" 2> /dev/null | head -n 1)"
say zone "$(readlink -f /etc/localtime)"
[ -d "$HOME" ] && say home yes
why=$(probe=$(mktemp "$HOME/.farm-XXXXXXXX" 2>&1) && rm -f "$probe" || echo "$probe")
say why "$(echo "$why" | tail -n 1)"
"""
"""A script for the server, by the user's own sh, that says all of it."""
_SAID = re.compile("^FARM-([a-z]+)=(.*)$", re.MULTILINE)
_ZONE = re.compile("/usr/share/zoneinfo/([A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2})")
_HOME = re.compile(r"/home(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}){1,4}")
_GROUP = re.compile("[A-Za-z_][A-Za-z0-9_.-]{0,31}")


class ServerAccount(NamedTuple):
    """An account, as far as what was said of it is valid."""

    name: str
    """What was typed at the greeter."""
    uid: int
    gid: int
    group: str
    """The name of its first group."""
    home: str
    """The folder here in which its home is seen: that of the server if it is below /home, else /home/NAME."""
    server_home: str
    """Where the home is on the server."""
    has_home: bool
    """Whether that is a folder."""
    why_unwritable: str = ""
    """In the server's words, why nothing can be written in it; empty when something can."""
    shown: str = ""
    """The user's full name."""
    client: str = ""
    """The address of this machine, as the server sees it."""
    language: str = ""
    session: str = ""
    """What the user chose last for sessions on the server."""
    zone: str = ""
    """The server's time zone, such as Europe/Berlin; empty when that is not known."""


def parse_account(name: str, said: str) -> ServerAccount | None:
    """Read what SAY printed; None when there is no such account."""
    found = dict(_SAID.findall(said))
    fields = found.get("passwd", "").split(":")
    if len(fields) != 7 or not all(re.fullmatch("[0-9]{1,10}", each) for each in fields[2:4]):
        return None
    home, group, zone = fields[5], found.get("group", ""), _ZONE.fullmatch(found.get("zone", ""))
    return ServerAccount(
        name,
        int(fields[2]),
        int(fields[3]),
        group if _GROUP.fullmatch(group) else name,
        home if _HOME.fullmatch(home) else f"/home/{name}",
        home,
        found.get("home") == "yes",
        _printable(found.get("why", "")),
        _printable(fields[4].partition(",")[0]).replace(":", ""),
        found.get("client", "") if ADDRESS.fullmatch(found.get("client", "")) else "",
        found.get("language", "") if LANGUAGE.fullmatch(found.get("language", "")) else "",
        found.get("session", "") if SESSION.fullmatch(found.get("session", "")) else "",
        zone[1] if zone else "",
    )


def why_not(account: ServerAccount, local_uids: Collection[int], local_gids: Collection[int]) -> str:
    """Why nobody can have this account here, the end of a sentence; empty when it can be."""
    if not FIRST_UID <= account.uid <= LAST_UID:
        return f"its number {account.uid} is not between {FIRST_UID} and {LAST_UID}"
    if account.uid in local_uids:
        return f"its number {account.uid} is that of an account of this machine itself"
    if account.gid in OTHER_GIDS:
        return ""
    if not FIRST_UID <= account.gid <= LAST_UID or account.gid in local_gids:
        return f"its group's number {account.gid} is that of a group of this machine itself"
    return ""


def passwd_line(account: ServerAccount) -> str:
    """Its line in a file such as /etc/passwd."""
    return f"{account.name}:*:{account.uid}:{account.gid}:{account.shown}:{account.home}:/bin/bash\n"


def group_line(account: ServerAccount, local: Mapping[str, int]) -> str:
    """The line of its first group in a file such as /etc/group; empty where this machine has one of the kind itself."""
    taken = account.group in local or account.gid in local.values()
    return "" if taken else f"{account.group}:*:{account.gid}:\n"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text).strip()[:160]
