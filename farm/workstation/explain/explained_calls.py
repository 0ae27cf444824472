"""Where compiler calls ran and why: icecc's log, and what only the scheduler knows besides."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from msgspec import Struct
from msgspec.structs import replace

from farm.errors.hints import hint
from farm.workstation.env import outdated
from farm.workstation.env.variables import disabled
from farm.workstation.explain import icecc_log, last_run
from farm.workstation.explain.given_back import SchedulerAnswer, ask_scheduler, kept_here, node_names
from farm.workstation.explain.icecc_log import Call, CallOutcome, LoggedCause
from farm.workstation.explain.last_run import LastRun, last_run_folder
from farm.workstation.explain.reasons import Reason, farm_side, find, machine
from farm.workstation.explain.reasons.compiler_call import DEPENDENCIES_LOST, SIDE_FILE_LOST
from farm.workstation.explain.reasons.record import GivenBack, NodeWhy
from farm.workstation.membership import Membership
from farm.workstation.run.execution import Command, execute

__all__ = [
    "GivenBack", "NodeWhy", "ReasonCount", "SchedulerAnswer", "Told", "ask_scheduler", "call_reason", "failed_there",
    "find_outdated", "kept_here", "last", "last_run_folder", "needs_daemon", "needs_scheduler", "node_names",
    "refine", "run", "summarise", "tell", "uncalled",
]  # fmt: skip

MAX_EXAMPLES = 5
"""Examples given for a reason."""
EXIT_KILLED = 105
"""icecc's exit code where a signal ended the compiler on the node: workit.cpp presets EXIT_OUT_OF_MEMORY and writes the
true one only over a compiler that exited."""


ASKING = "asking for native environment for "
"""What icecc says of a compiler before iceccd answers."""


class Told(Struct, frozen=True):
    """Calls with their true reasons, why the farm gave jobs back, and the nodes' names by their addresses."""

    calls: list[Call]
    kept: GivenBack | None = None
    names: dict[str, str] = {}


class ReasonCount(Struct, frozen=True):
    """A reason, how many calls it kept here, and some of their files."""

    code: str
    sentence: str
    mend: str
    count: int
    files: tuple[str, ...]


def run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    user: pwd.struct_passwd | None = None,
    stdout: IO[Any] | None = None,
    stderr: IO[Any] | None = None,
) -> tuple[int, list[Call]]:
    """Run a command, as ``user`` if given; its exit code (-n for signal n), and the calls of icecc in it.

    ``environment`` brings icecc in. Raises like `execute`.
    """
    with tempfile.TemporaryDirectory(prefix="farm-explain-") as folder:
        log = Path(folder) / "icecc.log"
        log.touch(mode=0o600)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chown(log, user.pw_uid, user.pw_gid)
        told = {**environment, "ICECC_LOGFILE": str(log), "ICECC_DEBUG": "debug"}
        code = asyncio.run(execute(Command(argv, told, user), stdout=stdout, stderr=stderr))
        return code, icecc_log.read(log)


def failed_there(code: int, calls: list[Call]) -> list[Call]:
    """The calls of a command that ended with ``code``, with what became of a compiler that failed on a node.

    icecc's log does not tell, so it is known only where the code is that of a single call.
    """
    if code == 0 or len(calls) != 1:
        return calls
    call = calls[0]
    if call.outcome is CallOutcome.NODE:
        failed = farm_side.KILLED if code == EXIT_KILLED else farm_side.FAILED
        code_of = farm_side.HEADER_USED if icecc_log.CLANG_HEADER in call.command.split() else failed
        return [replace(call, causes=(LoggedCause(code_of), *call.causes))]
    if call.outcome is CallOutcome.AGAIN and call.causes and call.causes[0].code == farm_side.OUTPUT:
        return [replace(call, causes=(LoggedCause(farm_side.REFUSED, call.causes[0].line), *call.causes[1:]))]
    return calls


def last(folder: Path) -> tuple[LastRun, list[Call]]:
    """The last `farm run` and its calls. Raises FarmError when there was none."""
    record, log = last_run.read(folder)
    return record, icecc_log.read(log)


def uncalled(argv: Sequence[str], environment: Mapping[str, str]) -> LoggedCause:
    """Why icecc was not called by a command at all."""
    path = shutil.which(argv[0], path=environment.get("PATH")) or argv[0]
    name = os.path.basename(argv[0])
    if name == "ccache" or os.path.basename(os.path.realpath(path)) == "ccache":
        return LoggedCause(machine.CCACHE_HIT)
    if is_compiler(name):
        return LoggedCause(machine.BYPASSED, f"{argv[0]} is {os.path.realpath(path)}")
    return LoggedCause(machine.NO_CALL)


def is_compiler(name: str) -> bool:
    """Whether icecc would take a program of that name for a compiler (services/util.cpp)."""
    return name in ("cc", "c++") or any(part in name for part in ("gcc", "g++", "clang"))


