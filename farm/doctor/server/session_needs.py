"""Checks of what thin clients need of this computer: sshd, a desktop and what shows it elsewhere."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec

from farm import command
from farm.config.lts_file import LTS_FILE, load_lts
from farm.doctor.check import Cause, Check, Outcome, fine, skip, together
from farm.doctor.server.serving import ServerFacts
from farm.errors import FarmError, MissingProgramError
from farm.netboot import host_keys
from farm.netboot.settings import SSH_PORT
from farm.node.lts.precedence import KnownMachine
from farm.node.session.lts_values import values_for
from farm.node.session.pam.server_choice import all_hosts
from farm.node.session.session_settings import SessionServer, SessionSettings
from farm.session_server import offer, sshd_settings
from farm.session_server.sshd_settings import Effective

ANSWER_SECONDS = 5.0
SESSION_MANAGER = "x-session-manager"
"""Debian's name for the desktop that a session starts which names none."""

NO_SSHD = Cause("sshd is not installed: nobody can log in.", "Install it", "sudo apt-get install openssh-server")
SILENT = Cause(
    "sshd does not answer at {address}, port {port}: {why}.",
    "Start it; if it runs, look at ListenAddress and the firewall",
    "sudo systemctl enable --now ssh",
)
BROKEN = Cause("sshd's settings have an error: {why}", "Correct it, and look again", "sudo sshd -t")
NO_PASSWORDS = Cause(
    "sshd takes no passwords: nobody can log in at a thin client.",
    "Set PasswordAuthentication yes, for the lab alone below: Match LocalAddress {address} (docs/thin-clients.md)",
    "sudo systemctl reload ssh",
)
NO_X11 = Cause(
    "sshd has {setting}: no session starts.",
    "Correct it in /etc/ssh/sshd_config, then",
    "sudo systemctl reload ssh",
)
NO_SOCKETS = Cause(
    "sshd has {setting}: sessions have no sound.",
    "Correct it in /etc/ssh/sshd_config, then",
    "sudo systemctl reload ssh",
    warns=True,
)
NOT_BETTER = Cause(
    "sshd lacks {lacking}, which `farm up` sets for thin clients.", "Set it again", "sudo farm up", warns=True
)
NO_KEYS = Cause("sshd has no host keys.", "Make them, then bring the farm up again", "sudo ssh-keygen -A")
OLD_KEYS = Cause(
    "Thin clients are told other host keys than this computer's sshd has, so they log in to nobody.",
    "Tell them, and boot them again",
    "sudo farm up",
)
NO_XAUTH = Cause("xauth is not installed: no session starts.", "Install it", "sudo apt-get install xauth")
NO_XSESSION = Cause(
    "There is no Xsession, which starts a session.", "Install Debian's", "sudo apt-get install x11-common"
)
NO_DESKTOP = Cause(
    "There is no desktop: no X session in /usr/share/xsessions, and no x-session-manager.",
    "Install one; XFCE serves thin clients well",
    "sudo apt-get install xfce4",
)
NO_SSHFS = Cause(
    "sshfs is not installed: sticks at thin clients do not appear in sessions.",
    "Install it",
    "sudo apt-get install sshfs",
    warns=True,
)
NOBODY_SITS = "No machine of this farm is for sessions."
OTHER_SERVERS = "All machines log in to other servers, as lts.conf says (LDM_SERVER)."


def _elsewhere(facts: ServerFacts) -> str:
    """Why nobody logs in to this computer; empty when somebody may."""
    if not facts.instance.has_sessions:
        return NOBODY_SITS
    try:
        conf = load_lts(facts.home.config.with_name(LTS_FILE))
    except FarmError:
        return ""
    config = facts.instance.config
    own = SessionSettings(servers=(SessionServer(config.server, SSH_PORT, ()),))
    listed = (KnownMachine(each.name, each.address or "", each.mac) for each in config.listed)
    hosts = (all_hosts(own, values_for(conf, machine)) for machine in (KnownMachine("", "", ""), *listed))
    return "" if any(config.server in each for each in hosts) else OTHER_SERVERS


def _sshd(facts: ServerFacts) -> Outcome:
    if elsewhere := _elsewhere(facts):
        return skip(elsewhere)
    address = facts.instance.config.server
    try:
        command.find("sshd")
        with socket.create_connection((address, SSH_PORT), ANSWER_SECONDS) as sock:
            sock.settimeout(ANSWER_SECONDS)
            said = sock.recv(256)
    except MissingProgramError:
        return NO_SSHD.found()
    except OSError as error:
        return SILENT.found(address=address, port=SSH_PORT, why=error.strerror or str(error))
    if not said.startswith(b"SSH-2.0-"):
        return SILENT.found(address=address, port=SSH_PORT, why="another program answers there, or sshd is too busy")
    return fine(f"{address}, port {SSH_PORT}: {said.decode(errors='replace').strip()}")


