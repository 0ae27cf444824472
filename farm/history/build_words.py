"""Words of a command line that name builds: a number, `last`, `last-1`…, or what `farm run` called one."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence

from farm.errors import FarmError
from farm.history.build_records import Build
from farm.history.runs import MAX_NAME
from farm.printable import printable

NUMBER = re.compile(r"[0-9]+")
LAST = re.compile(r"last(?:-([0-9]{1,3}))?")
MAX_ID = 10**9
SHOWN_NAMES = 5
LIST = "List them: farm history"


def is_number(word: str) -> bool:
    """Whether it is a build's number, for which no list of builds is needed."""
    return NUMBER.fullmatch(word) is not None


def fit_name(text: str) -> str:
    """A name that a build may have, as the history will have it. Raises ValueError with a sentence."""
    name = printable(text, MAX_NAME, inert=" ").strip()
    if not name:
        raise ValueError("the name of a build is not empty.")
    if is_number(name) or LAST.fullmatch(name):
        raise ValueError(f"{name} would be taken for the number of a build; add a letter.")
    return name


def find_builds(words: Sequence[str], newest: Sequence[Build]) -> list[int]:
    """The number of each build that is named; ``newest``: builds, newest first. Raises FarmError.

    A name is that of its latest build; of a name that comes twice, the first is the one before.
    """
    left = Counter(words)
    found = []
    for word in words:
        left[word] -= 1
        found.append(_find(word, left[word], newest))
    return found


def _find(word: str, back: int, newest: Sequence[Build]) -> int:
    if is_number(word):
        if int(word) < MAX_ID:
            return int(word)
        raise FarmError(f"There is no build {word}.", "The number is too large.", LIST)
    if not newest:
        raise FarmError("There is no build yet.", "", "Start one: farm run -- make")
    if last := LAST.fullmatch(word):
        place = int(last[1] or 0)
        if place < len(newest):
            return newest[place].id
        raise FarmError("There is no such build.", f"The history has {len(newest)}.", LIST)
    named = [build.id for build in newest if build.name == word]
    if back < len(named):
        return named[back]
    if named:
        why = f"The history has {len(named)} of this name, and {back + 1} are to be compared."
        raise FarmError(
            f"There is only one build named {word}.", why, f"Build it again: farm run --name {word} -- make"
        )
    raise FarmError(f"There is no build named {printable(word, MAX_NAME)}.", _known(word, newest), LIST)


def _known(word: str, newest: Sequence[Build]) -> str:
    names = list(dict.fromkeys(build.name for build in newest if build.name))
    if not names:
        return "None of the builds has a name: those of farm run get one."
    near = difflib.get_close_matches(word, names, SHOWN_NAMES) or [name for name in names if word in name]
    return f"Names of builds are {', '.join((near or names)[:SHOWN_NAMES])}."
