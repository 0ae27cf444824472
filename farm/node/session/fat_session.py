"""The session of a fat client, as lightdm starts it: the desktop of this machine, in the language of its user."""

from __future__ import annotations

import contextlib
import locale
import os
import re
from collections.abc import Callable, Mapping

from farm.node.files import read, write
from farm.node.session.extras import printers
from farm.node.session.lts_values import LtsValues, told_values
from farm.node.session.pam.desktop_choice import LANGUAGE, chosen_language
from farm.node.session.session_kind import FAT

XSESSION = ("/etc/X11/Xsession", "x-session-manager")
"""The image's own desktop, whatever is chosen in the home for sessions on the server."""
ZONES = "/usr/share/zoneinfo"


def main() -> None:
    """Become the session of the image's desktop."""
    home = os.environ["HOME"]
    os.chdir(home)
    keep_choice(home, os.environ.get("FARM_SESSION", ""))
    lts = told_values()
    environment = printers.environment(lts) | session_environment(os.environ, lts, home)
    os.execve(XSESSION[0], list(XSESSION), environment)


def keep_choice(home: str, session: str) -> None:
    """Let the user's choice for sessions on the server be as before: the display manager has put this one there."""
    path = os.path.join(home, ".dmrc")
    before = read(path)
    after = re.sub(f"^Session={FAT}$", f"Session={session}" if session else "", before, flags=re.MULTILINE)
    if after != before:
        with contextlib.suppress(OSError):  # a home can be full
            write(path, after)


def session_environment(
    told: Mapping[str, str],
    lts: LtsValues,
    home: str,
    has_language: Callable[[str], bool] | None = None,
    zones: str = ZONES,
) -> dict[str, str]:
    """The environment of its programs; ``told``: what the log-in and the display manager have left.

    ``has_language``: whether this machine has a locale.
    """
    kept = {key: value for key, value in told.items() if not key.startswith("FARM_")}
    languages = (
        lts.text("LDM_FORCE_LANGUAGE"),
        chosen_language(home),
        lts.text("LDM_LANGUAGE"),
        lts.text("LANG"),
        told.get("FARM_LANGUAGE", ""),
    )
    has = has_language or _has_language
    language = next((each for each in languages if LANGUAGE.fullmatch(each) and has(each)), "C.UTF-8")
    zone = told.get("FARM_ZONE", "")
    known = zone and not lts.text("TIMEZONE") and os.path.exists(os.path.join(zones, zone))
    return {**kept, "LANG": language, "XDG_SESSION_TYPE": "x11", **({"TZ": zone} if known else {})}


def _has_language(name: str) -> bool:
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    return True


if __name__ == "__main__":
    main()
