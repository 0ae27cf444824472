"""The command line: one file per group of commands, which parse, call what the farm does, and print."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import rich_click as click

from farm.cli.lazy import LazyGroup
from farm.cli.output import NO_READER, err, show_error
from farm.errors import FarmError
from farm.errors.hints import at_home, speak_of
from farm.home import Home
from farm.printable import PrintableFormatter

COMMANDS = {
    "up": "farm.cli.up",
    "down": "farm.cli.up",
    "status": "farm.cli.status",
    "top": "tui.top",
    "join": "farm.cli.join",
    "leave": "farm.cli.join",
    "run": "farm.cli.run",
    "env": "farm.cli.env",
    "doctor": "farm.cli.doctor",
    "explain": "farm.cli.explain",
    "jobs": "farm.cli.jobs",
    "scheduler": "farm.cli.scheduler",
    "history": "farm.cli.history",
    "simulate": "farm.cli.simulate",
    "image": "farm.cli.image",
    "node": "farm.cli.node",
    "session": "farm.cli.session",
    "machine": "farm.cli.machines:machine",
    "logs": "farm.cli.logs",
    "backup": "farm.cli.backup_restore",
    "restore": "farm.cli.backup_restore",
    "disk": "farm.cli.disk",
    "service": "farm.cli.service",
    "alerts": "farm.cli.alerts",
    "init": "farm.cli.config",
    "config": "farm.cli.config",
    "lts": "farm.cli.lts",
}
"""Command → the module that holds it."""

_given: list[str] = []
"""The options that lead to the farm's home, for what is said when the command has ended."""


@click.group(cls=LazyGroup, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="FARM_HOME",
    help="Folder for all files of this farm, instead of /etc/farm, /var/lib/farm, /run/farm and /var/log/farm.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show every program that is run.")
@click.version_option(package_name="icecream-farm", prog_name="farm")
@click.pass_context
def cli(ctx: click.Context, home: Path | None, verbose: bool) -> None:
    """One server turns a room of PCs into a diskless compile cluster."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[handler])
    ctx.obj = Home.at(home)
    _given.extend(ctx.obj.options)
    speak_of(ctx.obj.options)
    ctx.call_on_close(lambda: speak_of(()))


def main() -> None:
    """Run the command line; a FarmError becomes a message and an exit code, Ctrl-C 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None: it was closed before we began
            stream.reconfigure(errors="replace")  # a locale may lack signs that we use, and names hold any bytes
    try:
        sys.exit(cli.main(standalone_mode=False))
    except FarmError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        told = "Interrupted. You can run the command again; if the farm is only partly up: sudo farm down"
        err.print(at_home(told, _given), soft_wrap=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(NO_READER)
    except OSError as error:
        logging.getLogger(__name__).debug("where it happened", exc_info=True)
        what = f"{error.filename or 'The system'}: {error.strerror or error}."
        show_error(FarmError(what, "The operating system refused access.", "For details: farm -v …"))
        sys.exit(1)
