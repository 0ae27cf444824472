"""Untrusted text made safe to print: one line, bounded, without control characters."""

from __future__ import annotations

import logging
import re
from types import TracebackType

INERT = "\N{REPLACEMENT CHARACTER}"
"""Stands for each control, bidirectional, zero-width or otherwise unprintable character."""


def printable(text: str, limit: int = 128, inert: str = INERT) -> str:
    """The text in at most ``limit`` characters (the last is ``…`` when it was cut), with ``inert`` for the bad ones.

    Good is what `str.isprintable` says: no line breaks, no escapes (C0 and C1), no lone surrogates.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isprintable() else "".join(letter if letter.isprintable() else inert for letter in text)


_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
"""A colour, a movement of the cursor, a title: ECMA-48's control sequences and xterm's OSC."""


def without_sequences(text: str) -> str:
    """A text that was written for a terminal, without colours and the like; `printable` sees to what is left."""
    return _SEQUENCE.sub("", text)


def printable_lines(text: str) -> str:
    """Several lines, each `printable` and as long as it was."""
    return "\n".join(printable(line, max(1, len(line))) for line in text.split("\n"))


class PrintableFormatter(logging.Formatter):
    """A log that nobody can forge: a message is one line, a traceback's lines are indented, all of them `printable`."""

    MAX_MESSAGE = 2000

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's first line, without control characters and no longer than MAX_MESSAGE."""
        return printable(super().formatMessage(record), self.MAX_MESSAGE)

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """The lines that follow it."""
        return "\n".join(f"  {line}" for line in printable_lines(super().formatException(ei)).split("\n"))
