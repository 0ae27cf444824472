"""What is set on a screen's X server once it is up: XRANDR_*, X_BLANKING, X_NUMLOCK, the keyboard of that screen alone.

lightdm runs this before its greeter, and the other screens before their program. What fails is said, and the screen
comes up all the same.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import subprocess
import sys

from farm.node.lts.precedence import KnownMachine
from farm.node.session.lts_screens import for_screen, has_own_values
from farm.node.session.lts_values import LtsValues, told_values
from farm.node.session.machine_setup import ThinMachine, checked
from farm.node.session.machine_setup.key_map import setxkbmap
from farm.node.session.machine_setup.xorg_monitor import MODE

SECONDS = 10.0
ROTATIONS = {"normal": "normal", "left": "left", "right": "right", "inverted": "inverted"} | {
    "0": "normal",
    "90": "left",
    "180": "inverted",
    "270": "right",
}
FLAGS = {"--off", "--auto", "--primary", "--preferred", "--left-of", "--right-of", "--above", "--below", "--same-as"}
FLAGS |= {"--mode", "--rate", "--rotate", "--pos", "--reflect", "--scale", "--output", "--dpi", "--size", "--fb"}
"""Words of xrandr that lts.conf may say: none of them names a file or another X server."""
MAX_BLANKING = 86400
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:x+-]{0,40}")
_SETTINGS = re.compile("XRANDR_(MODE|RATE|OUTPUT|ROTATE)_([0-9]{1,2})")
_CONNECTED = re.compile(r"^(\S+) connected", re.MULTILINE)
NUM_LOCK, CORE_KEYBOARD = 0xFF7F, 0x100
"""X's keysym, and the keyboard that XKB calls its own (X11/extensions/XKB.h)."""


def main(number: int) -> int:
    """Set up the X server of DISPLAY for the screen of this number."""
    lts = told_values()
    for argv in commands(lts, number, _outputs() if _uses_xrandr(for_screen(lts, number)) else []):
        try:
            done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
            why = done.stderr.strip()[-200:] if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        if why:
            sys.stderr.write(f"farm-node: lts.conf: {shlex.join(argv)}: {why}\n")
    if for_screen(lts, number).is_on("X_NUMLOCK"):
        switch_num_lock_on()
    return 0


def wanted(lts: LtsValues, number: int) -> bool:
    """Whether anything is set on this screen."""
    return bool(commands(lts, number, ["unknown"])) or for_screen(lts, number).is_on("X_NUMLOCK")


def commands(lts: LtsValues, number: int, outputs: list[str]) -> list[list[str]]:
    """The commands, in their order; ``outputs``: the connectors that have a monitor."""
    own = for_screen(lts, number)
    keyboard = setxkbmap(own, ThinMachine(own, KnownMachine(), os.path.exists))
    only_here = [keyboard] if has_own_values(lts, number, "XKB") else []
    return [each for each in (*only_here, *_blanking(own), *_xrandr(own, outputs)) if each]


def _blanking(lts: LtsValues) -> list[list[str]]:
    """0 seconds: never. A monitor is switched off when the screen has been black for a while."""
    seconds = lts.number("X_BLANKING", 0, MAX_BLANKING, -1)
    if seconds < 0:
        return []
    if not seconds:
        return [["xset", "s", "off"], ["xset", "-dpms"]]
    return [["xset", "s", str(seconds)], ["xset", "dpms", str(seconds), str(seconds * 2), str(seconds * 3)]]


def _uses_xrandr(lts: LtsValues) -> bool:
    return bool(_xrandr(lts, ["unknown"]))


def _xrandr(lts: LtsValues, outputs: list[str]) -> list[list[str]]:
    if lts.is_on("XRANDR_DISABLE"):
        return []
    numbers = sorted({int(found[2]) for key in lts.found if (found := _SETTINGS.fullmatch(key))})
    by_number = {name: lts.numbered(f"XRANDR_{name}_#") for name in ("OUTPUT", "MODE", "RATE", "ROTATE")}
    argvs = [
        _output({name: values.get(number, "") for name, values in by_number.items()}, outputs[place : place + 1])
        for place, number in enumerate(numbers)
    ]
    for value in lts.numbered("XRANDR_COMMAND_#").values():
        words = _words(value)
        argvs.append(["xrandr", *words[words[:1] == ["xrandr"] :]] if words else [])
    return argvs


def _output(said: dict[str, str], usual: list[str]) -> list[str]:
    """One command for an output: that of XRANDR_OUTPUT_n, or the nth that has a monitor."""
    words = _words(f"--output {said['OUTPUT']}") if said["OUTPUT"] else ["--output", *usual]
    if len(words) < 2:
        return []
    if MODE.fullmatch(said["MODE"]):
        words += ["--mode", said["MODE"]]
    if rate := checked("", said["RATE"], r"[0-9]{1,3}(\.[0-9]{1,3})?")[0]:
        words += ["--rate", rate]
    if rotation := ROTATIONS.get(said["ROTATE"].lower()):
        words += ["--rotate", rotation]
    return ["xrandr", *words] if len(words) > 2 else []


def _words(value: str) -> list[str]:
    """xrandr's words of a value; none at all if one of them is not for lts.conf."""
    words = value.split() if value.isprintable() else []
    fine = all(word in FLAGS or _WORD.fullmatch(word) for word in words)
    return words if fine else []


def _outputs() -> list[str]:
    try:
        listed = subprocess.run(
            ["xrandr"], capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return _CONNECTED.findall(listed)


def switch_num_lock_on() -> None:
    """By X's own library: there is no program for it in the image."""
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError as error:
        sys.stderr.write(f"farm-node: X_NUMLOCK: {error}\n")
        return
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = ctypes.c_void_p(x11.XOpenDisplay(None))
    if display:
        x11.XkbKeysymToModifiers.restype = ctypes.c_uint
        mask = x11.XkbKeysymToModifiers(display, NUM_LOCK)
        x11.XkbLockModifiers(display, CORE_KEYBOARD, mask, mask)
        x11.XCloseDisplay(display)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
