"""Why one file of a build was slow, was compiled here, or failed: what icecc's log and the scheduler know, in words."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from farm.errors import FarmError
from farm.history.build_records import Build, BuildDetail, FileTime
from farm.view.wording import NODE_UNUSABLE, count, exit_words, milliseconds, size
from farm.workstation.explain.call_words import parse
from farm.workstation.explain.icecc_log import Call, CallOutcome
from farm.workstation.explain.last_run import JobEnd

MAX_SHOWN = 8
"""Files that are named where a word means several."""
SLOW = 2.0
"""So many times as long as usual is slow."""
SLOW_MS = 500
"""What took less is never called slow."""
LARGE_SOURCE = 1 << 20
"""Bytes of a preprocessed source, as they are sent, from which its size is worth a word."""
WAITED = "wait"
THIS_MACHINE = "this machine"


class SpentTime(Struct, frozen=True):
    """One thing that a call's time went to: its name as in ``milliseconds`` of a call (wait: for a slot)."""

    phase: str
    ms: int
    what: str


class FileExplained(Struct, frozen=True, kw_only=True):
    """A call for a file: how long it took beside the others of its build, where the time went, and what to say."""

    call: Call
    took_ms: int
    rank: int
    """1 is the slowest file of the build."""
    files: int
    """How many there are."""
    usual_ms: int
    """Half of the files took less."""
    slow: bool
    parts: tuple[SpentTime, ...]
    """Where the time went, the longest first."""
    advice: str
    """What would make it faster; empty where nothing is wrong, or a reason tells."""
    exit: int
    """Of the compiler on the node; 0 where it went well or nobody told."""


class Earlier(Struct, frozen=True):
    """The same file in an earlier build of the name, where that remembers it: among its slowest, or as a failure."""

    build: int
    began: float
    node: str
    real_ms: int
    exit: int


def calls_for(word: str, calls: Sequence[Call]) -> list[Call]:
    """The calls for the file that ``word`` is the end of: a source or an output, as the build or the shell writes it.

    Raises FarmError when there is none, or when several files end so.
    """
    wanted = _parts(word)
    found: dict[str, list[Call]] = {}
    for call in calls:
        for path in dict.fromkeys((call.file, parse(call.command).output)):
            parts = _parts(path)
            if parts and wanted and (_ends(parts, wanted) or _ends(wanted, parts)):
                found.setdefault(call.file or path, []).append(call)
                break
    if exact := [path for path in found if _parts(path) == wanted]:
        found = {path: found[path] for path in exact}
    names = sorted(found)
    if not names:
        raise FarmError(
            f"The last build has no compiler call for {word}.",
            f"icecc's log has {count(len(calls), 'call')}, and none names a file that ends so.",
            "List the files: farm explain --last --all (to explain a command: farm explain -- COMMAND)",
        )
    if len({_parts(name) for name in names}) > 1:
        shown = ", ".join(names[:MAX_SHOWN]) + (" and more" if len(names) > MAX_SHOWN else "")
        raise FarmError(
            f"{count(len(names), 'file')} of the last build end in {word}.", f"They are {shown}.",
            f"Name more of the path: farm explain {names[0]}",
        )  # fmt: skip
    return [call for name in names for call in found[name]]


def _parts(path: str) -> tuple[str, ...]:
    """A path without what leads out of a folder: where the compiler was called, icecc's log does not tell."""
    return tuple(part for part in os.path.normpath(path).split("/") if part not in ("", ".", "..")) if path else ()


def _ends(path: Sequence[str], end: Sequence[str]) -> bool:
    return tuple(path[-len(end) :]) == tuple(end)


def explain_file(call: Call, calls: Iterable[Call], jobs: Mapping[int, JobEnd], node: str) -> FileExplained:
    """How a call compares with the others of its build; ``jobs``: as the scheduler told, ``node``: the node's name."""
    times = sorted((_took(each, jobs) for each in calls if each.file), reverse=True)
    took = _took(call, jobs)
    usual = round(statistics.median(times)) if times else 0
    slow = took >= SLOW_MS and took >= SLOW * usual
    job = jobs.get(call.job)
    found = _where(call, job, node)
    return FileExplained(
        call=call,
        took_ms=took,
        rank=1 + sum(time > took for time in times),
        files=len(times),
        usual_ms=usual,
        slow=slow,
        parts=found,
        advice=_advice(call, found[0].phase) if slow and found else "",
        exit=job.exit if job else 0,
    )


