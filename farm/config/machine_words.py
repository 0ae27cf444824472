"""How several machines are written in one word: pc01..pc30, pc*, or the name of one. Pure functions."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

_RANGE = re.compile(r"([a-z0-9-]*?)([0-9]{1,4})\.\.([a-z0-9-]*?)([0-9]{1,4})")
_MORE = frozenset("*?")


def range_names(word: str) -> list[str]:
    """The names from the first to the last one: `pc08..pc10`, `pc08..10`. Empty for a word that is no such range.

    Zeros in front are as in the first name; the last one must follow from them, so that `pc1..pc010` is none.
    """
    found = _RANGE.fullmatch(word)
    if not found:
        return []
    prefix, first, again, last = found.groups()
    width = len(first)
    if again not in ("", prefix) or f"{int(last):0{width}}" != last:
        return []
    return [f"{prefix}{number:0{width}}" for number in range(int(first), int(last) + 1)]


def is_pattern(word: str) -> bool:
    """Whether a word means the names that match it: `pc*`, `pc?1`."""
    return not _MORE.isdisjoint(word)


def covers(word: str, mac: str, name: str) -> bool:
    """Whether a word means the machine with this MAC address and name."""
    if word in (mac, name):
        return True
    return fnmatchcase(name, word) if is_pattern(word) else name in range_names(word)
