"""The Jobs view."""

from __future__ import annotations

from tui.view import View


class JobsView(View):
    """Jobs."""

    TITLE = "Jobs"

    def show(self, now: float) -> None:
        """Draw what has changed."""
