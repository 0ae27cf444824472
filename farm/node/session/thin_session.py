"""The session of a thin client, as lightdm starts it: the server's Xsession over the connection of the log-in."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import IO

from farm.node.contract import MAC, NAME
from farm.node.files import read
from farm.node.session.direct_x import is_direct
from farm.node.session.lts_values import LtsValues, told_values
from farm.node.session.pam import notice
from farm.node.session.pam.desktop_choice import chosen_language, chosen_session, desktop_environment
from farm.node.session.ssh_client.ssh_command import HOME, over_master

BEAT_SECONDS = 10.0
PATIENCE_SECONDS = 40
"""Without a beat, after which the server ends the session: with what ssh takes, all is over within a minute."""
SCRIPT = os.path.join(os.path.dirname(__file__), "remote-session.sh")
FOLDER_SECONDS = 15.0
"""In which the part on the server says where the session's folder is."""
MAX_GREETING = 64 * 1024
"""Bytes that a user's shell may print before that."""
NO_HOME, NO_DISPLAY, NO_XSESSION, ENDED = 91, 92, 93, 94
"""Exit codes of the part on the server."""
LOST = 255
"""That of ssh when there is no connection any more, or the part on the server was killed."""
LOST_SECONDS, POLL_SECONDS = 1.0, 0.1
"""In which a connection is seen to be gone: a server that stops ends its programs first."""
REASONS = {
    NO_HOME: "The session did not start: nothing can be written in your home on the server.",
    NO_DISPLAY: "The session did not start: xauth is missing on the server, or its sshd has X11Forwarding off.",
    NO_XSESSION: "The session did not start: the server has no Xsession.",
    ENDED: notice.ENDED,
    LOST: notice.LOST,
}
_COOKIE = re.compile(r"\s(MIT-MAGIC-COOKIE-1)\s+([0-9a-f]{32,64})$", re.MULTILINE)
_FOLDER = re.compile(rb"^FARM-FOLDER (.*)\n", re.MULTILINE)
_DISPLAY = re.compile(r":([0-9]{1,4})(\.[0-9]+)?")


def main() -> int:
    """Run the session to its end; the exit code is that of the part on the server."""
    lts = told_values()
    direct = is_direct(lts)
    cookie = _cookie() if direct else ""
    # Its own name, which HOSTNAME of lts.conf may have set, and not the farm's name for it.
    node = json.loads(read("/run/farm/node.json") or "{}") | {"name": os.uname().nodename}
    desktop = desktop_environment(lts, chosen_session(os.environ), chosen_language(HOME))
    remote = remote_command(desktop, node, os.environ.get("DISPLAY", ""))
    with _started(over_master(remote, "-T", "-x" if direct else "-Y"), cookie) as ssh:
        code = _run(ssh, lts)
    if code in REASONS and (code != LOST or _is_lost()):
        notice.leave(REASONS[code])
    return code


def remote_command(
    desktop: Mapping[str, str],
    node: dict[str, str],
    display: str,
) -> str:
    """What the user's shell on the server is to run, whichever shell it is.

    ``desktop``: what `desktop_choice` says.
    """
    name, mac = node.get("name", ""), node.get("mac", "")
    found = _DISPLAY.fullmatch(display)
    said = {
        **desktop,
        "FARM_NAME": name if NAME.fullmatch(name) else "",
        "FARM_MAC": mac if MAC.fullmatch(mac) else "",
        "FARM_DISPLAY": found[1] if found else "0",
        "FARM_PATIENCE": str(PATIENCE_SECONDS),
        "FARM_NO_HOME": str(NO_HOME),
        "FARM_NO_DISPLAY": str(NO_DISPLAY),
        "FARM_NO_XSESSION": str(NO_XSESSION),
        "FARM_ENDED": str(ENDED),
    }
    words = ["env", *(f"{key}={value}" for key, value in said.items()), "sh", "-c", read(SCRIPT)]
    return "exec " + shlex.join(words)


def _is_lost() -> bool:
    """Whether there is no connection any more; without windows, as after an order to log out, it goes on."""
    check = over_master("", "-O", "check")
    end = time.monotonic() + LOST_SECONDS
    while time.monotonic() < end:
        if subprocess.run(check, capture_output=True, check=False).returncode:
            return True
        time.sleep(POLL_SECONDS)
    return False


def _cookie() -> str:
    """The X server's cookie, from the file that lightdm has written for the session; empty when there is none."""
    listed = subprocess.run(["xauth", "list", os.environ["DISPLAY"]], capture_output=True, text=True, check=False)
    found = _COOKIE.search(listed.stdout)
    return found[2] if found else ""


@contextlib.contextmanager
def _started(argv: list[str], cookie: str) -> Iterator[subprocess.Popen[bytes]]:
    """The part on the server, which prepares the session and then waits for the environment that the extras give."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as ssh:
        _write(ssh, f"{cookie}\n")
        yield ssh


def _run(ssh: subprocess.Popen[bytes], lts: LtsValues) -> int:
    """Begin the extras beside it, let it start the desktop, and say again and again that this machine is there."""
    # Imported while the server works.
    from farm.node.session.extras import RemoteFolder, during_session

    assert ssh.stdout
    out = ssh.stdout
    with during_session(lts, RemoteFolder(lambda: _folder(out))) as extras:
        _write(ssh, "".join(f"{key}={value}\n" for key, value in extras.items()) + "\n")
        while True:
            _write(ssh, ".")
            with contextlib.suppress(subprocess.TimeoutExpired):
                return ssh.wait(BEAT_SECONDS)


def _folder(out: IO[bytes]) -> str:
    """What the part on the server says of the session's folder; empty when it says nothing."""
    said, end = b"", time.monotonic() + FOLDER_SECONDS
    while not (found := _FOLDER.search(said)) and len(said) < MAX_GREETING:
        ready, _, _ = select.select([out], [], [], max(end - time.monotonic(), 0))
        piece = out.read(4096) if ready else b""
        if not piece:
            return ""
        said += piece
    return found[1].decode(errors="replace") if found else ""


def _write(ssh: subprocess.Popen[bytes], text: str) -> None:
    """Tell the part on the server something; how it ended is seen elsewhere."""
    assert ssh.stdin
    with contextlib.suppress(BrokenPipeError):
        ssh.stdin.write(text.encode())


if __name__ == "__main__":
    sys.exit(main())
