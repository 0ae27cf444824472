"""The menus of sessions and languages at the greeter: those that the server offers, by its ldminfod.

Runs as root before each start of the greeter. Each session of the server is one of this machine's, which starts the
thin session with that command. Without ldminfod the menus have nothing but what the server does by itself.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil

from farm.node.contract import SettingsError
from farm.node.files import write
from farm.node.session.lts_values import LtsValues, told_values
from farm.node.session.pam.desktop_choice import COMMAND, NO_LANGUAGE, OFFERED
from farm.node.session.pam.ldminfo import ServerInfo, server_infos
from farm.node.session.pam.server_choice import choose
from farm.node.session.session_kind import SESSIONS, THIN, kind_of
from farm.node.session.session_settings import read_session

SECONDS = 1.0
"""In which servers have to answer: the greeter waits for it."""
LANGUAGES = "run/farm/languages"
"""What the greeter takes for the locales of this machine (/usr/lib/farm/greeter/locale)."""
REMEMBERED = "var/lib/lightdm/.cache/lightdm-gtk-greeter/state", "var/cache/lightdm/dmrc"
"""What the user before has chosen, which the greeter would take for everybody's."""


def main(root: str = "/") -> None:
    """Ask the servers in their order, and write the menus."""
    lts = told_values(root)
    try:
        servers = choose(read_session(root), lts).servers
    except SettingsError:
        servers = ()
    infos = server_infos([each.host for each in servers], SECONDS) if servers else []
    write_menus(next((each for each in infos if each.sessions or each.languages), ServerInfo()), lts, root)
    for path in REMEMBERED:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(os.path.join(root, path)) if path.endswith("dmrc") else os.unlink(os.path.join(root, path))


def write_menus(info: ServerInfo, lts: LtsValues, root: str = "/") -> None:
    """Write what is offered, without what lts.conf leaves no choice of."""
    folder = os.path.join(root, SESSIONS)
    for old in glob.glob(os.path.join(folder, f"{OFFERED}*.desktop")):
        os.unlink(old)
    chosen_here = not lts.text("LDM_FORCE_SESSION") and kind_of(lts, root) == THIN
    sessions = info.sessions if chosen_here else ()
    for number, (name, command) in enumerate(sessions):
        write(os.path.join(folder, f"{OFFERED}{number:02}.desktop"), desktop_entry(name, command))
    languages = () if lts.text("LDM_FORCE_LANGUAGE") else info.languages
    # liblightdm takes those in UTF-8, as `locale -a` spells it.
    spelt = [each.replace(".UTF-8", ".utf8") for each in languages if ".utf" in each.lower()]
    write(os.path.join(root, LANGUAGES), "".join(f"{each}\n" for each in dict.fromkeys([NO_LANGUAGE, *spelt])))


def desktop_entry(name: str, command: str) -> str:
    """A session of the menu; both are valid as `ldminfo` has checked them."""
    return f"[Desktop Entry]\nType=Application\nName={name}\nExec=/usr/lib/farm/thin-session\n{COMMAND}{command}\n"


if __name__ == "__main__":
    main()
