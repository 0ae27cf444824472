"""`farm run`: a command whose compiler calls go to the farm."""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click
from msgspec.structs import replace
from rich.table import Table
from rich.text import Text

from farm.cli.output import err, show_error
from farm.cli.output_files import write_named
from farm.errors import FarmError
from farm.errors.hints import hint
from farm.home import Home
from farm.instance import Instance
from farm.printable import printable
from farm.view.wording import count, milliseconds, size
from farm.virtual import namespace
from farm.workstation.env.variables import (
    Slots,
    compile_environment,
    disabled,
    socket_variable,
    survey_patiently,
    uses_ccache,
)
from farm.workstation.explain import last_run
from farm.workstation.explain.last_run import LastRun, icecc_settings, job_ends, last_run_folder, legible, within_a_run
from farm.workstation.explain.reasons import machine
from farm.workstation.explain.reasons.record import GivenBack
from farm.workstation.join.restart import renew, restart_or_say
from farm.workstation.membership import Membership, find_for_build, home_folder
from farm.workstation.run.announcing import Announcer, command_line, usual_name
from farm.workstation.run.execution import Command, given_environment, leave, working_folder
from farm.workstation.run.live_line import LiveLine, marked, terminal
from farm.workstation.run.watched_run import Ran, acting_as, as_user, run_here, sudo_caller
from farm.workstation.run.watched_run import run as run_command

if TYPE_CHECKING:
    from farm.workstation.run.summary import SentEnvironment, Summary

SHOWN_REASONS = 6
MAX_REASON = 1000
"""Letters of a message; what is longer has lost its end, where the command stands that helps."""


@dataclass(frozen=True)
class RunOptions:
    """What the command line says besides the command."""

    require_remote: bool
    jobs: int | None
    json_file: Path | None
    trace_file: Path | None
    name: str | None
    live: bool