def _settings(facts: ServerFacts) -> Outcome:
    if elsewhere := _elsewhere(facts):
        return skip(elsewhere)
    if os.geteuid() != 0:
        return skip("Only root can read sshd's settings.")
    address = facts.instance.config.server
    try:
        base, lab = sshd_settings.effective(), sshd_settings.effective(address)
    except MissingProgramError:
        return skip("sshd is not installed.")
    except FarmError as error:
        return BROKEN.found(*error.why.splitlines(), why=" ".join(error.why.split()))
    # In a virtual lab `farm up` leaves this computer's sshd alone.
    better = sshd_settings.better_lines(base) if facts.instance.namespace is None else []
    return settings_outcome(base, lab, address, better)


def settings_outcome(base: Effective, lab: Effective, address: str, better: Sequence[str] = ()) -> Outcome:
    """What sshd's settings mean to thin clients: ``base`` for everybody, ``lab`` for connections to ``address``.

    ``better``: the lines that `farm up` adds for these.
    """
    lacking = [line for line in better if lab.get(line.split()[0].lower()) == base.get(line.split()[0].lower())]
    found = [
        *([NO_PASSWORDS.found(address=address)] if _takes_no_password(lab) else []),
        *(NO_X11.found(setting=each) for each in _have(lab, "x11forwarding no", "disableforwarding yes")),
        *(NO_SOCKETS.found(setting=each) for each in _no_sockets(lab)),
        *([NOT_BETTER.found(lacking=", ".join(lacking))] if lacking else []),
    ]
    keys = ("passwordauthentication", "kbdinteractiveauthentication", "x11forwarding", "clientaliveinterval")
    return together(found or [fine(*(f"{key} {lab.get(key, '?')}" for key in keys))])


def _takes_no_password(lab: Effective) -> bool:
    return "yes" not in (lab.get("passwordauthentication"), lab.get("kbdinteractiveauthentication"))


def _have(lab: Effective, *settings: str) -> list[str]:
    return [setting for setting in settings if lab.get(setting.split()[0]) == setting.split()[1]]


def _no_sockets(lab: Effective) -> list[str]:
    return _have(lab, "allowstreamlocalforwarding no", "allowstreamlocalforwarding local")


def _improve(facts: ServerFacts) -> str:
    if facts.instance.namespace is not None:
        return ""
    config = facts.instance.config
    done = sshd_settings.improve(config.name, facts.home.config, config.server)
    return f"sshd: {done}." if done else ""


def _host_keys(facts: ServerFacts) -> Outcome:
    if elsewhere := _elsewhere(facts):
        return skip(elsewhere)
    keys = host_keys.read()
    if not keys:
        return NO_KEYS.found()
    told = _told_keys(facts.home.http / "nodes", facts.instance.config.server)
    if any(each != keys for each in told):
        return OLD_KEYS.found(f"sshd has: {', '.join(key.split()[0] for key in keys)}.")
    return fine(f"{', '.join(key.split()[0] for key in keys)}: as the machines are told.")


def _told_keys(folder: Path, address: str) -> list[list[str]]:
    """The host keys of this computer in the documents that machines are told."""
    documents = [msgspec.json.decode(file.read_bytes()) for file in sorted(folder.glob("*.json"))]
    servers = [server for said in documents for server in said.get("session", {}).get("servers", [])]
    return [server["host_keys"] for server in servers if server["host"] == address]


def _make_host_keys(facts: ServerFacts) -> str:
    if host_keys.read():
        return ""
    command.run(["ssh-keygen", "-A"])
    return "Made host keys; bring the farm up again, so that thin clients are told them."


def _desktop(facts: ServerFacts) -> Outcome:
    if elsewhere := _elsewhere(facts):
        return skip(elsewhere)
    desktops = [each.name for each in offer.desktops()]
    managed = shutil.which(SESSION_MANAGER) is not None
    found = [
        *([] if shutil.which("xauth") else [NO_XAUTH.found()]),
        *([] if offer.xsession() else [NO_XSESSION.found()]),
        *([] if desktops or managed else [NO_DESKTOP.found()]),
        *([] if shutil.which("sshfs") else [NO_SSHFS.found()]),
    ]
    seen = f"Sessions: {', '.join(desktops) or SESSION_MANAGER}; started by {offer.xsession()}."
    return together(found or [fine(seen)])


CHECKS: tuple[Check[ServerFacts], ...] = (
    Check(
        "session-sshd", "sshd answers thin clients", "All of a session goes over one ssh connection.", _sshd,
        (NO_SSHD, SILENT), ("interface",),
    ),
    Check(
        "session-sshd-settings", "sshd's settings serve thin clients", "A log-in there needs a password and X11.",
        _settings, (BROKEN, NO_PASSWORDS, NO_X11, NO_SOCKETS, NOT_BETTER), fix=_improve,
    ),
    Check(
        "session-host-keys", "Thin clients know this computer's host keys",
        "A thin client gives a server with another key no password.", _host_keys, (NO_KEYS, OLD_KEYS),
        fix=_make_host_keys,
    ),
    Check(
        "session-desktop", "There is a desktop for thin clients", "Sessions run on this computer.", _desktop,
        (NO_XAUTH, NO_XSESSION, NO_DESKTOP, NO_SSHFS),
    ),
)  # fmt: skip
