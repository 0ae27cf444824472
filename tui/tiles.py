"""The tiles of the overview: how much is going on, as five figures with their last minute."""

from __future__ import annotations

from collections.abc import Sequence

from farm.view.desks import desk_totals
from farm.view.live import Live
from farm.view.wording import duration, rate, size
from farm.watch.activity import Sample
from tui.figures import Figures, covered, efficiency, ended, figures, queue_calls, rates, window
from tui.widgets.raster import Point
from tui.widgets.tile_row import Tile

EFFICIENCY_SECONDS = 300.0
"""Seconds that the efficiency covers."""
CURVE_SECONDS = 60.0
UNITS = ("slots", "queued", "jobs/s", "local/s", "% efficient")


def tiles(live: Live) -> list[Tile]:
    """Slots, queue, jobs, local jobs, efficiency."""
    if not live.samples:
        return [Tile("–", unit) for unit in UNITS]
    now = figures(live.samples)
    points = window(live.samples, EFFICIENCY_SECONDS)
    recent = window(points, CURVE_SECONDS)
    desks = desk_totals(live.nodes.values())
    return [
        Tile(
            f"{now.busy}",
            f"/ {now.slots} slots",
            f"desks {desks.in_use} of {desks.known}" if desks.known else "",
            [(s.time, float(s.busy)) for s in recent],
            max((float(s.slots) for s in recent), default=0.0) or None,
        ),
        Tile(
            f"{now.pending}",
            "queued",
            "",
            [(s.time, float(s.pending)) for s in recent],
            tone="warn" if queue_calls(live.samples) else None,
        ),
        Tile(rate(now.jobs), "jobs/s", f"{size(now.bytes)}/s", rates(recent, ended)),
        _local(now, recent),
        _efficiency(points, recent),
    ]


def _local(now: Figures, recent: Sequence[Sample]) -> Tile:
    """What nodes are spared, or kept from."""
    return Tile(rate(now.locals), "local/s", f"{now.local} now", rates(recent, lambda totals: totals.local))


def _efficiency(points: Sequence[Sample], recent: Sequence[Sample]) -> Tile:
    used = efficiency(points)
    shares: list[Point] = [(s.time, min(1.0, s.busy / s.slots)) for s in recent if s.slots]
    if used is None:
        return Tile("–", "% efficient", "", shares, 1.0)
    return Tile(f"{100 * used:.0f}", "% efficient", f"over {duration(covered(points))}", shares, 1.0)
