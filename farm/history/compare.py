"""Two builds side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from farm.history.build_records import BuildDetail
from farm.view.wording import milliseconds, rate, size


class Row(NamedTuple):
    """A line of the comparison; ``ratio`` says how much b is of a, and is empty where that has no meaning."""

    label: str
    a: str
    b: str
    ratio: str


Figure = Callable[[BuildDetail], float]
FIGURES: tuple[tuple[str, Figure, Callable[[float], str]], ...] = (
    ("took", lambda each: each.build.seconds * 1000, milliseconds),
    ("jobs", lambda each: each.build.jobs, str),
    ("jobs a second", lambda each: each.build.jobs / each.build.seconds if each.build.seconds else 0.0, rate),
    ("at a time, on average", lambda each: each.build.parallelism, rate),
    ("at a time, at most", lambda each: each.build.most, str),
    ("on nodes", lambda each: each.build.remote, str),
    ("given back by the scheduler", lambda each: each.build.own, str),
    ("local", lambda each: each.build.local, str),
    ("local after a failure", lambda each: each.build.fallback, str),
    ("failed", lambda each: each.build.failed, str),
    ("lost", lambda each: each.build.lost, str),
    ("nodes used", lambda each: sum(share.node != each.build.submitter for share in each.nodes), str),
    ("time of all jobs", lambda each: each.build.real_ms, milliseconds),
    ("time of a job", lambda each: each.build.real_ms / each.build.jobs if each.build.jobs else 0.0, milliseconds),
    ("slowest job", lambda each: each.slowest[0].real_ms if each.slowest else 0, milliseconds),
    ("waiting of all jobs", lambda each: each.build.waited_ms, milliseconds),
    ("for other submitters", lambda each: sum(wait.seconds for wait in each.waits) * 1000, milliseconds),
    ("sources read", lambda each: each.build.in_bytes, size),
    ("objects written", lambda each: each.build.out_bytes, size),
)


def compare(a: BuildDetail, b: BuildDetail) -> list[Row]:
    """All figures of both."""
    return [
        Row(label, words(figure(a)), words(figure(b)), ratio(figure(a), figure(b))) for label, figure, words in FIGURES
    ]


def ratio(a: float, b: float) -> str:
    """How much b is of a: ×0.48, ×12; "=" when they are equal, empty when a is nothing."""
    if a == b:
        return "="
    if not a:
        return ""
    return f"×{b / a:.2f}" if b / a < 10 else f"×{b / a:.0f}"
