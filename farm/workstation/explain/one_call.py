"""One command explained; settings that help some calls and break others are tried on it before they are named."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from msgspec import Struct
from msgspec.structs import replace

from farm.workstation.env.variables import compile_environment, socket_variable, uses_ccache
from farm.workstation.explain.call_words import is_clang
from farm.workstation.explain.explained_calls import call_reason, failed_there, is_compiler, run, uncalled
from farm.workstation.explain.icecc_log import Call, CallOutcome, LoggedCause
from farm.workstation.explain.last_run import icecc_settings
from farm.workstation.explain.reasons import farm_side
from farm.workstation.membership import Membership
from farm.workstation.run.execution import shell_code

MAX_COMPILER_OUTPUT = 64 << 10
"""Bytes read of what a compiler writes."""
WITHOUT_ICECC = "ICECC=disable"
EXPANDED_THERE = "ICECC_REMOTE_CPP=1"
"""icecc's default for gcc, so that it is tried for clang alone, or where it was set otherwise."""


class Trial(Struct, frozen=True):
    """What a call ended with under one more setting; ``said`` is the first error that was written."""

    setting: str
    exit: int
    outcome: CallOutcome
    said: str = ""

    @property
    def helps(self) -> bool:
        """The call went well, and where the setting lets it go to a node, there."""
        return self.exit == 0 and (self.outcome is CallOutcome.NODE or self.setting == WITHOUT_ICECC)


class Explained(Struct, frozen=True):
    """A command that has been run: what it ended with (-n if signal n ended it), its calls, and what they tell."""

    exit: int
    calls: list[Call]
    settings: dict[str, str]
    """icecream's variables as the command had them."""
    trials: tuple[Trial, ...] = ()
    uncalled: LoggedCause | None = None
    """Why there are no calls."""


def explain_call(
    argv: Sequence[str],
    membership: Membership,
    base: Mapping[str, str],
    user: pwd.struct_passwd | None = None,
    *,
    stdout: IO[Any] | None = None,
    stderr: IO[Any] | None = None,
) -> Explained:
    """Run a command as `farm run` would, and find out what its calls alone tell. Raises like `run`."""
    jobs = len(os.sched_getaffinity(0))
    environment = compile_environment(base, remote=True, jobs=jobs, ccache=uses_ccache(base))
    environment |= socket_variable(membership, environment)
    settings = icecc_settings(environment)
    code, calls = run(argv, environment, user, stdout, stderr)
    if not calls:
        return Explained(code, [], settings, uncalled=uncalled(argv, environment))
    calls, trials = _try_settings(argv, environment, user, code, failed_there(code, calls))
    return Explained(code, calls, settings, trials)


def _try_settings(
    argv: Sequence[str],
    environment: Mapping[str, str],
    user: pwd.struct_passwd | None,
    code: int,
    calls: list[Call],
) -> tuple[list[Call], tuple[Trial, ...]]:
    """Run a call that ended with ``code`` again under settings that may help it; what is known of it then.

    Only where the command is one compiler call that no signal ended: that may be made twice. An object that is there
    is overwritten by none that is not as good.
    """
    if len(calls) != 1 or code < 0 or not _is_call(argv):
        return calls, ()
    call, trials = calls[0], []
    for setting in _settings(call, environment, code):
        trial, again = _try(argv, environment, user, setting)
        trials.append(trial)
        call = _learn(call, trial, again)
        if setting == WITHOUT_ICECC and trial.exit:
            break
    if trials and trials[-1].setting == "ICECC_CARET_WORKAROUND=0" and _code(call) == farm_side.FAILED:
        more = _settings(call, environment, 1)
        trials += [_try(argv, environment, user, setting)[0] for setting in more if setting != WITHOUT_ICECC]
    return [call], tuple(trials)


def _settings(call: Call, environment: Mapping[str, str], code: int) -> Iterator[str]:
    """Those worth trying: an error that is shown here as well needs none, and neither does what is as it is tried."""
    reason = call_reason(call)
    if reason is None or bool(code) is (reason.code != farm_side.FAILED):
        return
    for setting in reason.tries:
        name, _, value = setting.partition("=")
        usual = "1" if setting == EXPANDED_THERE and not is_clang(call.command) else None
        if environment.get(name, usual) != value:
            yield setting


def _try(
    argv: Sequence[str], environment: Mapping[str, str], user: pwd.struct_passwd | None, setting: str
) -> tuple[Trial, Call | None]:
    name, _, value = setting.partition("=")
    with tempfile.TemporaryFile() as said:
        code, calls = run(argv, {**environment, name: value}, user, said, said)
        said.seek(0)
        words = said.read(MAX_COMPILER_OUTPUT).decode(errors="replace")
    call = failed_there(code, calls)[0] if len(calls) == 1 else None
    outcome = call.outcome if call else CallOutcome.UNFINISHED
    return Trial(setting, shell_code(code), outcome, _error(words) if code else ""), call


def _learn(call: Call, trial: Trial, again: Call | None) -> Call:
    """What a trial tells of the call itself."""
    code, rest = _code(call), call.causes[1:]
    if code == farm_side.FAILED and trial.setting == WITHOUT_ICECC and trial.exit:
        return replace(call, causes=(LoggedCause(farm_side.REFUSED), *rest))
    if code == farm_side.OUTPUT and again is not None:
        if trial.exit and trial.outcome is CallOutcome.NODE:
            return replace(call, causes=(LoggedCause(farm_side.FAILED, trial.said), *rest))
        if not trial.exit and trial.outcome is CallOutcome.AGAIN and again.causes:
            return replace(call, causes=(again.causes[0], *rest))
    return call


def _code(call: Call) -> str:
    reason = call_reason(call)
    return reason.code if reason else ""


def _is_call(argv: Sequence[str]) -> bool:
    name = os.path.basename(argv[0])
    return is_compiler(name) or name == "icecc"


def _error(words: str) -> str:
    """The line of a compiler's words that says most."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return next((line for line in lines if "rror" in line), lines[0] if lines else "")
