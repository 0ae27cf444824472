"""When garbage is looked for: between two keys rather than while one waits for its answer.

Python looks through all objects whenever enough new ones have come, which takes longer than all that a key costs.
"""

from __future__ import annotations

import gc

KEY_ANSWER_SECONDS = 0.15
"""So long after a key it has its answer, and the next is not to be expected yet."""
NO_KEY_SECONDS = 1.5
"""So long without a key nobody types."""
LEAST_SECONDS, MOST_SECONDS = 4.0, 15.0
"""Between two collections; the second is for those who never stop pressing keys. What is drawn leaves much garbage."""
NEVER = 1_000_000
"""A threshold that is not reached: younger generations are collected as ever."""


class Collector:
    """Collects the oldest generation at moments that are good for it, once it was begun. Times are monotonic."""

    def __init__(self) -> None:
        self._begun = False
        self._settled = False
        self._pressed = 0.0
        self._collected = 0.0

    def begin(self) -> None:
        """Take over from the interpreter, for as long as the process lives."""
        gc.freeze()  # What is loaded by now stays.
        # The oldest generation is collected by `collect` alone; the young ones are small, and quick.
        youngest, young, _ = gc.get_threshold()
        gc.set_threshold(youngest, young, NEVER)
        self._begun = True

    def pressed(self, now: float) -> None:
        """A key or the mouse was used."""
        self._pressed = now

    def wanted(self, now: float) -> bool:
        """Whether it is time, if the moment is good."""
        return self._begun and now - self._collected >= LEAST_SECONDS

    def due(self, now: float, quiet: float) -> bool:
        """Whether it is time, and no key was pressed for so long, or it can be put off no more."""
        since = now - self._collected
        return self.wanted(now) and (now - self._pressed >= quiet or since > MOST_SECONDS)

    def collect(self, now: float, quiet: float = NO_KEY_SECONDS) -> None:
        """Collect if it is due."""
        if not self.due(now, quiet):
            return
        self._collected = now
        gc.collect()
        if not self._settled:
            self._settled = True
            gc.freeze()  # Nor do the widgets go.
