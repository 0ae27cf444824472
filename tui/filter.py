"""The filter line of the job stream: ``node:pc01 state:failed -file:moc_ took:>5`` and plain words.

A text becomes a predicate once; asking it for a job is cheap. Terms are joined by "and", the values of one term,
separated by commas, by "or"; ``-`` before a term turns it round; a value with ``=`` before it must match whole.
"""

from __future__ import annotations

import operator
import shlex
from collections.abc import Callable

from farm.errors import FarmError
from farm.view.wording import language
from farm.watch.activity import Job, JobPlace, JobState
from farm.watch.activity.jobs import SELF_MADE

Predicate = Callable[[Job], bool]

FILTER_KEYS = ("node", "submitter", "file", "state", "place", "exit", "lang", "took", "waited")
MAX_LENGTH = 500
LOST_STATE = "lost"
"""The state of a job that was in flight, and whose end nobody told."""
JOB_STATES = (*JobState, LOST_STATE)
OVER = (JobState.DONE, JobState.FAILED)
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def state_of(job: Job) -> str:
    """How far a job has come; one whose record has an end without a result is lost."""
    return LOST_STATE if job.ended and job.state in (JobState.PENDING, JobState.RUNNING) else job.state


def parse(text: str) -> Predicate | None:
    """The predicate of a filter line; None when it is empty. Raises FarmError that says which term is wrong."""
    if len(text) > MAX_LENGTH:
        raise FarmError("The filter is too long.", f"The limit is {MAX_LENGTH} characters.")
    tests = [_term(word) for word in _split(text)]
    if not tests:
        return None
    return tests[0] if len(tests) == 1 else lambda job: all(test(job) for test in tests)


def _split(text: str) -> list[str]:
    """Words, where quotes keep spaces together; a quote still open, as while typing, is closed by the end."""
    for closing in ("", '"', "'"):
        lexer = shlex.shlex(text + closing, posix=True, punctuation_chars=False)
        lexer.whitespace_split = True
        lexer.commenters = lexer.escape = ""
        try:
            return [word for word in lexer if word]
        except ValueError:
            continue
    raise FarmError("A quote is not closed.")


def _term(word: str) -> Predicate:
    negated = word.startswith("-") and len(word) > 1
    body = word[1:] if negated else word
    key, colon, value = body.partition(":")
    if not colon or not key.isalpha():
        needle = body.lower()
        test: Predicate = lambda job: needle in f"{job.file}\0{job.node[0]}\0{job.submitter[0]}".lower()  # noqa: E731
    else:
        test = _keyed(key.lower(), value)
    return (lambda job: not test(job)) if negated else test


def _keyed(key: str, value: str) -> Predicate:
    matching = [each for each in FILTER_KEYS if each.startswith(key)]
    key = key if key in FILTER_KEYS else matching[0] if len(matching) == 1 else key
    if key not in FILTER_KEYS:
        raise FarmError(f"There is no term {key}:", f"The terms are {', '.join(f'{each}:' for each in FILTER_KEYS)}.")
    values = [each for each in value.split(",") if each]
    if not values:
        return lambda job: True  # half typed
    tests = [_value(key, each) for each in values]
    return tests[0] if len(tests) == 1 else lambda job: any(test(job) for test in tests)


def _value(key: str, value: str) -> Predicate:
    match key:
        case "node":
            return _text(value, lambda job: job.node[0])
        case "submitter":
            return _text(value, lambda job: job.submitter[0])
        case "file":
            return _text(value, lambda job: job.file)
        case "state":
            states = _choices(key, value, JOB_STATES)
            return lambda job: state_of(job) in states
        case "place":
            places = _choices(key, value, tuple(JobPlace))
            return lambda job: job.place in places
        case "lang":
            wanted = value.lower()
            return lambda job: language(job).lower() == wanted
        case "exit":
            return _exit(value)
        case "took":
            return _number(key, value, lambda job: job.real / 1000 if state_of(job) in OVER else None)
        case _:
            return _number(key, value, lambda job: job.waited if job.begun else None)


def _text(value: str, get: Callable[[Job], str]) -> Predicate:
    wanted = value.lower()
    if wanted.startswith("="):
        whole = wanted[1:]
        return lambda job: get(job).lower() == whole
    return lambda job: wanted in get(job).lower()


def _choices(key: str, value: str, choices: tuple[str, ...]) -> frozenset[str]:
    """All of the choices that begin so."""
    found = frozenset(str(choice) for choice in choices if choice.startswith(value.lower()))
    if not found:
        raise FarmError(f"There is no {key} {value!r}.", f"Possible values: {', '.join(choices)}.")
    return found


def _exit(value: str) -> Predicate:
    if value[0] in "<>":
        return _number("exit", value, lambda job: job.exit if _told(job) else None)
    if not (value.isascii() and value.isdigit()):
        raise FarmError(f"exit:{value} is not an exit code.", "Use a number or a comparison: exit:1, exit:>0.")
    code = int(value)
    return lambda job: job.exit == code and _told(job)


def _told(job: Job) -> bool:
    """How it ended is known: submitters do not tell of what they do themselves."""
    return job.state in OVER and job.place not in SELF_MADE


def _number(key: str, value: str, get: Callable[[Job], float | None]) -> Predicate:
    """A number with a comparison; without one it means "at least"."""
    sign = next((each for each in COMPARISONS if value.startswith(each)), "")
    compare = COMPARISONS[sign or ">="]
    text = value[len(sign) :].removesuffix("s")
    try:
        than = float(text) if text else 0.0
    except ValueError:
        raise FarmError(f"{key}:{value} is not a number.", f"Example: {key}:>5") from None

    def test(job: Job) -> bool:
        number = get(job)
        return number is not None and compare(number, than)

    return test
