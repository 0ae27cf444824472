"""The programs of this machine that a session of the server may start here, by what lts.conf says; nothing else is.

LOCAL_APPS_MENU_ITEMS has names of files in /usr/share/applications, LOCAL_APPS_WHITELIST has commands.
With a whitelist, only its commands are started.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from typing import NamedTuple

from farm.node.files import read
from farm.node.session.lts_values import LtsValues

APPLICATIONS = "usr/share/applications"
MAX_APPS = 64
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_KEY = re.compile("^(Name|Comment|Icon|Categories|MimeType|Exec|Terminal)=(.*)$", re.MULTILINE)
_FIELD_CODE = re.compile("%[A-Za-z]")
"""For what the program is to open (Desktop Entry Specification): nothing is passed on."""


class LocalApp(NamedTuple):
    """A program of this machine."""

    name: str
    argv: list[str]
    entry: dict[str, str]
    """What a menu shows of it, keys of a desktop entry; empty: it is in no menu."""


def local_apps(lts: LtsValues, root: str = "/") -> dict[str, LocalApp]:
    """Those that can be started, by name."""
    if not lts.is_on("LOCAL_APPS"):
        return {}
    allowed = {each for each in lts.words("LOCAL_APPS_WHITELIST") if NAME.fullmatch(each)}
    items = lts.words("LOCAL_APPS_MENU_ITEMS") if lts.is_on("LOCAL_APPS_MENU") else []
    found = [app for item in items if (app := _menu_item(item, root))]
    if lts.text("LOCAL_APPS_WHITELIST"):
        found = [app for app in found if os.path.basename(app.argv[0]) in allowed]
    named = {app.name: app for app in found}
    for command in sorted(allowed - named.keys()):
        if program := shutil.which(command, path=_path(root)):
            named[command] = LocalApp(command, [program], {})
    return dict(list(named.items())[:MAX_APPS])


def _menu_item(item: str, root: str) -> LocalApp | None:
    name = item.removesuffix(".desktop")
    if not NAME.fullmatch(name):
        return None
    text = read(os.path.join(root, APPLICATIONS, f"{name}.desktop")).partition("\n[Desktop Action")[0]
    entry: dict[str, str] = {}
    for key, value in _KEY.findall(text):
        entry.setdefault(key, value)
    try:
        argv = [word for word in shlex.split(entry.pop("Exec", "")) if not _FIELD_CODE.fullmatch(word)]
    except ValueError:  # quotation marks that do not match
        return None
    if not argv or entry.pop("Terminal", "") == "true" or not shutil.which(argv[0], path=_path(root)):
        return None
    return LocalApp(name, argv, entry)


def _path(root: str) -> str:
    return os.pathsep.join(os.path.join(root, each) for each in ("usr/local/bin", "usr/bin", "bin", "usr/games"))
