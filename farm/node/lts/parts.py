"""What lts.conf consists of, whichever LTSP wrote its grammar."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase
from typing import NamedTuple

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_UPPER = str.maketrans(ascii_lowercase, ascii_uppercase)


class Assignment(NamedTuple):
    """A line that sets a variable."""

    key: str
    """The variable, in upper case."""
    written: str
    """The value without its outer quotation marks, as LTSP's reader prints it (farm.node.lts.meaning)."""
    section: str
    """Its name as it stands there; empty above the first."""
    file: str
    line: int


class LtsSection(NamedTuple):
    """A section, with what is set in it, in order."""

    name: str
    file: str
    line: int
    assignments: list[Assignment]


class LtsRemark(NamedTuple):
    """What is noticeable about a line."""

    file: str
    line: int
    text: str
    lost: bool = False
    """The line, or what it names, is not used."""


class LtsConf(NamedTuple):
    """A whole file, with those that it includes."""

    ltsp23: bool
    """It is LTSP 23's ltsp.conf, whose order of sections is another."""
    sections: list[LtsSection]
    remarks: list[LtsRemark]
    """In the order of reading."""

    @property
    def assignments(self) -> list[Assignment]:
        """All lines that set a variable, used or not."""
        return [each for section in self.sections for each in section.assignments]


def folded(text: str) -> str:
    """The text to compare by: LTSP takes no notice of the case of ASCII letters, and of those alone."""
    return text.translate(_LOWER)


def capitals(text: str) -> str:
    """The text with its ASCII letters in upper case."""
    return text.translate(_UPPER)
