"""Show a message on this machine's screens, whatever runs there: a log-in, a session, or both."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

from farm.node.contract import MAX_BYTES
from farm.node.files import write
from farm.node.session.lts_screens.run import FOLDER
from farm.node.session.on_screen import message_window

AUTHORITIES = "/run/lightdm/root"
"""Of each display that the display manager has started a file with the cookie, by the display's name."""
COOKIE = ".Xauthority"
"""Of each further screen (lts.conf's SCREEN_nn), in its folder, which has its number."""
NEWEST = "/run/farm/message-{}"
"""Of each display: the pid of the window that came last."""
OWNER = "nobody"
MAX_DISPLAYS = 10


def show(text: str, sender: str = "Message from the administrator") -> list[str]:
    """Show it on each display; returns their names. Raises OSError when there is one and it can not be shown."""
    heading = f"{sender}, {time.strftime('%H:%M')}"
    shown = [display for display in displays() if _shown_on(display, heading, text)]
    if not shown and displays():
        raise OSError("the window did not appear")
    return shown


def show_soon(text: str) -> None:
    """Show what the machine itself has to say; nobody waits until the window is there."""
    sys.stderr.write(f"farm-node: {text}\n")
    threading.Thread(target=_show_own, args=(text,), daemon=True).start()


def _show_own(text: str) -> None:
    try:
        show(text, "This computer")
    except (OSError, KeyError) as error:
        sys.stderr.write(f"farm-node: the message could not be shown on the screen: {error}\n")


def displays(folder: str = AUTHORITIES, screens: str = FOLDER) -> dict[str, str]:
    """The X displays of this machine, ``:0`` and so on, each with the file that has its cookie."""
    found = {f":{name}": os.path.join(screens, name, COOKIE) for name in _numbers(screens, "")}
    found |= {f":{name}": os.path.join(folder, f":{name}") for name in _numbers(folder, ":")}
    return dict(sorted(found.items())[:MAX_DISPLAYS])


def _numbers(folder: str, before: str) -> list[str]:
    try:
        names = [name.removeprefix(before) for name in os.listdir(folder) if name.startswith(before)]
    except OSError:
        return []
    return [name for name in names if name.isascii() and name.isdigit()]


def _shown_on(display: str, heading: str, text: str) -> bool:
    """Whether it could be shown there: a display may just end, or have no cookie that is a file."""
    try:
        return _show_on(display, heading, text)
    except (KeyError, OSError):
        return False


def _show_on(display: str, heading: str, text: str) -> bool:
    """Start the window on a display; whether it appeared. It goes on when this process has ended."""
    owner = pwd.getpwnam(OWNER)
    newest = NEWEST.format(display[1:])
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
    # The folder of a screen is its user's, who may have put anything there.
    descriptor = os.open(displays()[display], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        cookie = file.read(MAX_BYTES)
    with tempfile.NamedTemporaryFile(prefix="farm-message-") as copy:
        copy.write(cookie)
        copy.flush()
        os.chown(copy.name, uid, -1)
        yield copy.name
