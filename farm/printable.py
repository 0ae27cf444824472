"""Text from strangers, made fit to show: on one line, bounded, and nothing in it that a terminal obeys."""

from __future__ import annotations

INERT = "\N{REPLACEMENT CHARACTER}"
"""Stands for each control, bidirectional, zero-width or otherwise unprintable character."""


def printable(text: str, limit: int = 128, inert: str = INERT) -> str:
    """The text in at most ``limit`` characters (the last is ``…`` when it was cut), with ``inert`` for the bad ones.

    Good is what `str.isprintable` says: no line breaks, no escapes (C0 and C1), no lone surrogates.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isprintable() else "".join(letter if letter.isprintable() else inert for letter in text)
