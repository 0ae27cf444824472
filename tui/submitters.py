"""By which letter and colour a submitter is known, the same in every view for as long as the dashboard runs."""

from __future__ import annotations

import string
from collections.abc import Iterable
from typing import NamedTuple
from weakref import WeakKeyDictionary

from farm.view.live import Live
from farm.watch.activity import NOBODY, HostKey
from tui.state_words import natural
from tui.widgets.lines import HUES, Tone

LETTERS = string.ascii_uppercase + string.digits + string.ascii_lowercase
OTHERS = "+"
"""Stands for all submitters beyond the last letter."""


class Sign(NamedTuple):
    """A letter or digit, which no other submitter has, and a colour, which is shared only when there are many."""

    letter: str
    tone: Tone


UNKNOWN = Sign("·", "muted")
"""Of jobs whose submitter is not known."""
_given: WeakKeyDictionary[Live, dict[HostKey, Sign]] = WeakKeyDictionary()


def sign(live: Live, submitter: HostKey) -> Sign:
    """The sign of a submitter; those known at the same time get theirs in the order of their names."""
    if submitter == NOBODY:
        return UNKNOWN
    given = _given.setdefault(live, {})
    if submitter not in given:
        if len(given) < len(LETTERS):
            known = {login.key for node in live.nodes.values() for login in node.logins if login.jobs_submitted}
            give(given, {*known, submitter})
        return given.get(submitter, Sign(OTHERS, "muted"))
    return given[submitter]


def give(given: dict[HostKey, Sign], submitters: Iterable[HostKey]) -> None:
    """Add the signs of those that have none: the first letter of the name, its last digit, or else a free letter."""
    free = dict.fromkeys(LETTERS)
    for each in given.values():
        free.pop(each.letter, None)
    for key in sorted({*submitters} - given.keys(), key=lambda key: (natural(key[0]), key)):
        first, last = key[0][:1], key[0][-1:]
        wanted = [first.upper(), *last[: last.isdecimal()], first.lower(), *free]
        letter = next((each for each in wanted if each in free), None)
        if letter is None:
            return
        del free[letter]
        given[key] = Sign(letter, HUES[len(given) % len(HUES)])
