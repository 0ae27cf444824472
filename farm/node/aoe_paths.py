"""Further ways to an AoE root: servers that come later, or with another card, are found only when asked for again."""

from __future__ import annotations

import contextlib

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself takes long to import
    import threading

LOOK_SECONDS = 60.0
DISCOVER = "/dev/etherd/discover"
"""What is written there lets the driver ask the network for targets (Linux Documentation/admin-guide/aoe)."""


def look_again(stop: threading.Event) -> None:
    """Let the kernel ask for targets each minute, until told to stop."""
    while not stop.wait(LOOK_SECONDS):
        with contextlib.suppress(OSError), open(DISCOVER, "w") as file:
            file.write("discover")
