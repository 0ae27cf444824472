"""What a reason is, and how icecc's words are told apart; what is known of a farm that gave a job back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

from msgspec import Struct


class Reason(Struct, frozen=True):
    """One cause. ``code`` never changes; ``mend`` is empty where nothing is wrong (a link is local by nature)."""

    code: str
    sentence: str
    mend: str = ""
    says: tuple[str, ...] = ()
    """Regular expressions; one matches the whole of a line that icecc 1.4 logs for this cause. None where icecc is
    silent and the cause is found otherwise."""
    tries: tuple[str, ...] = ()
    """Settings (NAME=VALUE) that help some calls with this reason and break others, so that `farm explain` tries them
    on a call before it names them."""


class NodeWhy(Struct, frozen=True):
    """Why a node could not have taken a job."""

    name: str
    address: str
    code: str
    why: str
    mend: str = ""


class GivenBack(Struct, frozen=True):
    """Why the farm gave a job back: the code of a reason, a sentence about this case, and what keeps each node."""

    code: str
    why: str = ""
    nodes: tuple[NodeWhy, ...] = ()


class Recogniser:
    """Finds the reason of a line; the first that matches is meant."""

    def __init__(self, reasons: Iterable[Reason]) -> None:
        self._reasons = tuple(reasons)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        """One expression, since most lines tell no reason and a build logs hundreds of thousands."""
        parts = (f"(?P<r{n}>{'|'.join(each.says)})" for n, each in enumerate(self._reasons) if each.says)
        return re.compile("|".join(parts), re.DOTALL)

    def find(self, text: str) -> Reason | None:
        """The reason that a line gives, without its prefix."""
        match = self._compiled.fullmatch(text)
        if match is None:
            return None
        assert match.lastgroup
        return self._reasons[int(match.lastgroup[1:])]
