"""How long to wait between tries that go on for ever: on a node, and wherever else the farm tries again."""

from __future__ import annotations

from collections.abc import Iterator


def pauses(shortest: float, longest: float) -> Iterator[float]:
    """Seconds to wait after each failure: ``shortest`` first, then twice as long each time, up to ``longest``."""
    pause = shortest
    while True:
        yield pause
        pause = min(2 * pause, longest)
