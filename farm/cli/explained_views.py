"""Compiler calls on a screen and as JSON, for `farm explain`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from farm.errors.hints import hint
from farm.printable import printable
from farm.view.wording import milliseconds, size
from farm.workstation.explain.icecc_log import Call, CallOutcome, LoggedCause
from farm.workstation.explain.reasons import find

LONGEST_SHOWN = 300
"""Letters of a line of evidence."""
OUTCOMES = {
    CallOutcome.NODE: "on a node",
    CallOutcome.HERE: "here",
    CallOutcome.AGAIN: "here after a node",
    CallOutcome.NOWHERE: "not compiled",
    CallOutcome.UNFINISHED: "unfinished",
}


def reason_json(cause: LoggedCause) -> dict[str, str]:
    """A cause with what is known of its reason."""
    reason = find(cause.code)
    return {"code": reason.code, "sentence": reason.sentence, "mend": hint(reason.mend), "line": cause.line}


def call_json(call: Call, names: Mapping[str, str], evidence: bool) -> dict[str, Any]:
    """A call with the name of its node, and its reasons in words."""
    told: dict[str, Any] = msgspec.to_builtins(call)
    del told["causes"]
    if not evidence:
        del told["evidence"]
    return {**told, "node": names.get(call.host, ""), "reasons": [reason_json(cause) for cause in call.causes]}


def show_call(console: Console, call: Call, names: Mapping[str, str], evidence: bool) -> None:
    """A call: where it ran, why, and how long it took."""
    what = printable(call.file or call.command, LONGEST_SHOWN)
    node = f"{printable(names[call.host])} ({printable(call.host)})" if call.host in names else printable(call.host)
    match call.outcome:
        case CallOutcome.NODE:
            where = f"was compiled on {node}."
        case CallOutcome.HERE:
            where = "was not sent to a node."
        case CallOutcome.AGAIN:
            where = f"went to {node}, then was compiled here."
        case CallOutcome.NOWHERE:
            where = "was not compiled."
        case CallOutcome.UNFINISHED:
            where = "did not finish, as far as icecc's log shows."
    console.print(Text.assemble(("farm: ", "bold"), f"{what} {where}"), soft_wrap=True)
    if call.host:
        console.print(Text(f"  {_figures(call)}", style="dim"), soft_wrap=True)
    show_causes(console, call.causes)
    if evidence:
        for line in call.evidence:
            console.print(Text(f"    {printable(line, LONGEST_SHOWN)}", style="dim"), soft_wrap=True)


def _figures(call: Call) -> str:
    parts = [f"environment {size(call.environment_sent)} sent" if call.environment_sent else ""]
    parts += [
        f"source {size(call.sent)} sent" if call.sent else "",
        f"object {size(call.got)} back" if call.got else "",
    ]
    parts += [f"{phase} {milliseconds(took)}" for phase, took in call.milliseconds.items()]
    return ", ".join(part for part in parts if part)


def show_causes(console: Console, causes: Iterable[LoggedCause]) -> None:
    """Reasons, the lines of icecc's log that give them, and what to do."""
    for number, cause in enumerate(causes):
        reason = find(cause.code)
        also = "also " if number else ""
        console.print(Text.assemble("  ", also, (reason.code, "cyan"), f"  {reason.sentence}"), soft_wrap=True)
        if cause.line:
            console.print(Text(f"    {printable(cause.line, LONGEST_SHOWN)}", style="dim"), soft_wrap=True)
        if reason.mend:
            console.print(Text.assemble(("  → ", "bold green"), hint(reason.mend)), soft_wrap=True)
