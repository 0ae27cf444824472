"""`farm explain`: where a compiler call ran, and why not on a node."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
import rich_click as click
from rich.console import Console
from rich.text import Text

from farm import command
from farm.cli.explain_file import explain_one_file
from farm.cli.explained_views import LONGEST_SHOWN, OUTCOMES, call_json, reason_json, show_call, show_causes
from farm.cli.output import err, out, show_json
from farm.errors import FarmError, UsageError
from farm.home import Home
from farm.instance import Instance
from farm.printable import printable
from farm.view.wording import count, duration
from farm.virtual import namespace
from farm.workstation import membership
from farm.workstation.explain import explained_calls as core
from farm.workstation.explain.icecc_log import Call, CallOutcome, LoggedCause
from farm.workstation.explain.last_run import LastRun
from farm.workstation.explain.one_call import Trial, explain_call
from farm.workstation.explain.reasons import GROUPS, REASONS
from farm.workstation.run.execution import given_environment, leave, shell_code, working_folder
from farm.workstation.run.watched_run import as_user, sudo_caller


class WordsAfterDashes(click.RichCommand):
    """Remembers whether its words were set apart by --: then they are a command, even if there is one word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse them, -- included."""
        dashes = "--" in args
        rest = super().parse_args(ctx, args)
        ctx.params["dashes"] = dashes
        return rest


@click.command(cls=WordsAfterDashes, context_settings={"allow_interspersed_args": False})
@click.option("--last", "of_last", is_flag=True, help="Explain all calls of the last `farm run`.")
@click.option("--all", "each", is_flag=True, help="With --last: list every call.")
@click.option("--reason", metavar="CODE", default="", help="With --last: list the calls with this reason.")
@click.option(
    "--file", "part", metavar="NAME", default="", help="With --last: list the calls whose file name contains NAME."
)
@click.option("--evidence", is_flag=True, help="Show icecc's log of each call.")
@click.option("--list", "listing", is_flag=True, help="List all reasons and their codes.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON (docs/explain.md).")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[FILE | -- COMMAND...]")
@click.pass_obj
def explain(
    home: Home,
    of_last: bool,
    each: bool,
    reason: str,
    part: str,
    evidence: bool,
    listing: bool,
    as_json: bool,
    argv: tuple[str, ...],
    dashes: bool,
) -> None:
    """Explain why a file of the last build was slow, was compiled here, or failed; or where a command's calls ran.

    FILE is the end of its path: farm explain src/foo.c

    COMMAND is one compiler call of a build. Its output and exit code are passed on, and the explanation goes to
    standard error: farm explain -- gcc -c foo.c
    """
    if reason and reason not in REASONS:
        raise UsageError(f"There is no reason {reason}.", "", "List the reasons: farm explain --list")
    if listing:
        _list(as_json)
    elif of_last and not argv:
        _last(home, CallFilter(each, reason, part), evidence, as_json)
    elif len(argv) == 1 and not (dashes or of_last or each or reason or part):
        explain_one_file(home, argv[0], evidence, as_json)
    elif argv and not (of_last or each or reason or part):
        leave(_one(home, argv, evidence, as_json))
    else:
        raise UsageError(
            "Nothing to explain: name a file or a command.",
            "farm explain needs a file of the last build, a command after --, or --last.",
            "Try: farm explain foo.c, or: farm explain -- gcc -c foo.c, or: farm explain --last",
        )


class CallFilter(msgspec.Struct, frozen=True):
    """Which calls of a run are listed one by one."""

    each: bool
    reason: str
    part: str

    @property
    def lists(self) -> bool:
        """Whether single calls are asked for, by an option that lists or selects them."""
        return bool(self.each or self.reason or self.part)

    def passes(self, call: Call) -> bool:
        """Whether this one is."""
        codes = [cause.code for cause in call.causes]
        # Where a name with blanks in it begins and ends, icecc's log does not tell.
        named = self.part in call.file or (" " in self.part and self.part in call.command)
        return (not self.reason or self.reason in codes) and named


def _list(as_json: bool) -> None:
    if as_json:
        groups = {title: [reason_json(LoggedCause(each.code)) for each in group] for title, group in GROUPS.items()}
        show_json({"schema": 1, "reasons": groups})
        return
    for title, group in GROUPS.items():
        out.print(Text(title, style="bold"))
        for each in group:
            out.print(Text.assemble((f"  {each.code}", "cyan"), f"  {each.sentence}"), soft_wrap=True)


def _one(home: Home, argv: tuple[str, ...], evidence: bool, as_json: bool) -> int:
    """Run one command and explain it; how it ended (-n if signal n ended it)."""
    member = membership.find(home)
    if member.how == "server":
        namespace.reenter(Instance.load(home), home)
    command.find("icecc")
    user = sudo_caller(os.environ)
    given = given_environment()
    base = as_user(given, user) if user else given
    explained = explain_call(argv, member, base, user, stdout=sys.stderr if as_json else None)
    code, uncalled, trials = explained.exit, explained.uncalled, explained.trials
    told = core.tell(explained.calls, member, explained.settings, working_folder())
    calls, names, nodes = told.calls, told.names, told.kept.nodes if told.kept else ()
    if as_json:
        answer = {
            "schema": 1,
            "command": list(argv),
            "exit": shell_code(code),
            "reason": reason_json(uncalled) if uncalled else None,
            "calls": [call_json(call, names, evidence) for call in calls],
            "tried": msgspec.to_builtins(trials),
            "nodes": msgspec.to_builtins(nodes),
        }
        show_json(answer)
        return code
    if uncalled:
        err.print(Text.assemble(("farm: ", "bold"), f"icecc was not called by {printable(argv[0], LONGEST_SHOWN)}."))
        show_causes(err, (uncalled,))
    for call in calls:
        show_call(err, call, names, evidence)
    _show_trials(trials)
    _show_nodes(err, nodes)
    return code


def _last(home: Home, chosen: CallFilter, evidence: bool, as_json: bool) -> None:
    user = sudo_caller(os.environ)
    run, calls = core.last(core.last_run_folder(as_user(os.environ, user) if user else os.environ))
    told = core.tell(calls, _reachable(home, calls), run.settings, run.directory, run.kept)
    calls, names, nodes = told.calls, {**run.nodes, **told.names}, told.kept.nodes if told.kept else ()
    counted = core.summarise(calls)
    listed = [call for call in calls if chosen.passes(call)] if chosen.lists or as_json else []
    if as_json:
        answer = {
            "schema": 1,
            "run": msgspec.to_builtins(run),
            "outcomes": _outcomes(calls),
            "reasons": msgspec.to_builtins(counted),
            "on": _per_node(calls, names),
            "calls": [call_json(call, names, evidence) for call in listed],
            "nodes": msgspec.to_builtins(nodes),
        }
        show_json(answer)
        return
    _heading(run, calls)
    if chosen.lists:
        for call in listed:
            show_call(out, call, names, evidence)
        if not listed:
            out.print("No call matches.")
        return
    for each in counted:
        out.print(Text.assemble((f"{each.count:>6}  {each.code}", "cyan"), f"  {each.sentence}"), soft_wrap=True)
        out.print(Text(f"        {printable(', '.join(each.files), LONGEST_SHOWN)}", style="dim"), soft_wrap=True)
        if each.mend:
            out.print(Text.assemble(("        → ", "bold green"), each.mend), soft_wrap=True)
    _show_nodes(out, nodes)
    for name, number in _per_node(calls, names).items():
        out.print(Text(f"{number:>6}  on {printable(name)}"))


def _reachable(home: Home, calls: list[Call]) -> membership.Membership | None:
    """The farm to ask about a run that is over; None when there is none to be asked, or nothing to ask."""
    if not any(call.host for call in calls) and not core.needs_scheduler(calls) and not core.needs_daemon(calls):
        return None
    try:
        member = membership.find(home)
        if member.how == "server":
            namespace.reenter(Instance.load(home), home)
    except FarmError:
        return None
    return member


def _outcomes(calls: Iterable[Call]) -> dict[str, int]:
    counted = dict.fromkeys((outcome.value for outcome in CallOutcome), 0)
    for call in calls:
        counted[call.outcome] += 1
    return counted


def _per_node(calls: Iterable[Call], names: Mapping[str, str]) -> dict[str, int]:
    """How many calls each node compiled."""
    counted: dict[str, int] = {}
    for call in calls:
        if call.outcome is CallOutcome.NODE:
            name = names.get(call.host, call.host)
            counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items()))


def _heading(run: LastRun, calls: list[Call]) -> None:
    began = datetime.fromtimestamp(run.start).strftime("%Y-%m-%d %H:%M:%S")
    took = "" if run.end is None else f", took {duration(run.end - run.start)}"
    ended = "" if run.exit is None else f", exit {run.exit}"
    out.print(
        Text.assemble((printable(" ".join(run.command), LONGEST_SHOWN), "bold"), f"  {began}{took}{ended}"),
        soft_wrap=True,
    )
    if run.obstacle:
        out.print(Text(f"Everything was compiled here: {printable(run.obstacle, LONGEST_SHOWN)}"), soft_wrap=True)
    counted = _outcomes(calls)
    parts = [f"{counted[outcome]} {words}" for outcome, words in OUTCOMES.items() if counted[outcome]]
    calls_word = count(len(calls), "compiler call")
    out.print(f"{calls_word}: {', '.join(parts)}" if calls else "No compiler call reached icecc.")


def _show_trials(trials: Iterable[Trial]) -> None:
    for trial in trials:
        compiled = trial.outcome not in (CallOutcome.NOWHERE, CallOutcome.UNFINISHED)
        where = f" {OUTCOMES[trial.outcome]}" if compiled else ""
        went = f"is compiled{where}" if trial.exit == 0 else f"fails{where}: {printable(trial.said, LONGEST_SHOWN)}"
        style = "green" if trial.helps else "dim"
        err.print(Text.assemble("  tried: ", (f"with {trial.setting} it {went}", style)), soft_wrap=True)


def _show_nodes(console: Console, nodes: Iterable[core.NodeWhy]) -> None:
    for node in nodes:
        console.print(
            Text(f"  {printable(node.name)} ({printable(node.address)}): {printable(node.why, LONGEST_SHOWN)}"),
            soft_wrap=True,
        )
        if node.mend:
            console.print(Text.assemble(("  → ", "bold green"), printable(node.mend, LONGEST_SHOWN)), soft_wrap=True)
