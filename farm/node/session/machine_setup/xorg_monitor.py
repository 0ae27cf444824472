"""What X is told of the graphics card and the monitor: XSERVER, X_MODE_0, X_HORZSYNC, X_VERTREFRESH.

Most machines need nothing of it: X asks the monitor. XRANDR_* is for each screen, when it is up:
`farm.node.session.lts_screens.on_display`.
"""

from __future__ import annotations

import re

from farm.node.session.machine_setup import Change, ThinMachine, checked, unusable

XORG_FILE = "etc/X11/xorg.conf.d/80-farm-monitor.conf"
DRIVERS = "/usr/lib/xorg/modules/drivers"
MODE = re.compile("[0-9]{3,5}x[0-9]{3,5}(_[0-9.]{2,6})?")
_RANGES = r"[0-9]{1,3}(\.[0-9]{1,3})?( ?[-,] ?[0-9]{1,3}(\.[0-9]{1,3})?){0,5}"
_MODELINE = re.compile(
    r'(?:modeline )? ?"?([0-9]{3,5}x[0-9]{3,5}[A-Za-z0-9_.]{0,12})"? '
    r"([0-9]{1,4}(?:\.[0-9]{1,4})?(?: [0-9]{1,5}){8}(?: [+-][hv]sync| interlace| doublescan){0,4})",
    re.IGNORECASE,
)


def change(place: ThinMachine) -> Change:
    """A monitor and a card for X's configuration, if lts.conf says anything of them."""
    lts = place.lts
    horizontal, said = checked("X_HORZSYNC", lts.text("X_HORZSYNC") or lts.text("X_HORIZSYNC"), _RANGES)
    vertical, more = checked("X_VERTREFRESH", lts.text("X_VERTREFRESH"), _RANGES)
    mode, modeline, flaw = _mode(_mode_written(place))
    driver, lacks = _driver(place)
    said = (*said, *more, *flaw, *lacks)
    monitor = [
        *([f"HorizSync {horizontal}"] if horizontal else []),
        *([f"VertRefresh {vertical}"] if vertical else []),
        *([f'Modeline "{mode}" {modeline}'] if modeline else []),
        *([f'Option "PreferredMode" "{mode}"'] if mode else []),
    ]
    if not monitor and not driver:
        return Change(said=said)
    card = [f'Driver "{driver}"'] if driver else []
    screen = ['Device "lts.conf"'] if driver else []
    screen += ['Monitor "lts.conf"', *(['SubSection "Display"', f'  Modes "{mode}"', "EndSubSection"] if mode else [])]
    text = _section("Monitor", monitor) + (_section("Device", card) if card else "") + _section("Screen", screen)
    return Change({XORG_FILE: text}, said=said)


def _section(name: str, lines: list[str]) -> str:
    inside = "".join(f"  {line}\n" for line in ['Identifier "lts.conf"', *lines])
    return f'Section "{name}"\n{inside}EndSection\n'


def _mode_written(place: ThinMachine) -> str:
    """X_MODE_0; of LTSP 23's X_MODES, whose modes stand in quotation marks, the first."""
    modes = place.lts.words("X_MODES")
    return place.lts.text("X_MODE_0") or (modes[0].strip("'\"") if modes else "")


def _mode(written: str) -> tuple[str, str, tuple[str, ...]]:
    """The mode's name, its timing if that is given, and what is said of another text."""
    if not written or MODE.fullmatch(written):
        return written, "", ()
    if found := _MODELINE.fullmatch(" ".join(written.split())):
        return found[1], found[2], ()
    return "", "", (unusable("X_MODE_0", written),)


def _driver(place: ThinMachine) -> tuple[str, tuple[str, ...]]:
    driver, said = checked("XSERVER", place.lts.text("XSERVER"), "[A-Za-z0-9_]{1,32}")
    if not driver or driver.lower() == "auto":
        return "", said
    if place.has(f"{DRIVERS}/{driver.lower()}_drv.so"):
        return driver.lower(), ()
    return "", (f"XSERVER: the image has no X driver {driver}, so X takes the one that it finds itself",)
