"""Text from strangers, made safe to draw: no control characters, an exact number of cells."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal

from rich.cells import cell_len, set_cell_size

Align = Literal["left", "right"]

INERT_DOT = "·"
"""Stands for what a terminal might obey: control, bidirectional and zero-width characters."""
MAX_COMBINING = 2
"""So many combining marks one character may carry; more only paint over the lines above."""


def clean(text: str) -> str:
    """The text with every character that is not printable replaced by ``·``, and bounded combining marks."""
    if text.isascii():
        return text if text.isprintable() else "".join(c if c.isprintable() else INERT_DOT for c in text)
    kept: list[str] = []
    marks = 0
    for character in text:
        if unicodedata.category(character) in ("Mn", "Me"):
            marks += 1
            # A variation selector changes how wide the character before it is, and terminals disagree by how much.
            if marks <= MAX_COMBINING and not "\ufe00" <= character <= "\ufe0f":
                kept.append(character)
        else:
            marks = 0
            kept.append(character if character.isprintable() else INERT_DOT)
    return "".join(kept)


@lru_cache(maxsize=16384)
def fit(text: str, width: int, align: Align = "left") -> str:
    """The text cleaned and exactly ``width`` cells wide: padded, or cut with ``…`` as its last cell."""
    if width <= 0:
        return ""
    # No more than this can be seen: a cell needs a character, and each carries few marks.
    text = clean(text[: (width + 1) * (MAX_COMBINING + 1)])
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    space = " " * (width - length)
    return text + space if align == "left" else space + text


@lru_cache(maxsize=16384)
def fit_path(path: str, width: int, align: Align = "left") -> str:
    """The same for the path of a file, which is cut before its name: ``…/net/socket.cpp``, at a folder where it can."""
    if width <= 0:
        return ""
    tail = path[-(width + 1) * (MAX_COMBINING + 1) :]  # no more than this can be seen
    whole, path = len(tail) == len(path), clean(tail)
    if whole and cell_len(path) <= width:
        return fit(path, width, align)
    cut = next(i for i in range(len(path) + 1) if cell_len(path[i:]) < width)
    folder = path.find("/", cut, -1)
    return fit("…" + path[cut if folder < 0 else folder :], width, align)
