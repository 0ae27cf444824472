"""The session of a thin client, as lightdm starts it: the server's Xsession over the connection of the log-in."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

from farm.node.contract import MAC, NAME
from farm.node.files import read
from farm.node.session.direct_x import is_direct
from farm.node.session.extras import RemoteFolder, during_session
from farm.node.session.lts_values import told_values
from farm.node.session.pam import notice
from farm.node.session.pam.desktop_choice import chosen_language, chosen_session, desktop_environment
from farm.node.session.ssh_client.ssh_command import HOME, over_master

BEAT_SECONDS = 10.0
PATIENCE_SECONDS = 40
"""Without a beat, after which the server ends the session: with what ssh takes, all is over within a minute."""
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
_DISPLAY = re.compile(r":([0-9]{1,4})(\.[0-9]+)?")


def main() -> int:
    """Run the session to its end; the exit code is that of the part on the server."""
    lts = told_values()
    direct = is_direct(lts)
    cookie = _cookie() if direct else ""
    # Its own name, which HOSTNAME of lts.conf may have set, and not the farm's name for it.
    node = json.loads(read("/run/farm/node.json") or "{}") | {"name": os.uname().nodename}
    desktop = desktop_environment(lts, chosen_session(os.environ), chosen_language(HOME))
    folder = RemoteFolder()
    with during_session(lts, folder) as extras:
        remote = remote_command(desktop, node, os.environ.get("DISPLAY", ""), folder.made, extras)
        code = _run(over_master(remote, "-T", "-x" if direct else "-Y"), cookie)
    if code in REASONS and (code != LOST or _is_lost()):
        notice.leave(REASONS[code])
    return code


def remote_command(
    desktop: Mapping[str, str],
    node: dict[str, str],
    display: str,
    folder: str = "",
    extras: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """What the user's shell on the server is to run, whichever shell it is.

    ``desktop``: what `desktop_choice` says. ``folder``: that of the session there, which goes when it ends.
    ``extras``: more of its environment.
    """
    name, mac = node.get("name", ""), node.get("mac", "")
    found = _DISPLAY.fullmatch(display)
    said = {
        **desktop,
        "FARM_NAME": name if NAME.fullmatch(name) else "",
        "FARM_MAC": mac if MAC.fullmatch(mac) else "",
        "FARM_DISPLAY": found[1] if found else "0",
        "FARM_FOLDER": folder,
        "FARM_PATIENCE": str(PATIENCE_SECONDS),
        "FARM_NO_HOME": str(NO_HOME),
        "FARM_NO_DISPLAY": str(NO_DISPLAY),
        "FARM_NO_XSESSION": str(NO_XSESSION),
        "FARM_ENDED": str(ENDED),
        **extras,
    }
    script = resources.files("farm.node.session").joinpath("remote-session.sh").read_text()
    words = ["env", *(f"{key}={value}" for key, value in said.items()), "sh", "-c", script]
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


def _run(argv: list[str], cookie: str) -> int:
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as ssh:
        assert ssh.stdin
        try:
            ssh.stdin.write(f"{cookie}\n".encode())
            while True:
                ssh.stdin.write(b".")
                ssh.stdin.flush()
                try:
                    return ssh.wait(BEAT_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        except BrokenPipeError:
            return ssh.wait()


if __name__ == "__main__":
    sys.exit(main())
