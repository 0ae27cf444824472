"""A curve in one line of text, and figures that are three lines high."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil

from rich.segment import Segment
from rich.style import Style
from textual.renderables.digits import Digits

LEVELS = "▁▂▃▄▅▆▇█"
NOTHING = "▁"
BIG_LINES = 3


def spark(values: Sequence[float | None], top: float) -> list[tuple[str, bool]]:
    """A character for each value between 0 and ``top``, as runs, each with whether anything is there.

    Zero is the lowest level and counts as nothing, None is blank; a little is not nothing.
    """
    runs: list[tuple[str, bool]] = []
    for value in values:
        some = value is not None and value > 0 and top > 0
        text = " " if value is None else LEVELS[ceil(min(8.0, 8 * value / top)) - 1] if some else NOTHING
        if runs and runs[-1][1] == some:
            runs[-1] = (runs[-1][0] + text, some)
        else:
            runs.append((text, some))
    return runs


@lru_cache(maxsize=256)
def big(figure: str) -> list[str]:
    """A figure in digits that are three lines high; all lines have the same number of cells."""
    drawn = Digits(figure).render(Style(bold=True))
    lines = Segment.split_lines(piece for piece in drawn if isinstance(piece, Segment))
    texts = ["".join(segment.text for segment in line) for line in lines]
    width = max(map(len, texts), default=0)
    return [text.ljust(width) for text in texts[:BIG_LINES]]
