"""Whether the greeter can be typed at: it has asked for a name, and nobody has logged in since.

Its process is there seconds before its window, on a slow machine.
"""

from __future__ import annotations

import contextlib
import os
import time

from farm.node.files import read, write

FILE = "/run/farm/greeter"


def put(file: str = FILE) -> None:
    """The greeter asks for a name; the first time counts."""
    if not os.path.exists(file):
        write(file, f"{time.clock_gettime(time.CLOCK_BOOTTIME):.2f}\n")


def remove(file: str = FILE) -> None:
    """Somebody is in, or the display manager starts again."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(file)


def asking_since(file: str = FILE) -> float | None:
    """Seconds from the kernel's start until it asked; None when it does not ask."""
    try:
        return float(read(file))
    except ValueError:
        return None
