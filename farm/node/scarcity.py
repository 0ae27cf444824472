"""When a machine is nearly out of RAM, which takes all that is written to it as well; asked on it and on the server.

Earlier than `node-full` of the server's problems, which is when something fails: somebody can still do something.
"""

from __future__ import annotations

FILES, MEMORY = "files", "memory"
FILES_SHARE = 0.8
"""Of the RAM that takes writes to the root: more than that is nearly full."""
MEMORY_SHARE, MEMORY_BYTES = 0.1, 512 << 20
"""Of all RAM, and at most so much: less than that available is nearly none."""
AGAIN = 0.8
"""What was scarce is so until this part of its bound is reached again, so that nobody is told twice of one matter."""


def scarce(
    available: int, total: int, written: int, space: int, before: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Which of FILES and MEMORY are nearly used up. All in bytes; 0 for what is not known; ``before``: what was so.

    ``available`` and ``total``: memory; ``written`` and ``space``: the RAM file system that takes writes to the root.
    """
    left = min(MEMORY_SHARE * total, MEMORY_BYTES) / (AGAIN if MEMORY in before else 1)
    full = FILES_SHARE * space * (AGAIN if FILES in before else 1)
    found = {MEMORY} if total and available < left else set()
    return frozenset(found | ({FILES} if space and written > full else set()))
