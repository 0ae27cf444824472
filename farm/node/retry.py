"""How long to wait between tries that go on for ever: on a node, and wherever else the farm tries again."""

from __future__ import annotations

import os
from collections.abc import Iterator


def pauses(shortest: float, longest: float) -> Iterator[float]:
    """Seconds to wait after each failure: up to ``shortest`` first, then twice as long each time, up to ``longest``.

    Each is between half of that and the whole: a room that lost its server at one moment must not come back in one.
    """
    pause = shortest
    while True:
        # The module random takes 10 ms to import, at each boot of each node.
        yield pause * (0.5 + os.urandom(1)[0] / 510)
        pause = min(2 * pause, longest)
