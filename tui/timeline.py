"""The Timeline view."""

from __future__ import annotations

from tui.view import View


class TimelineView(View):
    """Timeline."""

    TITLE = "Timeline"

    def show(self, now: float) -> None:
        """Draw what has changed."""
