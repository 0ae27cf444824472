"""Which desktop a session starts on the server, and in which language: what lts.conf says of it.

What counts, in this order: what must be so, what was chosen at the greeter, what the user chose last on the server,
what is so by default, and what the server does by itself. The part on the server (remote-session.sh) goes by it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from farm.node.files import read
from farm.node.session.lts_values import LtsValues
from farm.node.session.session_kind import SESSIONS

SESSION = re.compile("[A-Za-z0-9/][A-Za-z0-9 ._+=/-]{0,127}")
"""A file of /usr/share/xsessions without its ending, or a command for the server's Xsession."""
LANGUAGE = re.compile(r"[A-Za-z]{1,8}(_[A-Z]{2})?(\.[A-Za-z0-9-]{1,16})?(@[a-z]{1,16})?")
"""The name of a locale, such as de_DE.UTF-8."""
XSESSION = re.compile("/[A-Za-z0-9._+/-]{1,127}")
"""The path of a program that starts sessions."""
OFFERED = "server-"
"""How the files begin there of sessions that the server offers."""
COMMAND = "X-Farm-Command="
"""In such a file: the session on the server. lightdm takes Exec for one word."""
NO_LANGUAGE = "Default language.utf8"
"""Stands for no choice in the greeter's menu, which takes it for its own (/usr/lib/farm/greeter-start).

The greeter shows all of it, and takes nothing that is not in UTF-8. As no locale has such a name, it is never taken for
a language."""
_VARIABLES = {
    "LDM_FORCE_SESSION": SESSION,
    "LDM_SESSION": SESSION,
    "LDM_FORCE_LANGUAGE": LANGUAGE,
    "LDM_LANGUAGE": LANGUAGE,
    "LDM_XSESSION": XSESSION,
}


def desktop_environment(lts: LtsValues, session: str = "", language: str = "") -> dict[str, str]:
    """What the part on the server is told; ``session`` and ``language``: chosen at the greeter.

    What was chosen is the user's last choice from then on (FARM_REMEMBER).
    """
    return {
        "FARM_REMEMBER": "1" if session or language else "",
        "FARM_SESSION": _valid(lts, "LDM_FORCE_SESSION") or session,
        "FARM_DEFAULT_SESSION": _valid(lts, "LDM_SESSION"),
        "FARM_LANGUAGE": _valid(lts, "LDM_FORCE_LANGUAGE") or language,
        "FARM_DEFAULT_LANGUAGE": _valid(lts, "LDM_LANGUAGE"),
        "FARM_XSESSION": _valid(lts, "LDM_XSESSION"),
    }


def chosen_session(environment: Mapping[str, str], root: str = "/") -> str:
    """The server's session of the greeter's menu, from the environment that the display manager gives a session."""
    name = environment.get("DESKTOP_SESSION", "")
    text = read(os.path.join(root, SESSIONS, f"{name}.desktop")) if re.fullmatch(f"{OFFERED}[0-9]+", name) else ""
    found = re.search(f"^{COMMAND}(.*)$", text, re.MULTILINE)
    return found[1] if found and SESSION.fullmatch(found[1]) else ""


def chosen_language(home: str) -> str:
    """The language of the greeter's menu, from what the display manager leaves in the home that it is for."""
    found = re.search("^Language=(.*)$", read(os.path.join(home, ".dmrc")), re.MULTILINE)
    return found[1].replace(".utf8", ".UTF-8") if found and LANGUAGE.fullmatch(found[1]) else ""


def refused(lts: LtsValues) -> list[str]:
    """Sentences for the machine's log: which values are not used."""
    return [f"{key}: {lts.text(key)!r} is not valid." for key in _VARIABLES if lts.text(key) and not _valid(lts, key)]


def _valid(lts: LtsValues, key: str) -> str:
    text = lts.text(key)
    return text if _VARIABLES[key].fullmatch(text) else ""
