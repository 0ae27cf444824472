"""How many jobs of a build ran at each time, within bounds; gaps in that, and the tail that one slow file makes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import Struct

from farm.history.build_records import BuildDetail, Curve, FileTime

FIRST_STEP = 0.5
"""Seconds of a step at first; it doubles when there would be more than MAX_STEPS."""
MAX_STEPS = 240
IDLE = 0.01
"""Jobs at a time, as the mean of a step; below nothing ran."""
ALONE = 1.2
"""A step in which no more ran belongs to the tail: the last other job may have ended in it."""
LEAST_SHARE = 0.05
"""Of a build's time; a gap or tail that is shorter is none."""


class Gap(Struct, frozen=True):
    """A time in which nothing of a build ran, in seconds from its begin."""

    begin: float
    seconds: float


class Tail(Struct, frozen=True):
    """The end of a build, when one job ran after many had."""

    seconds: float
    file: FileTime | None
    """What ran then; None when it is not among the slowest."""


def with_job(curve: Curve, begun: float, ended: float) -> Curve:
    """The curve with a job that ran between two Unix times."""
    if not begun or ended <= begun:
        return curve
    if not curve.running:
        curve = Curve(begin=begun, step=FIRST_STEP)
    curve = _widened(curve, begun, ended)
    running, step = list(curve.running), curve.step
    first, last = (begun - curve.begin) / step, (ended - curve.begin) / step
    running += [0.0] * (math.ceil(last) - len(running))
    for index in range(math.floor(first), math.ceil(last)):
        running[index] += min(last, index + 1) - max(first, index)
    return Curve(begin=curve.begin, step=step, running=tuple(running))


def _widened(curve: Curve, begun: float, ended: float) -> Curve:
    """The curve with room for this time: with longer steps where there would be too many, and begun earlier."""
    begin, step, running = curve.begin, curve.step, curve.running
    while max(ended, begin + step * len(running)) - min(begun, begin) > (MAX_STEPS - 1) * step:
        pairs = (*running, 0.0) if len(running) % 2 else running
        running = tuple((one + two) / 2 for one, two in zip(pairs[::2], pairs[1::2], strict=True))
        step *= 2
    before = max(0, math.ceil((begin - begun) / step))
    return Curve(begin - before * step, step, (0.0,) * before + running)


def rounded(curve: Curve) -> Curve:
    """The curve as it is kept and told: hundredths of a job."""
    return Curve(curve.begin, curve.step, tuple(round(each, 2) for each in curve.running))


def gaps(detail: BuildDetail) -> list[Gap]:
    """Times within a build in which none of its jobs ran, the longest first."""
    curve = detail.curve
    least = LEAST_SHARE * detail.build.seconds
    found = [
        Gap(first * curve.step, length * curve.step)
        for first, length in _idle_runs(curve)
        if first > 0 and first + length < len(curve.running) and length * curve.step >= least
    ]
    return sorted(found, key=lambda gap: -gap.seconds)


def _idle_runs(curve: Curve) -> Iterator[tuple[int, int]]:
    first = 0
    for index, running in enumerate((*curve.running, 1.0)):
        if running >= IDLE:
            if index > first:
                yield first, index - first
            first = index + 1


def tail(detail: BuildDetail) -> Tail | None:
    """The end of a build that has ended, as far as one job at a time ran there; None where that is not worth a word."""
    curve, build = detail.curve, detail.build
    if build.open or build.most < 3 or not curve.running:
        return None
    steps = next((i for i, each in enumerate(reversed(curve.running)) if each > ALONE), len(curve.running))
    seconds = min(steps * curve.step, build.seconds)
    if seconds < max(LEAST_SHARE * build.seconds, 2 * curve.step):
        return None
    end = curve.begin + curve.step * len(curve.running)

    def alone(file: FileTime) -> float:
        return min(file.ended, end) - max(file.ended - file.real_ms / 1000, end - seconds)

    longest = max(detail.slowest, key=alone, default=None)
    return Tail(seconds, longest if longest is not None and alone(longest) > seconds / 2 else None)
