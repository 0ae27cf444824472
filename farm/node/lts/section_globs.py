"""Patterns in the names of sections, as fnmatch(3) understands them with FNM_CASEFOLD in the C locale."""

from __future__ import annotations

import re

from farm.node.lts.parts import folded

_CLASSES = {
    "alpha": "a-z", "lower": "a-z", "digit": "0-9", "alnum": "a-z0-9", "xdigit": "0-9a-f",
    "punct": r"!-/:-@\[-`{-~", "graph": "!-~", "print": " -~", "space": r"\t-\r ", "blank": r"\t ",
    "cntrl": r"\0-\x1f\x7f",
}  # fmt: skip
"""Named classes; [:upper:] has none of the letters, which are compared in lower case."""
_BRACKETS = re.compile(r"\[([!^]?+)(\]?+(?:\[:[a-z]+:\]|\\.|[^\]\\])*+)\]", re.DOTALL)
_WILD = re.compile(r"[*?\[\\]")
_PART = re.compile(r"\[:([a-z]+):\]|\\?(.)(?:-\\?([^\]]))?", re.DOTALL)


def is_pattern(name: str) -> bool:
    """Whether a name can fit anything but itself."""
    return bool(_WILD.search(name))


def matches(pattern: str, name: str) -> bool:
    """Whether a machine's name, address or MAC fits the whole pattern."""
    if not is_pattern(pattern):
        return folded(pattern) == folded(name)
    return bool(compiled(pattern).fullmatch(folded(name)))


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, for `re.Pattern.fullmatch` with a `folded` name."""
    return re.compile(_translated(folded(pattern)), re.DOTALL)


def _translated(pattern: str) -> str:
    first, *others = _pieces(pattern)
    if not others:
        return first
    # As Python's fnmatch does it: the shortest match of what stands between two stars is never tried again.
    middle = "".join(f"(?>.*?{piece})" for piece in others[:-1])
    return f"{first}{middle}.*{others[-1]}"


def _pieces(pattern: str) -> list[str]:
    """What stands between the stars, translated."""
    pieces, at = [""], 0
    while at < len(pattern):
        letter = pattern[at]
        brackets = _BRACKETS.match(pattern, at) if letter == "[" else None
        if letter == "*":
            pieces.append("")
        elif brackets:
            pieces[-1] += _set(brackets[1], brackets[2])
        elif letter == "?":
            pieces[-1] += "."
        elif letter == "\\":
            at += 1
            pieces[-1] += re.escape(pattern[at]) if at < len(pattern) else r"(?!)"
        else:
            pieces[-1] += re.escape(letter)
        at = brackets.end() if brackets else at + 1
    return pieces


def _set(negated: str, inside: str) -> str:
    """A bracket expression as one of re; a range that runs backwards matches nothing."""
    found = []
    for part in _PART.finditer(inside):
        if part[1]:
            found.append(_CLASSES.get(part[1], ""))
        elif part[3] is None:
            found.append(re.escape(part[2]))
        elif part[2] <= part[3]:
            found.append(f"{re.escape(part[2])}-{re.escape(part[3])}")
    inner = "".join(found)
    if not inner:
        return "." if negated else r"(?!)"
    return f"[{'^' if negated else ''}{inner}]"
