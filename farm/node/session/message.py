"""Show a message on this machine's screens, whatever runs there: a log-in, a session, or both."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from farm.node.files import write
from farm.node.session import message_window

AUTHORITIES = "/run/lightdm/root"
"""Of each display that the display manager has started a file with the cookie, by the display's name."""
NEWEST = "/run/farm/message-{}"
"""Of each display: the pid of the window that came last."""
OWNER = "nobody"
MAX_DISPLAYS = 10


def show(text: str) -> list[str]:
    """Show it on each display; returns their names. Raises OSError when there is one and it can not be shown."""
    shown = [display for display in displays() if _show_on(display, text)]
    if not shown and displays():
        raise OSError("the window did not appear")
    return shown


def displays(folder: str = AUTHORITIES) -> list[str]:
    """The X displays of this machine: ``:0`` and so on."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [name for name in names if name[:1] == ":" and name[1:].isdecimal()][:MAX_DISPLAYS]


def _show_on(display: str, text: str) -> bool:
    """Start the window on a display; whether it appeared. It goes on when this process has ended."""
    owner = pwd.getpwnam(OWNER)
    newest = NEWEST.format(display[1:])
    heading = time.strftime("Message from the administrator, %H:%M")
    with _cookie_for(owner.pw_uid, display) as authority:
        environment = {
            "DISPLAY": display,
            "XAUTHORITY": authority,
            "HOME": "/nonexistent",
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "NO_AT_BRIDGE": "1",
            "GSETTINGS_BACKEND": "memory",
        }
        window = subprocess.Popen(
            [sys.executable, "-I", "-m", message_window.__name__, heading, newest],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            user=owner.pw_uid,
            group=owner.pw_gid,
            extra_groups=[],
            start_new_session=True,
        )
        assert window.stdin
        assert window.stdout
        with contextlib.suppress(BrokenPipeError), window.stdin:
            window.stdin.write(text.encode())
        appeared = window.stdout.readline().strip() == message_window.SHOWN.encode()
    if appeared:
        write(newest, f"{window.pid}\n")
    return appeared


@contextlib.contextmanager
def _cookie_for(uid: int, display: str) -> Iterator[str]:
    """A copy of a display's cookie that the account with this uid can read."""
    with open(os.path.join(AUTHORITIES, display), "rb") as file:
        cookie = file.read()
    with tempfile.NamedTemporaryFile(prefix="farm-message-") as copy:
        copy.write(cookie)
        copy.flush()
        os.chown(copy.name, uid, -1)
        yield copy.name
