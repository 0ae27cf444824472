"""The keyboard: XKB* for all screens with windows, CONSOLE_KEYMAP for those without."""

from __future__ import annotations

import re

from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import PACKAGES, Change, ThinMachine, checked

XORG_FILE = "etc/X11/xorg.conf.d/80-farm-keyboard.conf"
SYMBOLS = "/usr/share/X11/xkb/symbols"
OPTIONS = {
    "XKBRULES": "XkbRules",
    "XKBMODEL": "XkbModel",
    "XKBLAYOUT": "XkbLayout",
    "XKBVARIANT": "XkbVariant",
    "XKBOPTIONS": "XkbOptions",
}
"""Variable → option of X's configuration."""
_WORDS = "[A-Za-z0-9_():,+.-]{1,200}"
_COMMAS = re.compile(r"[ \t]*,[ \t]*|[ \t]+")


def change(place: ThinMachine) -> Change:
    """What X takes for all keyboards, also those that are plugged in later, and the console's map."""
    chosen, said = xkb(place)
    lines = "".join(f'  Option "{OPTIONS[key]}" "{value}"\n' for key, value in chosen.items())
    section = f'Section "InputClass"\n  Identifier "lts.conf"\n  MatchIsKeyboard "on"\n{lines}EndSection\n'
    commands, lacks = _console(place)
    return Change({XORG_FILE: section} if lines else {}, commands=commands, said=(*said, *lacks))


def xkb(place: ThinMachine) -> tuple[dict[str, str], tuple[str, ...]]:
    """Variable → its value for X, and what is said of the others: with a layout that is not there X stays American."""
    found: dict[str, str] = {}
    said: list[str] = []
    for key in OPTIONS:
        value, flaw = checked(key, _COMMAS.sub(",", place.lts.text(key)), _WORDS)
        said += flaw
        missing = [each for each in _layouts(key, value) if not place.has(f"{SYMBOLS}/{each}")]
        if missing:
            said.append(f"XKBLAYOUT is left out: there is no layout {', '.join(missing)}")
        elif value:
            found[key] = value
    if "XKBLAYOUT" not in found:
        found.pop("XKBVARIANT", None)  # is one of the layout that is not there
    return found, tuple(said)


def setxkbmap(lts: LtsValues, place: ThinMachine) -> list[str]:
    """The command that sets a keyboard for one screen alone; empty when nothing is said of it."""
    chosen, _ = xkb(place._replace(lts=lts))
    words = {"XKBRULES": "-rules", "XKBMODEL": "-model", "XKBLAYOUT": "-layout", "XKBVARIANT": "-variant"}
    argv = [word for key, flag in words.items() if key in chosen for word in (flag, chosen[key])]
    argv += [word for each in chosen.get("XKBOPTIONS", "").split(",") if each for word in ("-option", each)]
    return ["setxkbmap", *argv] if argv else []


def _layouts(key: str, value: str) -> list[str]:
    """The files of symbols that a list of layouts needs: ``de(neo),us`` → de, us."""
    return [each.partition("(")[0] for each in value.split(",")] if key == "XKBLAYOUT" and value else []


def _console(place: ThinMachine) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    keymap, said = checked("CONSOLE_KEYMAP", place.lts.text("CONSOLE_KEYMAP"), "[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}")
    if not keymap:
        return (), said
    if not place.has("/usr/bin/loadkeys"):
        return (), (f"CONSOLE_KEYMAP: {PACKAGES.format('kbd and console-data')}",)
    return (("loadkeys", keymap),), ()
