"""What a check is, what it finds, and how checks are run in their order."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from msgspec import Struct

from farm.errors import FarmError, UsageError
from farm.errors.hints import hint
from farm.printable import printable

Facts = TypeVar("Facts")
"""What the checks of one place share: each adds what it has found out for those that rest on it."""

MAX_SEEN = 24
"""Lines of evidence that a result keeps."""
MAX_EVIDENCE_LINE = 400


class State(enum.StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    """It works, but not as well as it could."""
    FAIL = "fail"
    SKIPPED = "skipped"


_GRAVITY = (State.SKIPPED, State.OK, State.WARN, State.FAIL)


class Outcome(Struct, frozen=True):
    """What a check found; ``mend`` and ``command`` (what to type, if that is it) are empty when nothing is wrong."""

    state: State
    seen: tuple[str, ...] = ()
    cause: str = ""
    mend: str = ""
    command: str = ""


class Cause(Struct, frozen=True):
    """Something that may be wrong: a sentence, what mends it, and the command if one does; all may have {names}."""

    text: str
    mend: str
    command: str = ""
    warns: bool = False
    """Things work in spite of it."""

    def found(self, *seen: str, **names: object) -> Outcome:
        """It holds, as ``seen`` shows."""
        texts = (text.format_map(names) if names else text for text in (self.text, self.mend, self.command))
        return Outcome(State.WARN if self.warns else State.FAIL, seen, *map(hint, texts))


def fine(*seen: str) -> Outcome:
    """The outcome of a check that found nothing wrong; ``seen`` is the evidence."""
    return Outcome(State.OK, seen)


def skip(*seen: str) -> Outcome:
    """It could not be found out, and here is why."""
    return Outcome(State.SKIPPED, seen)


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """Several findings of one check as one: as grave as the gravest, whose cause it names; all that was seen."""
    found = list(outcomes)
    if not found:
        return fine()
    worst = max(found, key=lambda outcome: _GRAVITY.index(outcome.state))
    others = {o.cause: o.mend for o in found if o.cause and o.cause != worst.cause}
    seen = [line for outcome in found for line in outcome.seen] + [f"Also: {cause}" for cause in others]
    return Outcome(worst.state, tuple(seen), worst.cause, worst.mend, worst.command)


@dataclass(frozen=True)
class Check(Generic[Facts]):
    """One thing to look at. ``needs``: codes without which looking makes no sense."""

    code: str
    """Stable, in small letters with hyphens."""
    title: str
    """What holds when all is well."""
    why: str
    """What goes wrong for users when this does not hold."""
    look: Callable[[Facts], Outcome]
    causes: tuple[Cause, ...] = ()
    """All that it may find, for the documentation; a FarmError that ``look`` raises is a cause of its own."""
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """Codes whose facts it uses, whatever came of them."""
    deep: bool = False
    """Takes long or loads the farm: only on demand."""
    fix: Callable[[Facts], str] | None = None
    """Carries out what is safe and says what it did (empty: there was nothing it could do). Raises FarmError."""


class Result(Struct, frozen=True, kw_only=True):
    """A check that was run."""

    code: str
    title: str
    state: State
    evidence: tuple[str, ...] = ()
    why: str
    cause: str = ""
    mend: str = ""
    command: str = ""
    fixed: str = ""
    """What ``--fix`` did; the state is that after it."""
    seconds: float = 0.0


class Report(Struct, frozen=True, kw_only=True):
    """What `farm doctor --json` says (schema 1)."""

    schema: int = 1
    place: str
    """server, workstation, node or unknown."""
    about: str
    """The same in a sentence."""
    ok: bool
    """Nothing has failed; there may be warnings."""
    results: list[Result]


@dataclass(frozen=True)
class ChosenChecks:
    """Which checks are wanted; without ``only`` all but the deep ones."""

    only: frozenset[str] = frozenset()
    deep: bool = False
    fix: bool = False


@dataclass
class Examination(Generic[Facts]):
    """Checks of one place, and the results so far."""

    checks: Sequence[Check[Facts]]
    facts: Facts
    selection: ChosenChecks = field(default_factory=ChosenChecks)

    def run(self, before: Callable[[Check[Facts]], None], after: Callable[[Result], None]) -> list[Result]:
        """Run them in their order; ``before`` and ``after`` hear of each."""
        results: dict[str, Result] = {}
        for check in self.checks:
            if check.code in wanted(self.checks, self.selection):
                before(check)
                result = self._one(check, results)
                results[check.code] = result
                after(result)
        return list(results.values())

    def _one(self, check: Check[Facts], results: dict[str, Result]) -> Result:
        missing = [code for code in check.needs if code in results and results[code].state in _NO_GROUND]
        if missing:
            return _result(check, skip(f"Skipped because of: {', '.join(missing)}."), 0.0)
        started = time.monotonic()
        outcome, fixed = _look(check, self.facts), ""
        if self.selection.fix and check.fix and outcome.state in (State.WARN, State.FAIL):
            try:
                fixed = check.fix(self.facts)
            except (FarmError, OSError) as error:
                outcome = together([outcome, fine(f"The fix failed: {' '.join(str(error).splitlines())}")])
            if fixed:
                outcome = _look(check, self.facts)
        return _result(check, outcome, time.monotonic() - started, fixed)


_NO_GROUND = (State.FAIL, State.SKIPPED)


def _look(check: Check[Facts], facts: Facts) -> Outcome:
    try:
        return check.look(facts)
    except FarmError as error:
        return Outcome(State.FAIL, tuple(error.why.splitlines()), error.what, error.fix)
    except OSError as error:  # this machine is in a bad way: no room, no more processes, a disk that fails
        return Outcome(State.FAIL, (str(error),), "The check could not run.", "See the error above.")


def _result(check: Check[Facts], outcome: Outcome, seconds: float, fixed: str = "") -> Result:
    mend = f"{outcome.mend}: {outcome.command}" if outcome.command else outcome.mend
    return Result(
        code=check.code,
        title=check.title,
        state=outcome.state,
        evidence=tuple(printable(line, MAX_EVIDENCE_LINE) for line in outcome.seen[:MAX_SEEN]),
        why=check.why,
        cause=printable(outcome.cause, MAX_EVIDENCE_LINE),
        mend=printable(mend, MAX_EVIDENCE_LINE),
        command=printable(outcome.command, MAX_EVIDENCE_LINE),
        fixed=fixed,
        seconds=round(seconds, 3),
    )


def wanted(checks: Collection[Check[Facts]], selection: ChosenChecks) -> set[str]:
    """The codes to run: those named and all they rest on, or all. Raises UsageError for a code that there is not."""
    by_code = {check.code: check for check in checks}
    if not selection.only:
        return {check.code for check in checks if selection.deep or not check.deep}
    found: set[str] = set()
    queue = list(selection.only)
    while queue:
        code = queue.pop()
        if code in by_code and code not in found:
            found.add(code)
            queue += [*by_code[code].needs, *by_code[code].after]
    return found


def require_known(only: Iterable[str], codes: Collection[str]) -> None:
    """Raises UsageError for codes that no check here has."""
    unknown = sorted(set(only) - set(codes))
    if unknown:
        raise UsageError(
            f"Unknown check for this machine: {', '.join(unknown)}.",
            f"Known checks: {', '.join(codes)}.",
            "Leave out --only to run all checks.",
        )