def build_name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """What a build is to be called. Raises click.BadParameter."""
    from farm.history.build_words import fit_name

    try:
        return None if value is None else fit_name(legible(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--require-remote", is_flag=True, help="Do not start CMD if no node can take a job.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Number of jobs at a time; sets FARM_JOBS and MAKEFLAGS."
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write a record of the jobs to.",
)
@click.option(
    "--trace", "trace_file", type=click.Path(path_type=Path, dir_okay=False),
    help="File to write a Chrome trace of the jobs to, for https://ui.perfetto.dev.",
)  # fmt: skip
@click.option(
    "--name", "--tag", "name", callback=build_name, metavar="NAME",
    help="Name of the build in the farm's history (default: FOLDER/COMMAND).",
)  # fmt: skip
@click.option("--live/--no-live", default=True, help="Show the jobs in a line at the bottom of the terminal.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@click.pass_obj
def run(home: Home, /, argv: tuple[str, ...], **given: object) -> None:
    """Run CMD and send its compiler calls to the farm; the exit code is that of CMD.

    CMD finds icecc in PATH (or behind ccache, if that is used), and a suitable number of jobs in FARM_JOBS:
    farm run -- sh -c 'make -j$FARM_JOBS'
    """
    options = RunOptions(**given)  # type: ignore[arg-type]  # click has seen to the types
    membership = find_for_build(home)
    lab = Instance.load(home) if membership.how == "server" else None
    if lab is not None:
        namespace.reenter(lab, home)
    # What is needed at the end is imported while the scheduler answers, which takes it 0.4 s (it corks its text).
    needed = threading.Thread(target=importlib.import_module, args=("farm.workstation.run.summary",), daemon=True)
    needed.start()
    own_wish = disabled(os.environ)
    if not own_wish:
        renew(membership, home, os.environ, working_folder(), _say)
    slots = Slots(obstacle=own_wish) if own_wish else survey_patiently(membership, _say)
    needed.join()  # a thread must not find itself with the rights of whoever called sudo
    if slots.obstacle:
        _say_local(slots, options.require_remote)
    user = sudo_caller(os.environ)
    variables = given_environment()
    base = as_user(variables, user) if user else variables
    environment = compile_environment(
        base,
        remote=not slots.obstacle,
        jobs=options.jobs or slots.parallel_jobs(len(os.sched_getaffinity(0))),
        ccache=uses_ccache(base),
        make=options.jobs is not None,
    )
    if not slots.obstacle:
        environment |= socket_variable(membership, environment)
    tty = terminal(os.environ) if options.live and not slots.obstacle else None
    if tty is not None:
        environment |= marked(tty)
    command = Command(argv, environment, user)
    returncode = _run(command, membership, slots, options, home, tty)
    if returncode and lab is not None:
        from farm.virtual.user_commands import lab_gone

        if why := lab_gone(home, lab):
            _say(why)
    leave(returncode)


def _run(
    command: Command, membership: Membership, slots: Slots, options: RunOptions, home: Home, tty: int | None
) -> int:
    """Run it and tell; what it ended with, or 1 when it went well but what was asked for cannot be written."""
    obstacle = slots.obstacle
    name = options.name or usual_name(command.argv, working_folder())
    tag = options.name or command_line(command.argv)
    part = within_a_run(command.environment)  # of the build of that run
    with _recorded(command, membership, obstacle, name) as (command, log, ended):
        if obstacle:
            ran = run_here(command)
        else:
            announcer = None if part else Announcer(membership, home, name, tag, os.environ, log)
            line = None if tty is None else LiveLine(tty)
            ran = run_command(
                command,
                membership,
                log=log,
                names=slots.names,
                from_start=options.trace_file is not None,
                line=line,
                announcer=announcer,
            )
        ended(ran, None)
        from farm.workstation.run.summary import BuildName, summarise, tell

        told = tell(None if obstacle else log, membership, icecc_settings(command.environment))
        if told.kept:
            ended(ran, told.kept)
    words = list(map(legible, command.argv))
    summary = summarise(ran, words, membership.farm, BuildName(name, tag), obstacle, told)
    _show(summary)
    if any(reason.code == machine.OUTDATED for reason in summary.reasons):
        restart_or_say("iceccd no longer packs a compiler.", membership, home, _say)
    wanted = []
    if options.json_file:
        wanted.append((options.json_file, msgspec.json.format(msgspec.json.encode(summary))))
    if options.trace_file:
        from farm.workstation.run.trace import trace

        content = trace(ran.jobs, membership.submitter, shlex.join(words), ran.started, ran.ended)
        wanted.append((options.trace_file, content))
    try:
        with acting_as(command.user):
            for path, content in wanted:
                write_named(path, content + b"\n")
    except FarmError as error:
        show_error(error)
        return ran.returncode or error.exit_code
    return ran.returncode


@contextlib.contextmanager
def _recorded(
    command: Command, membership: Membership, obstacle: str, name: str
) -> Iterator[tuple[Command, Path | None, Callable[[Ran, GivenBack | None], None]]]:
    """Keep a record for `farm explain --last`: the command told of icecc's log, that log, and what to call at the end.

    There is no log of ours where the user wants one elsewhere, or where it cannot be written.
    """
    environment = command.environment
    homeless = not environment.get("XDG_STATE_HOME") and not home_folder(environment).is_dir()
    if homeless or environment.get("ICECC_LOGFILE") or environment.get("ICECC_DEBUG"):
        yield command, None, lambda _, __: None
        return
    folder = last_run_folder(environment)
    record = LastRun(
        command=list(map(legible, command.argv)),
        directory=legible(working_folder()),
        start=time.time(),
        farm=membership.farm,
        obstacle=obstacle,
        settings=icecc_settings(environment),
        name=name,
    )
    try:
        with acting_as(command.user):
            record, log, lock = last_run.begin(folder, record)
    except OSError as error:
        _say(f"The reasons for local compilation cannot be recorded: {folder}: {error.strerror}.")
        yield command, None, lambda _, __: None
        return

    def end(ran: Ran, kept: GivenBack | None) -> None:
        with contextlib.suppress(OSError), acting_as(command.user):
            last_run.end(
                folder,
                replace(record, end=ran.ended, exit=ran.exit, nodes=ran.names, kept=kept, jobs=job_ends(ran.jobs)),
            )

    logging = {**environment, "ICECC_DEBUG": "debug", "ICECC_LOGFILE": str(log)}
    try:
        yield Command(command.argv, logging, command.user), log, end
    finally:
        os.close(lock)


def _say(text: str) -> None:
    err.print(Text.assemble(("farm: ", "bold"), printable(text, MAX_REASON)), soft_wrap=True)


def _say_local(slots: Slots, require_remote: bool) -> None:
    """Tell that nothing will be compiled remotely, or refuse to start."""
    if require_remote:
        mend = "Unset it: unset ICECC" if disabled(os.environ) else "Check: farm status"
        raise FarmError("No node can take a job, so the command was not started.", slots.obstacle, mend)
    _say(f"{slots.obstacle} Compiling on this machine alone.")


def _show(summary: Summary) -> None:
    """The summary, on standard error: standard output is the command's."""
    if summary.local is None:
        return
    total = sum(node.jobs for node in summary.nodes.values())
    where = f"{count(total, 'job')} on {count(len(summary.nodes), 'node')}, {summary.local} here"
    if summary.failed_over:
        where += f", {summary.failed_over} of them after a node had tried"
    err.print(Text.assemble(("farm: ", "bold"), f"{where}; {milliseconds(1000 * summary.seconds)}"))
    _show_nodes(summary)
    _show_reasons(summary)
    if summary.failed and summary.failed_over is None:
        err.print("  Jobs that failed on a node were compiled here again.")
    if summary.saved_seconds is not None:
        err.print(f"  {_saved(summary.saved_seconds)}, by estimate: see docs/compiling.md")
    if summary.environment.bytes:
        err.print(f"  {sent_words(summary.environment)}", soft_wrap=True)
    if not summary.complete:
        err.print("  The connection to the scheduler was interrupted: there may have been more jobs.")
    elif not total and not summary.local:
        why = "does the build name its compiler by a full path, or by a name such as gcc-12?"
        err.print(f"  No compiler call reached icecc: {why} See docs/compiling.md", soft_wrap=True)


def _show_nodes(summary: Summary) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, node in summary.nodes.items():
        failed = Text(f"{node.failed} failed", style="red") if node.failed else Text()
        mean = f"mean {node.mean_ms:.0f} ms" if node.mean_ms else ""
        table.add_row(Text(f"  {printable(name)}"), count(node.jobs, "job"), mean, failed)
    if summary.nodes:
        err.print(table)


def _show_reasons(summary: Summary) -> None:
    for reason in summary.reasons[:SHOWN_REASONS]:
        err.print(Text(f"  {reason.count} × {reason.code}: {reason.sentence}"), soft_wrap=True)
    if len(summary.reasons) > SHOWN_REASONS:
        err.print(f"  and {count(len(summary.reasons) - SHOWN_REASONS, 'more reason')}")
    if any(reason.mend for reason in summary.reasons):
        err.print(hint("  For what to do: farm explain --last"))


def sent_words(sent: SentEnvironment) -> str:
    """Why a first build is slow, where that is so."""
    where = "to the node" if sent.nodes == 1 else f"to each of {sent.nodes} nodes"
    each = size(sent.bytes / sent.nodes)
    packed = f"packed ({milliseconds(sent.packed_ms)}) and " if sent.packed_ms else ""
    told = f"The compiler was {packed}sent {where} ({each}, {milliseconds(sent.ms)})"
    return f"{told}, once: the next build will be quicker."


def _saved(seconds: float) -> str:
    time = milliseconds(1000 * abs(seconds))
    return f"{time} saved" if seconds > 0 else f"Nothing saved ({time} lost)"
