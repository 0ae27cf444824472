"""When keyboard, mouse or touchscreen were last used; what was typed is not looked at."""

from __future__ import annotations

import contextlib
import os
import select

FOLDER = "/dev/input"
PIECE = 4096
MAX_DEVICES = 64


class InputWatch:
    """Reads the kernel's input devices and forgets what it reads; of which there may be none."""

    def __init__(self, folder: str = FOLDER) -> None:
        self.folder = folder
        self._open: dict[str, int] = {}
        """Name of a device → descriptor."""
        self._last: float | None = None

    def last(self, now: float) -> float | None:
        """When there was input last, on the clock of ``now``; the first look counts as input. None: no devices."""
        came = self._follow_devices()
        if not self._open:
            self._last = None
        elif came or self._read() or self._last is None:
            self._last = now
        return self._last

    def _follow_devices(self) -> bool:
        """Open devices that have come, which somebody has plugged in, and close those that have gone."""
        try:
            names = {name for name in os.listdir(self.folder) if name.startswith("event")}
        except OSError:
            names = set()
        for name in self._open.keys() - names:
            os.close(self._open.pop(name))
        new = sorted(names - self._open.keys())[: MAX_DEVICES - len(self._open)]
        for name in new:
            with contextlib.suppress(OSError):  # it has gone again
                self._open[name] = os.open(os.path.join(self.folder, name), os.O_RDONLY | os.O_NONBLOCK)
        return bool(new)

    def _read(self) -> bool:
        """Whether there was input since the last look."""
        ready, _, _ = select.select(list(self._open.values()), [], [], 0)
        return any([_drain(descriptor) for descriptor in ready])


def _drain(descriptor: int) -> bool:
    """Read all that waits; whether there was any. A device that has gone has none."""
    found = False
    with contextlib.suppress(OSError):
        while os.read(descriptor, PIECE):
            found = True
    return found
