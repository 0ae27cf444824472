"""How a build went over time: its curve as points, and what that shows in words."""

from __future__ import annotations

from farm.history.build_records import BuildDetail, Curve
from farm.history.curve import gaps, tail
from farm.view.wording import count, duration, milliseconds
from tui.widgets.raster import Point
from tui.widgets.tone_line import TonePart


def curve_points(curve: Curve) -> list[Point]:
    """Seconds since the begin and jobs at a time; each value stands in the middle of its step, and at the ends."""
    if not curve.running:
        return []
    step, values = curve.step, curve.running
    middles = [((i + 0.5) * step, value) for i, value in enumerate(values)]
    return [(0.0, values[0]), *middles, (step * len(values), values[-1])]


def gap_words(detail: BuildDetail) -> list[TonePart]:
    """For how long nothing of the build ran, and when."""
    if not detail.curve.running:
        return []
    found = gaps(detail)
    if not found:
        return [("● no gaps: a job ran at any time", "good")]
    total = sum(gap.seconds for gap in found)
    first = found[0]
    longest = f"{_time(first.seconds)} from {_time(first.begin)}"
    several = "" if len(found) == 1 else f" in all, the longest {longest}"
    where = f" from {_time(first.begin)}" if len(found) == 1 else ""
    return [(f"▲ {count(len(found), 'gap')}: nothing ran for {_time(total)}{where}{several}", "warn")]


def tail_words(detail: BuildDetail) -> list[TonePart]:
    """What everything waited for at the end."""
    found = tail(detail)
    if found is None:
        return []
    share = 100 * found.seconds / detail.build.seconds if detail.build.seconds else 0.0
    said = f"▲ the last {_time(found.seconds)} ({share:.0f} %) had one job at a time"
    if found.file is None:
        return [(said, "warn")]
    where = f" on {found.file.node}" if found.file.node else ""
    return [(f"{said}: {found.file.file}{where} took {milliseconds(found.file.real_ms)}", "warn")]


def _time(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"
