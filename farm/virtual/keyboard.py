"""Typing on a virtual machine: which keys of a US keyboard make a text, and pressing them one after the other."""

from __future__ import annotations

import string
import time
from collections.abc import Iterable

from farm.errors import FarmError
from farm.virtual.qmp import Qmp

HOLD_MILLISECONDS = 30
PAUSE_SECONDS = 0.12
"""From key to key: an emulated machine that is busy loses what comes faster than it looks."""

Chord = tuple[str, ...]
"""Keys that are down at the same time, by QEMU's names for them (QKeyCode in qapi/ui.json of QEMU)."""

_PLAIN = {
    "\n": "ret", "\t": "tab", " ": "spc", "-": "minus", "=": "equal", "[": "bracket_left", "]": "bracket_right",
    ";": "semicolon", "'": "apostrophe", "`": "grave_accent", "\\": "backslash", ",": "comma", ".": "dot", "/": "slash",
    **{each: each for each in string.ascii_lowercase + string.digits},
}  # fmt: skip
_WITH_SHIFT = dict(zip(')!@#$%^&*(_+{}:"~|<>?', "0123456789-=[];'`\\,./", strict=True)) | dict(
    zip(string.ascii_uppercase, string.ascii_lowercase, strict=True)
)


def chords(text: str) -> list[Chord]:
    """The keys that make a text; raises FarmError when a US keyboard has no key for a character."""
    return [_chord(character) for character in text]


def _chord(character: str) -> Chord:
    if character in _PLAIN:
        return (_PLAIN[character],)
    if character in _WITH_SHIFT:
        return ("shift", _PLAIN[_WITH_SHIFT[character]])
    raise FarmError(
        f"{character!r} cannot be typed.",
        "A virtual machine has a US keyboard, and that has no key for this character.",
        "Type something else, or name keys: farm node type --keys NODE ctrl-alt-f2",
    )


def named_chord(name: str) -> Chord:
    """Keys by their names, joined with hyphens: ``ctrl-alt-f2``."""
    return tuple(name.lower().split("-"))


def press(machine: Qmp, keys: Iterable[Chord]) -> None:
    """Press one chord after the other; raises FarmError, also when QEMU knows no key of a name."""
    for chord in keys:
        named = [{"type": "qcode", "data": key} for key in chord]
        machine.execute("send-key", keys=named, **{"hold-time": HOLD_MILLISECONDS})
        time.sleep(PAUSE_SECONDS)
