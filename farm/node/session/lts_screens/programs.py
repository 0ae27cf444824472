"""Which program a screen runs, and what the image needs for it. Pure functions; no shell reads any of the values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import NamedTuple

from farm.node.contract import PORT
from farm.node.session.lts_screens import Screen
from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import PACKAGES
from farm.node.session.session_settings import HOST

BROWSERS = {
    "firefox-esr": ("--kiosk",),
    "firefox": ("--kiosk",),
    "chromium": ("--kiosk", "--no-first-run", "--password-store=basic", "--disable-sync"),
}
"""Browser → its options for the whole screen."""
WINDOW_MANAGERS = ("openbox", "matchbox-window-manager")
"""A browser fills the screen only if one of them is there (seen with Chromium)."""
BLANK_PAGE = "about:blank"
NEEDED = {"xterm": "xterm", "kiosk": "firefox-esr and openbox", "xfreerdp": "freerdp2-x11", "rdesktop": "rdesktop"}
"""Kind of screen → Debian's packages for it."""
MAX_WORDS = 64
_URL = re.compile("(https?://|file:///|about:)[!-~]{1,2000}")


class Program(NamedTuple):
    """What a screen with windows runs."""

    argv: tuple[str, ...] = ()
    typed: str = ""
    """What is passed to its standard input: no other program sees a password there."""
    as_root: bool = False
    manager: str = ""
    """A window manager beside it."""
    why_not: str = ""
    """What the screen says instead, when the program cannot run."""


def program_of(screen: Screen, lts: LtsValues, which: Callable[[str], str | None]) -> Program:
    """The program of a screen; ``which``: where a program is, or None."""
    if screen.kind == "kiosk":
        return _kiosk(screen, lts, which)
    if screen.kind in ("xfreerdp", "rdesktop"):
        return _remote_desktop(screen, lts, which)
    if not which("xterm"):
        return _missing(screen)
    # As in LTSP, it is root's: like the screen "shell".
    return Program(("xterm", "-geometry", "132x43+0+0"), as_root=True)


def _missing(screen: Screen) -> Program:
    return _refused(screen, f"needs a program that the image lacks: {PACKAGES.format(NEEDED[screen.kind])}")


def _refused(screen: Screen, why: str) -> Program:
    return Program(why_not=f"SCREEN_{screen.number:02}={screen.kind} {why}.")


def _kiosk(screen: Screen, lts: LtsValues, which: Callable[[str], str | None]) -> Program:
    wanted = lts.text("KIOSK_EXE").rpartition("/")[2]
    browser = next((each for each in ([wanted] if wanted in BROWSERS else BROWSERS) if which(each)), "")
    if not browser:
        return _missing(screen)
    words = screen.words or tuple(lts.text("KIOSK_OPTIONS").split())
    page = next((word for word in words if _URL.fullmatch(word)), BLANK_PAGE)
    manager = next(filter(which, WINDOW_MANAGERS), "")
    return Program((browser, *BROWSERS[browser], page), manager=manager)


def _remote_desktop(screen: Screen, lts: LtsValues, which: Callable[[str], str | None]) -> Program:
    program = screen.kind
    if not which(program):
        program = next((each for each in ("xfreerdp", "rdesktop") if which(each)), "")
    if not program:
        return _missing(screen)
    server = (screen.words[0] if screen.words else lts.text("RDP_SERVER")).lower()
    if not _is_server(server):
        return _refused(screen, "needs a server: set RDP_SERVER in lts.conf")
    try:
        options = shlex.split(lts.text("RDP_OPTIONS"))[:MAX_WORDS]
    except ValueError:
        return _refused(screen, "has RDP_OPTIONS in which a quotation mark is open")
    options, password = without_password(options)
    if program == "xfreerdp":
        return _xfreerdp(server, options, password)
    asked = ("-p", "-") if password else ()
    return Program(("rdesktop", "-f", *options, *asked, server), f"{password}\n" if password else "")


def _xfreerdp(server: str, options: list[str], password: str) -> Program:
    """A password is read from standard input only together with a name on the command line; it asks for both else."""
    old = any(re.fullmatch("-[a-zA-Z]", word) for word in options)
    named = any(word.startswith("/u:") for word in options)
    argv = ["xfreerdp", *([] if old else ["/f"]), *options]
    where = [server] if old else [f"/v:{server}"]
    if not password:
        return Program((*argv, *where))
    if old or not named:
        return Program((*argv, *(["-p", password] if old else [f"/p:{password}"]), *where))
    return Program((*argv, *where, "/from-stdin:force"), f"{password}\n")


def without_password(options: list[str]) -> tuple[list[str], str]:
    """The options of xfreerdp or rdesktop, and the password that was among them."""
    rest: list[str] = []
    password = ""
    words = iter(options)
    for word in words:
        if word == "-p":
            password = next(words, "")
        elif word.startswith("/p:"):
            password = word[3:]
        elif re.fullmatch("-p[^a-z-].*", word):
            password = word[2:]
        else:
            rest.append(word)
    return rest, "" if password == "-" else password


def _is_server(text: str) -> bool:
    host, _, port = text.partition(":")
    return bool(HOST.fullmatch(host)) and (not port or bool(PORT.fullmatch(port)))
