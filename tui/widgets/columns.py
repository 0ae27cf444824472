"""Columns: what a table shows of a row, how wide, and in which order rows stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar

from msgspec import Struct

from tui.widgets.lines import Cell
from tui.widgets.safe_text import Align

Row = TypeVar("Row")
Key = TypeVar("Key")

GAP = 1
"""Cells between two columns."""


class Column(Struct, Generic[Row], frozen=True, kw_only=True):
    """One column. ``cell`` must be cheap: it is asked for every visible row at every update."""

    name: str
    """What code and configuration call it."""
    title: str
    """What the header shows."""
    width: int
    """Cells it has when there is room."""
    cell: Callable[[Row], Cell]
    """What is shown: a str, a Text, or a text and its tone or style."""
    value: Callable[[Row], Any] | None = None
    """What is sorted by; None as a value comes last in either direction. Without it the column cannot be sorted by."""
    align: Align = "left"
    min_width: int | None = None
    """How narrow it may become before the table scrolls sideways; ``width`` unless given."""
    elastic: bool = False
    """Takes the room that is left. The last visible column does if none says so."""
    path: bool = False
    """Its texts are paths of files: they are cut on the left."""
    descending: bool = False
    """Sorting by it begins with the greatest."""
    visible: bool = True


def number_column(
    name: str, title: str, width: int, cell: Callable[[Row], Cell], value: Callable[[Row], Any]
) -> Column[Row]:
    """A column of figures: on the right, and the greatest first when it is sorted by."""
    return Column(name=name, title=title, width=width, cell=cell, value=value, align="right", descending=True)


def layout(columns: Sequence[Column[Any]], available: int) -> list[int]:
    """The width of each column when there are ``available`` cells.

    What is missing is taken from the widest that may shrink, from elastic ones only when no other can; what is left
    goes to the elastic ones. The sum with the gaps is greater than ``available`` only when every column is at its
    least.
    """
    widths = [column.width for column in columns]
    spare = available - sum(widths) - GAP * (len(columns) - 1)
    if spare > 0 and columns:
        elastic = [i for i, column in enumerate(columns) if column.elastic] or [len(columns) - 1]
        share, rest = divmod(spare, len(elastic))
        for position, i in enumerate(elastic):
            widths[i] += share + (position < rest)
    least = [column.width if column.min_width is None else min(column.min_width, column.width) for column in columns]
    while spare < 0:
        slack = [(not columns[i].elastic, width - least[i], i) for i, width in enumerate(widths) if width > least[i]]
        if not slack:
            break
        widest = max(slack)[-1]
        widths[widest] -= 1
        spare += 1
    return widths


def ordered(items: Iterable[tuple[Key, Row]], value: Callable[[Row], Any], reverse: bool) -> list[tuple[Key, Row]]:
    """The items sorted by their row's value: stable, those without a value last, whatever the direction.

    Values that cannot be compared with one another are compared as text.
    """
    valued: list[tuple[Any, tuple[Key, Row]]] = []
    without: list[tuple[Key, Row]] = []
    for item in items:
        rank = value(item[1])
        if rank is None:
            without.append(item)
        else:
            valued.append((rank, item))
    try:
        valued.sort(key=itemgetter(0), reverse=reverse)
    except TypeError:
        valued.sort(key=lambda pair: str(pair[0]), reverse=reverse)
    return [item for _, item in valued] + without
