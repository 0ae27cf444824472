"""The Scheduler view."""

from __future__ import annotations

from tui.view import View


class SchedulerView(View):
    """Scheduler."""

    TITLE = "Scheduler"

    def show(self, now: float) -> None:
        """Draw what has changed."""
