"""`farm run`: a command whose compiler calls go to the farm."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import rich_click as click
from rich.table import Table
from rich.text import Text

from farm.cli.output import clean, err
from farm.errors import FarmError
from farm.home import Home, write_atomic
from farm.running import Running
from farm.virtual import namespace
from farm.workstation.environment import Slots, compile_environment, survey_patiently, uses_ccache
from farm.workstation.membership import of_server
from farm.workstation.run import Summary, as_user, sudo_caller
from farm.workstation.run import run as run_command


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--require-remote", is_flag=True, help="Do not start when no node can take a job.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Jobs at a time; sets MAKEFLAGS besides FARM_JOBS.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="File to write where the jobs ran to."
)
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@click.pass_obj
def run(home: Home, require_remote: bool, jobs: int | None, json_file: Path | None, argv: tuple[str, ...]) -> None:
    """Run CMD with its compiler calls going to the farm; its exit code is passed on.

    CMD finds icecc in PATH (or behind ccache, where that is used) and a fitting number of jobs in FARM_JOBS:
    farm run -- sh -c 'make -j$FARM_JOBS'
    """
    running = Running.load(home)
    namespace.reenter(running, home)
    slots = survey_patiently(
        of_server(running), lambda text: err.print(Text.assemble(("farm: ", "bold"), clean(text, 200)))
    )
    if slots.obstacle:
        _say_local(slots, require_remote)
    user = sudo_caller(os.environ)
    base = as_user(os.environ, user) if user else dict(os.environ)
    environment = compile_environment(
        base,
        remote=not slots.obstacle,
        jobs=jobs or slots.parallel_jobs(os.cpu_count() or 1),
        ccache=uses_ccache(base),
        make=jobs is not None,
    )
    summary = run_command(argv, running.config, environment, remote=not slots.obstacle, user=user)
    _show(summary)
    if json_file:
        write_atomic(json_file, msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
        if user:
            os.chown(json_file, user.pw_uid, user.pw_gid)
    sys.exit(summary.exit)


def _say(text: str) -> None:
    err.print(Text.assemble(("farm: ", "bold"), clean(text, 200)))


def _say_local(slots: Slots, require_remote: bool) -> None:
    """Tell that nothing will be compiled remotely, or refuse to start."""
    if require_remote:
        raise FarmError("No node can take a job, so the command was not started.", slots.obstacle, "Look: farm status")
    _say(f"{slots.obstacle} Compiling on this machine alone.")


def _show(summary: Summary) -> None:
    """The summary, on standard error: standard output is the command's."""
    if summary.local is None:
        return
    total = sum(node.jobs for node in summary.nodes.values())
    where = f"{_count(total, 'job')} on {_count(len(summary.nodes), 'node')}, {summary.local} here"
    err.print(Text.assemble(("farm: ", "bold"), where))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, node in summary.nodes.items():
        failed = Text(f"{node.failed} failed", style="red") if node.failed else Text()
        table.add_row(Text(f"  {clean(name)}"), _count(node.jobs, "job"), f"mean {node.mean_ms:.0f} ms", failed)
    if summary.nodes:
        err.print(table)
    if summary.failed:
        err.print("  What failed on a node was compiled here again.")
    if not summary.complete:
        err.print("  The scheduler could not be watched all the time: there may have been more.")
    elif not total and not summary.local:
        err.print("  No compiler call came by: does the build name its compiler by a full path? See docs/compiling.md")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
