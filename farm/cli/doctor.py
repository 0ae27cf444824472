"""`farm doctor`: what is wrong with this machine's part in the farm, and what mends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import rich_click as click
from rich.text import Text

from farm.cli.output import err, out, show_json
from farm.doctor.check import ChosenChecks, Report, Result, State
from farm.doctor.examine import examinations, examine
from farm.doctor.place import Place, here
from farm.home import Home
from farm.instance import Instance
from farm.virtual import namespace
from farm.workstation.run.execution import working_folder

STATE_MARKS = {
    State.OK: Text("✓", style="green"),
    State.WARN: Text("!", style="yellow"),
    State.FAIL: Text("✗", style="bold red"),
    State.SKIPPED: Text("–", style="dim"),
}


@click.command()
@click.option("--fix", is_flag=True, help="Apply the safe fixes, and report them.")
@click.option("--deep", is_flag=True, help="Also run checks that take long or load the farm.")
@click.option("--only", metavar="CODE,...", default="", help="Run only these checks, and those they depend on.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_obj
def doctor(home: Home, fix: bool, deep: bool, only: str, as_json: bool) -> None:
    """Examine this machine, be it a server, a developer's machine or a node.

    Exits with 3 if a check fails. docs/troubleshooting.md lists all codes.
    """
    place = here(home)
    if place.place is Place.SERVER:
        namespace.reenter(Instance.load(home), home)
    codes = frozenset(code.strip() for code in only.split(",") if code.strip())
    wanted = examinations(place, home, os.environ, Path(working_folder()), ChosenChecks(codes, deep, fix))
    if as_json:
        report = examine(place, wanted, lambda check: None, lambda result: None)
        show_json(msgspec.to_builtins(report))
    else:
        err.print(Text(place.about, style="dim"), soft_wrap=True)
        with err.status("") as status:
            report = examine(
                place, wanted, lambda check: status.update(Text(f"{check.title}?")), lambda result: show(result)
            )
        conclude(report)
    sys.exit(0 if report.ok else 3)


def show(result: Result) -> None:
    """One result, as soon as it is there."""
    head = Text.assemble(STATE_MARKS[result.state], " ", (f"{result.code:<18}", "bold"), " ", result.title)
    out.print(head, soft_wrap=True)
    faulty = result.state in (State.WARN, State.FAIL)
    if result.cause:
        out.print(Text(f"    {result.cause}", style="red" if result.state is State.FAIL else "yellow"), soft_wrap=True)
    _lines(result.evidence, "dim")
    if faulty:
        _lines([result.why], "dim italic")
    if result.mend:
        out.print(Text.assemble(("    → ", "bold green"), result.mend), soft_wrap=True)
    if result.fixed:
        out.print(Text.assemble(("    done: ", "bold green"), result.fixed), soft_wrap=True)


def _lines(lines: Iterable[str], style: str) -> None:
    for line in lines:
        out.print(Text(f"    {line}", style=style), soft_wrap=True)


def conclude(report: Report) -> None:
    """The number of results of each kind."""
    counts = {state: sum(result.state is state for result in report.results) for state in State}
    warnings = "warning" if counts[State.WARN] == 1 else "warnings"
    words = {State.OK: "OK", State.WARN: warnings, State.FAIL: "failed", State.SKIPPED: "skipped"}
    told = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    out.print(Text(f"{told}.", style="green" if report.ok else "bold red"), soft_wrap=True)
