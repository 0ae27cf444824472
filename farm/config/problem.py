"""What may be wrong with a farm.yaml, as it is told."""

from __future__ import annotations

from dataclasses import dataclass

from farm.config import Place


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: ``text`` follows the key's name and a colon, ``why`` explains, ``fix`` is what to do.

    ``related``: the key it collides with, which is where to look when ``place`` holds a default.
    """

    place: Place
    text: str
    why: str = ""
    fix: str = ""
    related: Place = ()


def dotted(place: Place) -> str:
    """A place as people write it: machines[2].mac."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
