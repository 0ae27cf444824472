"""`farm explain FILE`: why a file of the last build was slow, was compiled here, or failed."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from farm.cli.explained_views import LONGEST_SHOWN, call_json, show_causes
from farm.cli.output import out, show_json
from farm.errors import FarmError
from farm.errors.hints import hint
from farm.history.build_records import BuildDetail
from farm.home import Home
from farm.printable import printable
from farm.view.wording import milliseconds
from farm.workstation import asking_farmd, membership
from farm.workstation.explain import explained_calls
from farm.workstation.explain.icecc_log import Call
from farm.workstation.explain.last_run import LastRun, run_id
from farm.workstation.explain.one_file import (
    Earlier,
    FileExplained,
    calls_for,
    explain_file,
    headline,
    in_history,
    went,
)
from farm.workstation.run.watched_run import as_user, sudo_caller

EARLIER_BUILDS = 5
"""Builds of the same name in which the file is looked for."""
SHOWN_PARTS = 3
LEAST_SHARE = 0.05
"""Of a call's time: what took less is not worth a line."""


def explain_one_file(home: Home, word: str, evidence: bool, as_json: bool) -> None:
    """Explain the calls for a file of the last build. Raises FarmError when there is none, or several are meant."""
    user = sudo_caller(os.environ)
    folder = explained_calls.last_run_folder(as_user(os.environ, user) if user else os.environ)
    run, calls = explained_calls.last(folder)
    calls = explained_calls.refine(calls, run.kept, run.settings)
    found = [explain_file(call, calls, run.jobs, _node(call, run)) for call in calls_for(word, calls)]
    earlier = in_history(found[0].call, _builds_before(home, run))
    if as_json:
        files = [_json(told, run.nodes, evidence) for told in found]
        show_json({"schema": 1, "run": _run_json(run), "calls": files, "earlier": msgspec.to_builtins(earlier)})
        return
    for told in found:
        _show(told, run, evidence)
    for each in earlier:
        _show_earlier(each, run.name)


def _node(call: Call, run: LastRun) -> str:
    return run.nodes.get(call.host, call.host)


def _builds_before(home: Home, run: LastRun) -> list[BuildDetail]:
    """Earlier builds of the same name, newest first; none where the farm's history is out of reach."""
    from farm.api import client
    from farm.api.answers import MAX_BUILDS

    if not run.name:  # as earlier releases kept it; in the history all builds outside of `farm run` have no name
        return []
    try:
        member = membership.find(home)
    except FarmError:
        return []
    ask = functools.partial(asking_farmd.ask, member, home, os.environ, seconds=client.ANSWER_SECONDS)
    listed = ask(client.builds(MAX_BUILDS, member.submitter, None))
    builds = [build for build in (listed.builds if listed else []) if build.name == run.name]
    ids = [build.id for build in builds if build.run != run_id(Path(run.log))][:EARLIER_BUILDS]
    details = [ask(client.build(id)) for id in ids]
    return [detail for detail in details if detail is not None]


def _run_json(run: LastRun) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(run)
    del told["jobs"]
    return told


def _json(told: FileExplained, names: Mapping[str, str], evidence: bool) -> dict[str, Any]:
    return {**msgspec.to_builtins(told), "call": call_json(told.call, names, evidence)}


def _show(told: FileExplained, run: LastRun, evidence: bool) -> None:
    call, node = told.call, printable(_node(told.call, run))
    what = printable(call.file or call.command, LONGEST_SHOWN)
    out.print(Text.assemble((what, "bold"), f" {headline(told, node)}"), soft_wrap=True)
    for part in told.parts[:SHOWN_PARTS]:
        if part.ms >= LEAST_SHARE * told.took_ms:
            out.print(f"  {milliseconds(part.ms):>7}  {printable(part.what, LONGEST_SHOWN)}", soft_wrap=True)
    show_causes(out, call.causes)
    if told.advice:
        out.print(Text.assemble(("  → ", "bold green"), hint(told.advice)), soft_wrap=True)
    if run.obstacle:
        out.print(f"  Everything was compiled here: {printable(run.obstacle, LONGEST_SHOWN)}", soft_wrap=True)
    if evidence:
        for line in call.evidence:
            out.print(Text(f"    {printable(line, LONGEST_SHOWN)}", style="dim"), soft_wrap=True)


def _show_earlier(each: Earlier, name: str) -> None:
    """What an earlier build remembers of the file."""
    when = datetime.fromtimestamp(each.began).strftime("%Y-%m-%d %H:%M")
    words = f"  Build {each.build} of {printable(name)} ({when}): it {printable(went(each))}"
    out.print(Text(words, style="dim"), soft_wrap=True)
