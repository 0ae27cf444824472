"""What every view of the dashboard is: a part of the screen that is handed the present state when it is visible."""

from __future__ import annotations

from textual.containers import Vertical

from farm.attach import Attachment
from farm.view.live import Live


class View(Vertical):
    """One tab. It gets `show` with what is known, at the refresh rate and only while it can be seen."""

    TITLE = ""
    """On its tab."""

    def __init__(self, attachment: Attachment, live: Live) -> None:
        super().__init__(id=self.TITLE.lower())
        self.attachment = attachment
        self.live = live

    def show(self, now: float) -> None:
        """Draw what has changed; ``now``: Unix time by the clock of whoever sent the state."""
        raise NotImplementedError
