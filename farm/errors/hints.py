"""Commands that messages name: `sudo farm down` in a farm of another home is `sudo farm --home DIR down`.

Typed as it stands, a hint must mean the farm it speaks of. So the process says once whose farm that is, and every
message is completed where it is made.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

FARM_COMMANDS = (
    *("up", "down", "status", "top", "run", "env", "doctor", "explain", "jobs", "scheduler"),
    *("history", "image", "node", "session", "machine", "logs", "init", "config", "lts"),
    *("backup", "restore", "disk", "service", "alerts"),
)
"""The commands of the command line (farm/cli) that are about the farm of a home."""
HOMELESS = ("join", "leave", "simulate")
"""The others: what they are about is this machine, whose farm runs elsewhere, or no farm."""

LOOKS = (
    *("status", "top", "jobs", "scheduler"),
    *("node list", "node show", "node block", "node unblock", "node kick"),
)
"""Those that do with any scheduler (--scheduler, --netname) what they do with the farm's."""

_BEFORE = (
    r"(?<![\w/.\"'-])"
    r"(?<!\bthe )(?<!\bThe )(?<!\ba )(?<!\bthis )(?<!\bthat )(?<!\bwhole )"  # prose: bring the farm up
    r"(?<!\bserver: )(?<!\bserver: sudo )"  # another machine's farm
)
_COMMAND = re.compile(
    rf"{_BEFORE}farm(?= (?:-v )?(?:{'|'.join(FARM_COMMANDS)})\b)"
    r"(?! [\w ]+ --(?:scheduler|netname)\b)"  # any scheduler, whoever's
)
_LOOK = re.compile(rf"{_BEFORE}farm (?:-v )?(?:{'|'.join(LOOKS)})\b(?![\w ]* --(?:scheduler|netname)\b)")
_options: tuple[str, ...] = ()
_scheduler: tuple[str, ...] = ()


def speak_of(options: Sequence[str]) -> None:
    """All hints of this process are about the farm that these options of ``farm`` lead to (Home.options)."""
    global _options, _scheduler
    _options, _scheduler = tuple(options), ()


def speak_of_scheduler(options: Sequence[str]) -> None:
    """Hints about nodes and jobs are about the scheduler that these options (--scheduler, --netname) lead to."""
    global _scheduler
    _scheduler = tuple(options)


def hint(text: str) -> str:
    """A text in which every farm command leads to the farm or scheduler that this process speaks of."""
    return at_home(at_scheduler(text, _scheduler), _options)


def at_scheduler(text: str, options: Sequence[str]) -> str:
    """A text in which every command that can look at any scheduler has these options."""
    return _LOOK.sub(lambda look: f"{look[0]} {shlex.join(options)}", text) if options else text


def at_home(text: str, options: Sequence[str]) -> str:
    """The same for given options; a command that has some already is left as it is."""
    if not options:
        return text
    farm = shlex.join(["farm", *options])
    return _COMMAND.sub(lambda _: farm, text)
