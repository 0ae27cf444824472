"""The options of all commands that look at a farm or at any scheduler: which is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

Command = TypeVar("Command", bound=Callable[..., Any])


def attach_options(command: Command) -> Command:
    """Adds --scheduler and --netname: without them the farm of this machine is meant."""
    command = click.option("--netname", metavar="NAME", help="Any icecream network, found by its name.")(command)
    text = "Any icecream scheduler: no farm, configuration or root is needed."
    return click.option("--scheduler", metavar="HOST[:PORT]", help=text)(command)
