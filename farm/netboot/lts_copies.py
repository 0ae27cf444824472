"""Copies of lts.conf where LTSP's clients look for it, by TFTP and HTTP."""

from __future__ import annotations

from pathlib import Path

from farm.config.lts_file import LTS_FILE, lts_content
from farm.errors import FarmError
from farm.home import write_atomic

LTS_PATHS = (LTS_FILE, *(f"ltsp/{each}/{LTS_FILE}" for each in ("amd64", "x86_64", "i386", "i686")))
"""Below what is served; LTSP 5 asks for that of its architecture."""


def serve_lts(source: Path, served: Path) -> None:
    """Make the copies as the file is now; without one that can be read there are none.

    An lts.conf that is of no use never keeps the farm from coming up: `farm up`, `farm lts check` and `farm doctor`
    say what is wrong with it.
    """
    content = usable_lts(source)
    for path in LTS_PATHS:
        copy = served / path
        if content is None:
            copy.unlink(missing_ok=True)
        elif not copy.is_file() or copy.read_bytes() != content:
            write_atomic(copy, content)


def usable_lts(source: Path) -> bytes | None:
    """The file's content; None when there is none that can be read."""
    try:
        return lts_content(source)
    except FarmError:
        return None


def serves_lts(source: Path, served: Path) -> bool:
    """Whether the copies are as the file is now. Raises FarmError when it cannot be read."""
    content = lts_content(source)
    copies = [served / path for path in LTS_PATHS]
    return all((copy.read_bytes() if copy.is_file() else None) == content for copy in copies)
