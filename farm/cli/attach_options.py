"""The options of all commands that look at a farm or at any scheduler: which is meant, and how that is found out."""

from __future__ import annotations

import functools
import sys
import termios
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from msgspec import Struct
from rich.table import Table
from rich.text import Text

from farm.cli.output import err
from farm.home import Home
from farm.printable import printable
from farm.workstation.choice import AttachTarget, choose, choose_for_orders

if TYPE_CHECKING:
    from farm.workstation.join.candidates import Candidate

Command = TypeVar("Command", bound=Callable[..., Any])


class Sought(Struct, frozen=True):
    """What the options say of the farm or scheduler that a command is about."""

    scheduler: str | None = None
    netname: str | None = None
    quiet: bool = False

    def choice(self, home: Home) -> AttachTarget:
        """Find it, and say on standard error which was taken where the user has not named it. Raises FarmError."""
        found = choose(home, self.scheduler, self.netname, _ask if can_ask() else None)
        if found.sentence and not self.quiet:
            err.print(Text(found.sentence, style="dim"), soft_wrap=True)
        return found

    def choice_for_orders(self, home: Home) -> AttachTarget:
        """What orders about nodes go to. Raises FarmError."""
        return choose_for_orders(home, self.scheduler, self.netname)


def attach_options(command: Command) -> Command:
    """Adds --scheduler, --netname and --quiet, which the command gets together as ``sought``; --json is quiet too."""

    @functools.wraps(command)
    def gathered(*args: Any, scheduler: str | None, netname: str | None, quiet: bool, **given: Any) -> Any:
        sought = Sought(scheduler, netname, quiet or bool(given.get("as_json")))
        return command(*args, sought=sought, **given)

    quiet = "Do not say which farm or scheduler was found."
    netname = "Name of any icecream network, found by broadcast."
    scheduler = "Address of any icecream scheduler; needs no farm, configuration or root."
    gathered = click.option("-q", "--quiet", is_flag=True, help=quiet)(gathered)
    gathered = click.option("--netname", metavar="NAME", help=netname)(gathered)
    return click.option("--scheduler", metavar="HOST[:PORT]", help=scheduler)(gathered)  # type: ignore[return-value]


def can_ask() -> bool:
    """Whether somebody sits at a terminal who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and err.is_terminal


def ask_which(candidates: Sequence[Candidate], question: str) -> Candidate:
    """The one that is chosen at the terminal."""
    err.print(candidates_table(candidates))
    termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before the table could be read chooses nothing
    number: int = click.prompt(question, type=click.IntRange(1, len(candidates)), err=True)
    return candidates[number - 1]


def _ask(candidates: Sequence[Candidate]) -> Candidate:
    return ask_which(candidates, "Look at number")


def candidates_table(candidates: Sequence[Candidate]) -> Table:
    """Farms and schedulers, with the numbers by which one is chosen."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "FARM", "NETNAME", "SCHEDULER", "FOUND BY", ""):
        table.add_column(heading, no_wrap=True)
    for number, one in enumerate(candidates, 1):
        silent = "" if one.protocol else "its scheduler does not answer from here"
        table.add_row(
            str(number),
            Text(printable(one.farm) or "—", style="bold"),
            Text(printable(one.netname)),
            Text(f"{one.scheduler}:{one.port}"),
            ", ".join(one.found),
            silent,
        )
    return table
