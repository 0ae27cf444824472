"""The Builds view."""

from __future__ import annotations

from tui.view import View


class BuildsView(View):
    """Builds."""

    TITLE = "Builds"

    def show(self, now: float) -> None:
        """Draw what has changed."""
