"""Words and figures for people: durations, sizes, exit codes, languages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # farm run, which has other things to do, needs none of that
    from farm.watch.activity import Job

LANGUAGES = ("C", "C++", "Objective-C", "Objective-C++", "custom")
CLIENT_GONE, NODE_UNUSABLE, NODE_LOST = 107, 118, 255
"""Exit codes that are icecream's own. The scheduler gives the last to every job of a daemon whose connection ends,
also when it ends it itself; a compile that has begun there goes on all the same, unless the machine is off."""
EXITS = {
    CLIENT_GONE: "client gone (107)",
    NODE_UNUSABLE: "node unusable (118)",
    NODE_LOST: "node dropped (255)",
}
NAMED = 4
"""So many of several nodes are named; the others are counted."""


def few(names: Sequence[str], named: int = NAMED) -> str:
    """The first of them, and how many more there are."""
    said = ", ".join(names[:named])
    return f"{said} and {len(names) - named} more" if len(names) > named else said


def count(number: int, one: str, many: str = "") -> str:
    """``1 node``, ``3 nodes``, ``2,000 nodes``; ``many`` where it is not ``one`` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def language(job: Job) -> str:
    """The name of a job's language; empty when not known."""
    return LANGUAGES[job.language] if 0 <= job.language < len(LANGUAGES) else ""


def exit_words(code: int) -> str:
    """An exit code as the scheduler reports it: of the compiler, or icecream's own."""
    return EXITS.get(code, f"exit {code}" if code else "ok")


def duration(seconds: float) -> str:
    """A time span in its largest two units: 12s, 3m05s, 2h10m, 4d03h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def clock_words(moment: float, now: float) -> str:
    """A Unix time as the time of day here, with the date where that is another day's: 09:12, 2026-01-31 09:12."""
    then = datetime.fromtimestamp(moment)
    return f"{then:%H:%M}" if then.date() == datetime.fromtimestamp(now).date() else f"{then:%Y-%m-%d %H:%M}"


def size(number: float) -> str:
    """Bytes for people: 512 B, 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def rate(number: float) -> str:
    """Things a second: 0.3, 12.5, 410."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}"


def milliseconds(number: float) -> str:
    """A job's time: 85 ms, 1.2 s, 2m05s."""
    if number < 1000:
        return f"{number:.0f} ms"
    return f"{number / 1000:.1f} s" if number < 60_000 else duration(number / 1000)
