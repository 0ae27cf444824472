"""What the dashboard remembers of its user: the theme, the order of tables, and the columns that were chosen."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from farm.errors import NOT_JSON
from farm.home import write_atomic
from farm.workstation.membership import user_folder
from tui.base_view import View
from tui.themes import DEFAULT
from tui.widgets.table import LiveTable

MAX_BYTES = 64 << 10


class Preferences(Struct, frozen=True):
    """All of it; what is empty is as it comes."""

    theme: str = ""
    sort: dict[str, tuple[str | None, bool]] = field(default_factory=dict)
    """Table's id → the column that it is sorted by, and whether the greatest comes first."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Table's id → names of the columns that were chosen for it."""


def remembered_file() -> Path:
    """Where it is kept."""
    return user_folder("XDG_STATE_HOME", ".local/state") / "farm" / "top.json"


def recall(file: Path) -> Preferences:
    """What was kept; of a file that cannot be read, nothing."""
    try:
        with file.open("rb") as opened:
            return msgspec.json.decode(opened.read(MAX_BYTES), type=Preferences)
    except (OSError, *NOT_JSON):
        return Preferences()


def keep(file: Path, remembered: Preferences) -> str:
    """Keep it for the next time; why that failed, or empty."""
    try:
        write_atomic(file, msgspec.json.format(msgspec.json.encode(remembered), indent=2), 0o600)
    except OSError as error:
        return error.strerror or str(error)
    return ""


class PreferenceMemory:
    """What is remembered of one run of the dashboard: read before it, put back, noted at its end, written after it.

    Args:
        file: where it is kept; None: nothing is.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._before = self._now = recall(file) if file else Preferences()
        self._theme = ""
        self._sorted: dict[str, tuple[str | None, bool]] = {}
        """How tables are sorted when nothing is remembered."""

    def begun_with(self, theme: str, known: Container[str]) -> str:
        """The theme to begin with: the one that is asked for, else the remembered one, if it still exists."""
        remembered = self._before.theme if self._before.theme in known else ""
        self._theme = theme or remembered or DEFAULT
        return self._theme

    def restore(self, views: Iterable[View]) -> None:
        """Let tables be as they were."""
        for view in views:
            view.show_own_columns(self._before.columns)
            for table in _tables(view):
                self._sorted[str(table.id)] = table.sorting
                name, reverse = self._before.sort.get(str(table.id), table.sorting)
                if name is None or table.can_sort_by(name):
                    table.sort_by(name, reverse)

    def note(self, views: Iterable[View], theme: str) -> None:
        """Take what was chosen, this time and before."""
        sort, columns = dict(self._before.sort), dict(self._before.columns)
        for view in views:
            columns |= {name: list(those) for name, those in view.own_columns.items()}
            for table in _tables(view):
                if table.id in sort or table.sorting != self._sorted.get(str(table.id)):
                    sort[str(table.id)] = table.sorting
        self._now = Preferences(theme if theme != self._theme else self._before.theme, sort, columns)

    def write(self) -> str:
        """Keep it for the next time; why that failed, or empty."""
        return keep(self._file, self._now) if self._file and self._now != self._before else ""


def _tables(view: View) -> Iterator[LiveTable[Any]]:
    return (table for table in view.query(LiveTable) if table.id)
