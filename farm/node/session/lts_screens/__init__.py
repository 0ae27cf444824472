"""The screens of a machine, one for each SCREEN_nn of lts.conf: people switch between them by Ctrl-Alt-F1 to F12.

The log-in (ldm) is lightdm's. Each of the others is an instance of a unit, named by its number, which runs
`farm.node.session.lts_screens.run`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import Change, ThinMachine, unusable

LOG_IN = "ldm"
CONSOLE = ("shell", "ssh")
"""They have a text console."""
WINDOWED = ("xterm", "kiosk", "xfreerdp", "rdesktop")
"""They have an X server of their own."""
FIRST, LAST = 1, 12
"""The numbers that keys can reach."""
USUAL = 7
"""Where LTSP has the log-in, and lightdm too unless it is told otherwise."""
LIGHTDM = "etc/lightdm/lightdm.conf.d/70-farm-screens.conf"
NO_LOG_IN = "run/farm/no-log-in"
"""While this file is there, lightdm's unit does not start: no screen is for a log-in."""
_OF_ONE = re.compile("SCREEN_0*([0-9]{1,3})_(.+)")


class Screen(NamedTuple):
    """What a virtual terminal shows."""

    number: int
    """That of the terminal, and of the display of its X server."""
    kind: str
    words: tuple[str, ...] = ()
    """What comes after it, such as the address of a kiosk."""


def screens_of(lts: LtsValues) -> tuple[list[Screen], tuple[str, ...]]:
    """The screens in their order, and what is said of the others; a machine that would have none has the log-in."""
    found: list[Screen] = []
    said = []
    for number, value in lts.numbered("SCREEN_#").items():
        kind, *words = value.split() or [""]
        screen = Screen(number, kind.lower(), tuple(words))
        if screen.kind not in (LOG_IN, *CONSOLE, *WINDOWED) or not FIRST <= number <= LAST or not value.isprintable():
            said.append(unusable(f"SCREEN_{number:02}", value, "is no screen that there can be here"))
        elif screen.kind == LOG_IN and has_log_in(found):
            said.append(unusable(f"SCREEN_{number:02}", value, "has a screen already, and there is one"))
        else:
            found.append(screen)
    return found or [Screen(USUAL, LOG_IN)], tuple(said)


def has_log_in(screens: list[Screen]) -> bool:
    """Whether somebody can log in at one of them."""
    return any(screen.kind == LOG_IN for screen in screens)


def shown_first(lts: LtsValues, screens: list[Screen]) -> Screen:
    """SCREEN_DEFAULT, or else the log-in, one with windows, the first."""
    wanted = lts.number("SCREEN_DEFAULT", FIRST, LAST, 0)
    return min(screens, key=lambda each: (each.number != wanted, each.kind != LOG_IN, each.kind not in WINDOWED))


def for_screen(lts: LtsValues, number: int) -> LtsValues:
    """The values that hold for one screen: SCREEN_07_XKBLAYOUT goes before XKBLAYOUT there."""
    own = ((_OF_ONE.fullmatch(key), value) for key, value in lts.found.items())
    return LtsValues({**lts.found, **{match[2]: value for match, value in own if match and int(match[1]) == number}})


def has_own_values(lts: LtsValues, number: int, prefix: str) -> bool:
    """Whether a variable is set for this screen alone, whose name begins so."""
    own = (_OF_ONE.fullmatch(key) for key in lts.found)
    return any(match and int(match[1]) == number and match[2].startswith(prefix) for match in own)


def screens_change(place: ThinMachine) -> Change:
    """Tell lightdm where the log-in is, and start the other screens."""
    from farm.node.session.lts_screens.on_display import wanted

    screens, said = screens_of(place.lts)
    units = [
        f"farm-screen-{'text' if screen.kind in CONSOLE else 'x'}@{screen.number}.service"
        for screen in screens
        if screen.kind != LOG_IN
    ]
    first = shown_first(place.lts, screens)
    if first.kind != LOG_IN:
        units.append(f"farm-screen-first@{first.number}.service")
    files = {} if has_log_in(screens) else {NO_LOG_IN: ""}
    for screen in (each for each in screens if each.kind == LOG_IN):
        text = f"[LightDM]\nminimum-vt={screen.number}\n" if screen.number != USUAL else ""
        if wanted(place.lts, screen.number):
            module = "farm.node.session.lts_screens.on_display"
            text += f"[Seat:*]\ndisplay-setup-script=/usr/bin/python3 -I -m {module} {screen.number}\n"
        if text:
            files[LIGHTDM] = text
    return Change(files, units=tuple(units), said=said)
