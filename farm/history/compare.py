"""Two builds side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from farm.history.build_records import BuildDetail
from farm.view.wording import milliseconds, rate, size

UNCHANGED = 0.03
"""A figure that is so much more or less is neither better nor worse: builds are never quite alike."""


class Aim(Enum):
    """Which way a figure of a build is better."""

    LESS = -1
    NEITHER = 0
    MORE = 1


class Row(NamedTuple):
    """A line of the comparison; ``ratio`` says how much b is of a, and is empty where that has no meaning."""

    label: str
    a: str
    b: str
    ratio: str
    change: float = 0.0
    """How far the two are apart, whichever is more: 0 when they are equal, infinite when one of them is nothing."""
    verdict: int = 0
    """1 when b is better, -1 when b is worse, 0 when neither can be said."""


class Figure(NamedTuple):
    """A figure of a build."""

    label: str
    value: Callable[[BuildDetail], float]
    words: Callable[[float], str]
    aim: Aim = Aim.NEITHER


FIGURES: tuple[Figure, ...] = (
    Figure("took", lambda each: each.build.seconds * 1000, milliseconds, Aim.LESS),
    Figure("jobs", lambda each: each.build.jobs, str),
    Figure(
        "jobs a second",
        lambda each: each.build.jobs / each.build.seconds if each.build.seconds else 0.0,
        rate,
        Aim.MORE,
    ),
    Figure("at a time, on average", lambda each: each.build.parallelism, rate, Aim.MORE),
    Figure("at a time, at most", lambda each: each.build.most, str, Aim.MORE),
    Figure("on nodes", lambda each: each.build.remote, str),
    Figure("given back by the scheduler", lambda each: each.build.own, str),
    Figure("local", lambda each: each.build.local, str),
    Figure("local after a failure", lambda each: each.build.fallback, str, Aim.LESS),
    Figure("failed", lambda each: each.build.failed, str, Aim.LESS),
    Figure("lost", lambda each: each.build.lost, str, Aim.LESS),
    Figure("nodes used", lambda each: sum(share.node != each.build.submitter for share in each.nodes), str),
    Figure("time of all jobs", lambda each: each.build.real_ms, milliseconds),
    Figure(
        "time of a job",
        lambda each: each.build.real_ms / each.build.jobs if each.build.jobs else 0.0,
        milliseconds,
        Aim.LESS,
    ),
    Figure("slowest job", lambda each: each.slowest[0].real_ms if each.slowest else 0, milliseconds, Aim.LESS),
    Figure("waiting of all jobs", lambda each: each.build.waited_ms, milliseconds, Aim.LESS),
    Figure(
        "for other submitters", lambda each: sum(wait.seconds for wait in each.waits) * 1000, milliseconds, Aim.LESS
    ),
    Figure("sources read", lambda each: each.build.in_bytes, size),
    Figure("objects written", lambda each: each.build.out_bytes, size),
)


def compare(a: BuildDetail, b: BuildDetail) -> list[Row]:
    """All figures of both."""
    return [_row(figure, figure.value(a), figure.value(b)) for figure in FIGURES]


def _row(figure: Figure, a: float, b: float) -> Row:
    apart = change(a, b)
    better = figure.aim.value * (1 if b > a else -1) if apart > math.log1p(UNCHANGED) else 0
    return Row(figure.label, figure.words(a), figure.words(b), ratio(a, b), apart, better)


def change(a: float, b: float) -> float:
    """How far apart two figures are: the logarithm of their ratio, twice as far as half."""
    if a == b:
        return 0.0
    return abs(math.log(b / a)) if a > 0 and b > 0 else math.inf


def ratio(a: float, b: float) -> str:
    """How much b is of a: ×0.48, ×12; "=" when they are equal, empty when a is nothing."""
    if a == b:
        return "="
    if not a:
        return ""
    return f"×{b / a:.2f}" if b / a < 10 else f"×{b / a:.0f}"
