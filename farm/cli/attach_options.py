"""The options of all commands that look at a farm or at any scheduler: which is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

Command = TypeVar("Command", bound=Callable[..., Any])


def attach_options(command: Command) -> Command:
    """Adds --scheduler and --netname: without them the farm of this machine is meant."""
    command = click.option("--netname", metavar="NAME", help="Name of any icecream network, found by broadcast.")(
        command
    )
    text = "Address of any icecream scheduler; needs no farm, configuration or root."
    return click.option("--scheduler", metavar="HOST[:PORT]", help=text)(command)
