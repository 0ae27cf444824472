"""Scales: round steps for time and values, and how both are written short."""

from __future__ import annotations

import math
import time

TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
TIME_LABEL_CELLS = 9
"""Cells that a time label and its distance to the next one need."""


def time_step(seconds_per_cell: float, cells: int = TIME_LABEL_CELLS) -> float:
    """The shortest round time, in seconds, that is at least so many cells long."""
    least = seconds_per_cell * cells
    return next((step for step in TIME_STEPS if step >= least), math.ceil(least / 86400) * 86400)


def duration(seconds: float) -> str:
    """A time short and exact enough for a scale: 250ms, 2.5s, 40s, 2m30s, 3h, 2d."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms" if seconds > 0 else "0s"
    if seconds < 10 and seconds % 1 > 0.05:  # rounded to tenths, it is no whole number
        return f"{seconds:.1f}s"
    left = round(seconds)
    units = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            units.append(f"{count}{unit}")
    return "".join(units[:2])


def short(value: float) -> str:
    """A value in at most five cells or so: 0.25, 12, 3.4k, 120M."""
    size = abs(value)
    for unit, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if size >= factor * 0.9995:  # rounded, it would need a digit more: 1.0k, not 1000
            scaled = value / factor
            return f"{scaled:.0f}{unit}" if abs(scaled) >= 9.95 or scaled == int(scaled) else f"{scaled:.1f}{unit}"
    return f"{value:.0f}" if size >= 9.95 or value == int(value) else f"{value:.2g}"


def ceiling(value: float, unit: int = 1000) -> float:
    """The least round number that is not below the value: 1, 2, 3, 4, 5, 6, 8, 10, 20, and so on.

    From 100 on there are 120 and 150, too. It is 1 for nothing at all.

    ``unit``: round is what is round when written with a prefix for each power of it: 1000, or 1024 for bytes.
    """
    if not 0 < value < math.inf:
        return 1.0
    whole = 1.0
    while value > 800 * whole:
        whole *= unit
    value /= whole
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.2, 1.5, 2, 3, 4, 5, 6, 8) if power >= 100 else (1, 2, 3, 4, 5, 6, 8)
    return whole * next((step * power for step in steps if step * power >= value), 10 * power)


def clock(when: float, step: float) -> str:
    """The local time of day, with tenths where ticks are closer than a second."""
    try:
        text = time.strftime("%H:%M:%S", time.localtime(when))
    except (OverflowError, ValueError, OSError):
        return "?"
    return text if step >= 1 else f"{text[3:]}.{int(when * 10) % 10}"
