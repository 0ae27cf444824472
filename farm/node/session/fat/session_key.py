"""A key of this one session, with which its connection is opened again after a loss: passwords are not kept.

It lies in RAM here, out of the session's own reach. On the server it is a line of the user's authorized_keys which is
good for this machine's address alone, forwards nothing, and ends by itself; a log-out removes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shlex
import subprocess
import syslog
import time
from collections.abc import Callable

from farm.node.contract import NAME
from farm.node.files import read, write
from farm.node.retry import pauses
from farm.node.session.pam import login_failure
from farm.node.session.pam.login_failure import FailureKind
from farm.node.session.session_settings import SessionServer
from farm.node.session.ssh_client.ssh_command import CONTROL, FOLDER, RUN, SESSION_USER, master_by_key, over_master

KEY = f"{FOLDER}/key"
COMMAND = f"{RUN}/reopen.json"
"""The ssh that opens the connection again."""
HOURS = 24
"""For which the key is good: a session that lasts longer ends with its connection."""
SECONDS, REMOVE_SECONDS = 8.0, 3.0
"""In which the server does something; in which it removes the key, as somebody waits for the greeter."""
REOPEN_SECONDS, REOPEN_PAUSES = 600.0, (1.0, 10.0)
"""For so long a server may be away; seconds between tries."""
REFUSED_SECONDS = 120.0
"""For so long a server may refuse the key."""
FINAL = {FailureKind.CHANGED_KEY, FailureKind.UNKNOWN_KEY, FailureKind.ASKPASS}
"""With which no further try is made: it is not the server of the log-in, or this machine is at fault."""
TELL_SECONDS = 10.0
"""After which who works here is told why programs stand still."""
WAITING = (
    "The connection to the server is lost. Leave all open: programs that need your files stand still, and go on when "
    f"the server is back. If it is not back in {REOPEN_SECONDS / 60:.0f} minutes, or does not accept this session "
    "again, the session ends."
)
BACK = "The server is back: programs have your files again. What they could not save meanwhile, save again."
_EDIT = """
umask 077
mkdir -p ~/.ssh && cd ~/.ssh && [ ! -h authorized_keys ] || exit 1
new=$(mktemp .farm-keys-XXXXXXXX) || exit 1
trap 'rm -f "$new"' EXIT
if [ -e authorized_keys ]; then
	cp -p authorized_keys "$new" || exit 1
	LC_ALL=C grep -av " $gone$" authorized_keys > "$new"
	[ "$?" -le 1 ] || exit 1
fi
if [ -n "$key" ]; then
	ends=$(date -d "+$hours hours" +%Y%m%d%H%M) || exit 1
	only=restrict,from=\\"${SSH_CONNECTION%% *}\\",expiry-time=\\"$ends\\"
	echo "$only $key $mark" >> "$new" || exit 1
fi
if [ -s "$new" ]; then
	mv "$new" authorized_keys
else
	rm -f authorized_keys
fi
"""
"""Runs on the server. Where a user has one session, a new key is the only one of a session: a machine that was cut off
before does not come back."""


def make(server: SessionServer, user: str, alone: bool) -> None:
    """Make the key, and have the server take it; without one a lost connection is the end of the session.

    ``alone``: the user has no other session, so that other machines' keys are removed.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(COMMAND)  # of a session that was lost
    try:
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", KEY])
        _edit(" ".join(read(f"{KEY}.pub").split()[:2]), alone)
    except (OSError, subprocess.SubprocessError) as error:
        _say(f"no key of this session is on the server: {error}")
    else:
        write(COMMAND, json.dumps(master_by_key(server, user, KEY)))


def remove() -> None:
    """At log-out, while there is a connection."""
    if os.path.exists(COMMAND):
        os.unlink(COMMAND)
        try:
            _edit("", seconds=REMOVE_SECONDS)
        except (OSError, subprocess.SubprocessError):
            _say(f"the key of the session is still on the server, where it ends within {HOURS} hours")


def reopen(wanted: Callable[[], bool], tell: Callable[[str], None]) -> bool:
    """Open the connection again, as long as that is wanted; whether it is there.

    A server that has just started may refuse the key until it has mounted the homes: a refusal counts when it lasts.
    ``tell``: shows a sentence to the one who works here.
    """
    argv = json.loads(read(COMMAND) or "[]")
    begin = time.monotonic()
    refused_since, told = None, False
    for pause in pauses(*REOPEN_PAUSES):
        now = time.monotonic()
        if not argv or not wanted() or now > begin + REOPEN_SECONDS:
            return False
        why = _try_again(argv)
        if why is None:
            if told:
                tell(BACK)
            return True
        if why in FINAL:
            return False
        refused_since = (refused_since or now) if why is FailureKind.PASSWORD else None
        if refused_since is not None and now > refused_since + REFUSED_SECONDS:
            return False
        if not told and now > begin + TELL_SECONDS:
            tell(WAITING)
            told = True
        time.sleep(pause)
    return False


def _try_again(argv: list[str]) -> FailureKind | None:
    """Try once to open the connection; why it is not there, or None."""
    if os.path.lexists(CONTROL):
        os.unlink(CONTROL)
    try:
        _run(argv)
    except subprocess.CalledProcessError as error:
        return login_failure.of_connection("", error.stderr.decode(errors="replace")).kind
    except subprocess.TimeoutExpired:
        return FailureKind.SILENT
    return None


def edit_command(key: str, name: str, alone: bool = False) -> str:
    """What the user's shell on the server runs to have this key, or none, of the machine with this name.

    ``alone``: and no other machine's.
    """
    mark = f"farm-session@{name if NAME.fullmatch(name) else 'unnamed'}"
    gone = "farm-session@[a-z0-9-]*" if alone else mark
    words = (f"key={key}", f"mark={mark}", f"gone={gone}", f"hours={HOURS}")
    return f"exec env {shlex.join(words)} sh -c {shlex.quote(_EDIT)}"


def _edit(key: str, alone: bool = False, seconds: float = SECONDS) -> None:
    _run(over_master(edit_command(key, os.uname().nodename, alone), "-T", "-x"), seconds)


def _run(argv: list[str], seconds: float = SECONDS) -> None:
    user = pwd.getpwnam(SESSION_USER)
    subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=True,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )


def _say(sentence: str) -> None:
    syslog.syslog(syslog.LOG_AUTH | syslog.LOG_WARNING, sentence)