def needs_scheduler(calls: Iterable[Call]) -> bool:
    """Whether the scheduler must be asked why it gave jobs back."""
    return any(cause.code == farm_side.ASSIGNED_HERE for call in calls for cause in call.causes)


def needs_daemon(calls: Iterable[Call]) -> bool:
    """Whether this machine's iceccd must be asked why it made no environment."""
    return any(cause.code == machine.NOT_MADE for call in calls for cause in call.causes)


def tell(
    calls: list[Call],
    membership: Membership | None,
    settings: Mapping[str, str],
    folder: str = "",
    kept: GivenBack | None = None,
) -> Told:
    """What is to be told of calls: the one decision for `farm run`, `farm explain` and its --last.

    ``settings``: icecream's variables; ``folder``: where the calls were made; ``kept``: what was found out when they
    were. Else the farm and this machine's iceccd are asked, unless ``membership`` is None.
    """
    if membership is None:
        return Told(refine(calls, kept, settings), kept)
    calls = find_outdated(calls, membership.socket, settings, folder)
    needs = needs_scheduler(calls) and kept is None
    seen = ask_scheduler(membership) if needs or any(call.host for call in calls) else SchedulerAnswer(None)
    if needs:
        elsewhere = any(call.outcome is CallOutcome.NODE for call in calls)
        kept = kept_here(seen, membership, settings, elsewhere=elsewhere)
    return Told(refine(calls, kept, settings), kept, node_names(seen))


def refine(calls: Iterable[Call], kept: GivenBack | None, settings: Mapping[str, str]) -> list[Call]:
    """The calls, with what icecc's log alone does not tell put in its place."""
    return [replace(call, causes=tuple(_refine(cause, kept, settings) for cause in call.causes)) for call in calls]


def _refine(cause: LoggedCause, kept: GivenBack | None, settings: Mapping[str, str]) -> LoggedCause:
    if cause.code == farm_side.ASSIGNED_HERE and kept is not None:
        return LoggedCause(kept.code, kept.why)
    if cause.code == machine.DISABLED and not disabled(settings) and "ICECC_VERSION" in settings:
        named = settings["ICECC_VERSION"]  # of what it leaves out of this, icecc says nothing
        return LoggedCause(machine.NO_ENVIRONMENT if "=" in named else machine.ENVIRONMENT_SETTING, named)
    return cause


def find_outdated(calls: Iterable[Call], socket: str, settings: Mapping[str, str], folder: str) -> list[Call]:
    """The calls, with the reason in its place where iceccd made no environment since the compiler has changed.

    icecc's log says the same of both, so iceccd is asked again. ``settings``: icecream's variables; ``folder``: where
    the calls were made.
    """
    where = settings.get("ICECC_TEST_SOCKET", socket)
    compression = settings.get("ICECC_ENV_COMPRESSION", "")
    known: dict[tuple[str, ...], str] = {}

    def place(call: Call) -> Call:
        if all(cause.code != machine.NOT_MADE for cause in call.causes):
            return call
        compiler = next((line.removeprefix(ASKING) for line in call.evidence if line.startswith(ASKING)), "")
        key = (compiler, *outdated.extra_files(call.command.split(), settings, folder))
        if key not in known:
            known[key] = outdated.lost_archive(where, compiler, key[1:], compression) if compiler else ""
        if not known[key]:
            return call
        told = LoggedCause(machine.OUTDATED, f"iceccd names {known[key]}, which is not there.")
        return replace(call, causes=tuple(told if each.code == machine.NOT_MADE else each for each in call.causes))

    return [place(call) for call in calls]


def call_reason(call: Call) -> Reason | None:
    """The true reason for which a call was not compiled on a node; None when it was, or nothing is known of it."""
    if call.causes:
        return find(call.causes[0].code)
    return find(farm_side.FELL_BACK) if call.outcome is CallOutcome.AGAIN else None


def summarise(calls: Iterable[Call]) -> list[ReasonCount]:
    """How many calls each reason kept here, or made go wrong; the most frequent first."""
    by_code: dict[str, list[Call]] = {}
    for call in calls:
        reason = call_reason(call)
        codes = {reason.code} if reason else set[str]()
        codes.update(cause.code for cause in call.causes if cause.code in (DEPENDENCIES_LOST, SIDE_FILE_LOST))
        for code in codes:
            by_code.setdefault(code, []).append(call)
    counted = []
    for code, those in by_code.items():
        files = tuple(dict.fromkeys(call.file for call in those if call.file))[:MAX_EXAMPLES]
        reason = find(code)
        counted.append(ReasonCount(code, reason.sentence, hint(reason.mend), len(those), files))
    return sorted(counted, key=lambda each: (-each.count, each.code))
