"""`farm logs`: print what the farm's services have logged, or go on printing it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import rich_click as click

from farm import command
from farm.cli.output import end_with_reader, out
from farm.errors import FarmError, UsageError
from farm.home import Home
from farm.instance import Instance
from farm.printable import printable, without_sequences
from farm.workstation.join.iceccd import SYSTEM_LOG, user_daemon
from farm.workstation.membership import joined


@click.command()
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Print new lines as the log grows.")
@click.option(
    "-n", "--lines", type=click.IntRange(1), default=50, show_default=True, help="Number of lines from the end."
)
@click.pass_obj
def logs(home: Home, service: str | None, follow: bool, lines: int) -> None:
    """Show the log of SERVICE, or list all logs: of a farm's services on its server, of iceccd elsewhere."""
    here = home.directory is not None or Instance.path(home).exists()
    known = _of_services(home) if here else {**_of_services(home), **_of_iceccd()}
    if service is None:
        for name, path in known.items():
            out.print(f"{name:<24} {path.stat().st_size / 1e3:8.1f} kB  {path}", markup=False)
        if not known:
            out.print(f"There are no logs in {home.logs}: the farm has not been up yet.", markup=False, soft_wrap=True)
        return
    if service not in known:
        if not here and (member := joined()):
            raise FarmError(
                f"There is no log of {printable(service)} on this machine.",
                f"Services of farm {printable(member.farm)} run on its server {member.scheduler}; this machine runs "
                "iceccd alone.",
                f"On the server: farm logs {printable(service)}. Here: farm logs iceccd",
            )
        raise UsageError(
            f"There is no log {service}.", f"There are: {', '.join(known) or 'none'}.", "List the logs: farm logs"
        )
    try:
        known[service].open("rb").close()
    except OSError as error:
        raise FarmError(
            f"The log of {service} cannot be read.", f"{known[service]}: {error.strerror}.", "Try again with sudo."
        ) from error
    argv = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(known[service])]
    end_with_reader()
    with contextlib.suppress(KeyboardInterrupt):
        for line in command.output(argv):
            out.file.write(_shown(line))
            out.file.flush()


def _of_services(home: Home) -> dict[str, Path]:
    return {path.name.removesuffix(".log"): path for path in sorted(home.logs.glob("*.log")) if path.is_file()}


def _of_iceccd() -> dict[str, Path]:
    """The log of the iceccd that icecc uses here: the user's own, or that of the distribution's service."""
    member = joined()
    path = user_daemon().log if member and member.how == "user" else SYSTEM_LOG
    return {"iceccd": path} if path.is_file() else {}


def _shown(line: bytes) -> str:
    """A line, or a piece of a very long one: a log holds what nodes and strangers say."""
    text = without_sequences(line.decode(errors="replace").rstrip("\r\n")).expandtabs()
    return printable(text, max(1, len(text))) + "\n" * line.endswith(b"\n")