def _took(call: Call, jobs: Mapping[int, JobEnd]) -> int:
    job = jobs.get(call.job)
    return sum(call.milliseconds.values()) + (job.waited_ms if job else 0)


def _where(call: Call, job: JobEnd | None, node: str) -> tuple[SpentTime, ...]:
    """Where the time went, the longest first."""
    node = node or "the node"
    what = {
        WAITED: "it waited for a free slot",
        "pack": "this machine packed the compiler, which it does once",
        "environment": f"the compiler was sent to {node} ({size(call.environment_sent)}), which did not have it yet",
        "send": f"{node} was told what to do",
        "preprocess": f"this machine preprocessed it and sent the result ({size(call.sent)})",
        "node": f"{node} compiled it",
        "here": "this machine did it",
    }
    times = {**call.milliseconds, WAITED: job.waited_ms if job else 0}
    parts = [SpentTime(phase, ms, what[phase]) for phase, ms in times.items() if ms and phase in what]
    return tuple(sorted(parts, key=lambda part: -part.ms))


def _advice(call: Call, phase: str) -> str:
    """What would help where a call was slow because of this."""
    large = call.sent >= LARGE_SOURCE
    match phase:
        case "wait":
            return "All nodes were busy. To see who held them: farm history show"
        case "pack" | "environment":
            return "Nothing is wrong: it happens once for each compiler and node."
        case "preprocess":
            return "This machine was busy, or the headers are many: use fewer jobs at a time (-j), or include less."
        case "node" | "here" if large:
            return (
                f"With all its headers the source has {size(call.sent)}, compressed: include less, or split the file."
            )
        case "node" | "here":
            return "The compiler itself needs this long: lower its optimisation, or split the file."
    return ""


def headline(told: FileExplained, node: str) -> str:
    """In one sentence where a file was compiled, how long that took, and how it ended."""
    call = told.call
    took = f" in {milliseconds(told.took_ms)}" if told.took_ms else ""
    match call.outcome:
        case CallOutcome.NODE if told.exit:
            return f"failed on {node}{took}: {exit_words(told.exit)}."
        case CallOutcome.NODE:
            return f"was compiled on {node}{took}{_beside(told)}."
        case CallOutcome.HERE:
            return f"was not sent to a node; this machine did it{took}{_beside(told)}."
        case CallOutcome.AGAIN:
            return f"went to {node}, then this machine did it again; in all {milliseconds(told.took_ms)}."
        case CallOutcome.NOWHERE:
            return "was not compiled: icecc gave up."
    return "did not finish, as far as icecc's log shows."


def _beside(told: FileExplained) -> str:
    """How that is beside the other files."""
    if told.files < 3 or not told.took_ms:
        return ""
    usual = f"half of the {told.files} files took less than {milliseconds(told.usual_ms)}"
    if told.rank == 1:
        return f", longer than any other file: {usual}"
    return f", {'slow' if told.slow else 'as usual'}: {usual}"


def in_history(call: Call, builds: Iterable[BuildDetail]) -> list[Earlier]:
    """What earlier builds remember of a file, in their order."""
    names = [_parts(path) for path in (call.file, parse(call.command).output) if path]
    found = []
    for detail in builds:
        for file in (*detail.failures[::-1], *detail.slowest):
            if any(name and _ends(_parts(file.file), name) for name in names):
                found.append(_earlier(detail.build, file))
                break
    return found


def went(each: Earlier) -> str:
    """How it went in an earlier build."""
    if each.exit == NODE_UNUSABLE:
        return f"went to {each.node}, then to this machine"  # which may be for any reason, an error in the source too
    if each.exit:
        return f"failed on {each.node}: {exit_words(each.exit)}"
    return f"took {milliseconds(each.real_ms)} on {each.node}"


def _earlier(build: Build, file: FileTime) -> Earlier:
    return Earlier(build.id, build.started, file.node, file.real_ms, file.exit)
