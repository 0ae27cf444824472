"""The Boot view."""

from __future__ import annotations

from tui.view import View


class BootView(View):
    """Boot."""

    TITLE = "Boot"

    def show(self, now: float) -> None:
        """Draw what has changed."""
