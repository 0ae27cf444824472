"""The line above a table of records that were asked for."""

from __future__ import annotations

from textual.widgets import Static

from farm.errors import FarmError
from tui.widgets.safe_text import clean


class RecordsLine(Static):
    """What is known of the records, or why they could not be had."""

    DEFAULT_CSS = """
    RecordsLine {
        height: 1; color: $foreground-muted; padding: 0 1;
        &.-wrong { height: auto; max-height: 3; color: $text-error; text-style: bold; }
    }
    """

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._said = ""

    def tell(self, said: str, error: FarmError | None) -> None:
        """Show ``said``, unless there is an error, which then counts; nothing is drawn again that is there already."""
        if error:
            said = " ".join(part for part in ("✗", error.what, error.why, error.fix) if part)
        if said != self._said:
            self._said = said
            self.set_class(error is not None, "-wrong")
            self.update(clean(said))
