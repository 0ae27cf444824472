"""Drivers and services: MODULE_nn, RM_SYSTEM_SERVICES, KEEP_SYSTEM_SERVICES, SYSLOG_HOST."""

from __future__ import annotations

import re

from farm.node.session.machine_setup import Change, ThinMachine, unusable
from farm.node.session.session_settings import HOST

LOG_UNIT = "farm-send-log.service"
_MODULE = re.compile("[A-Za-z0-9_][A-Za-z0-9_-]{0,60}( [A-Za-z0-9_.]{1,60}(=[A-Za-z0-9_.,:+-]{0,200})?){0,20}")
_SERVICE = re.compile(r"[A-Za-z0-9_@:][A-Za-z0-9_@:.-]{0,100}")
_OWN = re.compile("farm-.*|systemd-.*|dbus.*|init|lightdm.*")
"""Without these the machine is of no use, and could not be asked why."""


def change(place: ThinMachine) -> Change:
    """Modules are loaded, services stopped for good, and the log is sent to SYSLOG_HOST."""
    lts = place.lts
    modules, said = [], []
    for number, value in lts.numbered("MODULE_#").items():
        words = " ".join(value.split(" "))
        if _MODULE.fullmatch(words):
            modules.append(("modprobe", "--", *words.split(" ")))
        else:
            said.append(unusable(f"MODULE_{number:02}", value))
    stopped, refused = _stopped(place)
    host = lts.text("SYSLOG_HOST").lower()
    if host and not HOST.fullmatch(host):
        said.append(unusable("SYSLOG_HOST", host))
    commands = [*modules]
    if stopped:
        commands.append(("systemctl", "--runtime", "mask", "--", *stopped))
        commands.append(("systemctl", "--no-block", "stop", "--", *stopped))
    return Change(
        commands=tuple(commands),
        units=(LOG_UNIT,) if HOST.fullmatch(host) else (),
        said=(*said, *refused),
    )


def _stopped(place: ThinMachine) -> tuple[list[str], list[str]]:
    """The units to stop, and what is said of those that are not."""
    keep = place.lts.words("KEEP_SYSTEM_SERVICES")
    found, said = [], []
    for key in ("RM_SYSTEM_SERVICES", "RM_THIN_SYSTEM_SERVICES"):
        for name in place.lts.words(key):
            if not _SERVICE.fullmatch(name) or _OWN.fullmatch(name):
                said.append(unusable(key, name, "is not stopped"))
            elif name not in keep:
                found.append(name if "." in name else f"{name}.service")
    return sorted(set(found)), said
