"""Runs as root beside a session on this machine: its mark on the server, by which a log-in elsewhere finds it.

It ends the session when its user wants that at another machine, or when the connection is lost and can not be opened
again with the session's own key.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import shlex
import subprocess
import sys
import syslog
from collections.abc import Iterator

from farm.node.contract import NAME
from farm.node.session.fat import session_key
from farm.node.session.on_screen import log_out, message
from farm.node.session.pam import client_account, notice
from farm.node.session.ssh_client.ssh_command import FOLDER, SESSION_USER, over_master

BEAT_SECONDS = 10.0
MAX_LINE = 100
PATIENCE_SECONDS = 150
"""Without a beat, after which the server takes the session for gone: longer than a cable is out for a moment."""
PUT_AWAY_SECONDS = 16
"""For a session that was ended from elsewhere to put its home away; its connection is closed then."""
HERE, END = "FARM-HERE", "FARM-END"
"""What the mark says: it is there; it was ended by a log-in elsewhere."""
MARK = f"""
sshd=$PPID
echo {HERE}
while beat=$(FARM_BEAT=1 timeout {PATIENCE_SECONDS} head -c 1); how=$? && [ -n "$beat" ]; do :; done
if [ "$how" -gt 124 ]; then
	echo {END}
	timeout {PUT_AWAY_SECONDS} cat > /dev/null
fi
kill "$sshd"
"""
"""Runs on the server as long as the session lasts, with the same marks as remote-session.sh (one_session.py)."""


def main() -> None:
    """Keep the session of the log-in that is there now, until it is over."""
    this = _log_in()
    while _log_in() == this:
        with _mark() as ssh:
            for word in _words(ssh):
                if word == HERE:
                    _say(HERE)
                elif word == END and _log_in() == this:
                    # While the mark is there, the log-in elsewhere waits.
                    _end_session(notice.ENDED)
        if _log_in() == this and not session_key.reopen(lambda: _log_in() == this, message.show_soon):
            # It may be over meanwhile, and another one be there.
            if _log_in() == this:
                _end_session(notice.LOST)
            return


def mark_command(name: str) -> str:
    """What the user's shell on the server runs, whichever shell it is; ``name``: of this machine."""
    return f"exec env {shlex.quote(f'FARM_NAME={name if NAME.fullmatch(name) else str()}')} sh -c {shlex.quote(MARK)}"


def _log_in() -> int:
    """Tells a log-in from those before and after it; 0 when there is none."""
    try:
        return os.stat(FOLDER).st_ino
    except FileNotFoundError:
        return 0


def _mark() -> subprocess.Popen[bytes]:
    user = pwd.getpwnam(SESSION_USER)
    return subprocess.Popen(
        over_master(mark_command(os.uname().nodename), "-T", "-x"),
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
    )


def _words(ssh: subprocess.Popen[bytes]) -> Iterator[str]:
    """What the mark says, while it gets its beats."""
    assert ssh.stdin
    assert ssh.stdout
    with contextlib.suppress(BrokenPipeError):
        while True:
            ssh.stdin.write(b".")
            if select.select([ssh.stdout], [], [], BEAT_SECONDS)[0]:
                line = ssh.stdout.readline(MAX_LINE)
                if not line:
                    return
                yield line.decode(errors="replace").strip()


def _end_session(why: str) -> None:
    syslog.syslog(syslog.LOG_AUTH | syslog.LOG_NOTICE, why)
    notice.put(why)
    if not log_out.log_out():
        client_account.clear()  # the display manager could not start it


def _say(word: str) -> None:
    """To the log-in, which waits for it once."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{word}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
