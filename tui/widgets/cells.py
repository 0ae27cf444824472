"""Cells on their way to the screen: fitted into their width, joined, marked where a search finds them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tui.widgets.safe_text import Align, clean, fit, fit_path

Part = tuple[str, Style]


def fitted(parts: Sequence[Part], width: int, align: Align, *, path: bool = False) -> Sequence[Part]:
    """The parts of a cell cleaned and together exactly ``width`` cells wide; of a ``path`` the last part is one."""
    if len(parts) == 1:
        text, style = parts[0]
        return (((fit_path if path else fit)(text, width, align), style),)
    if path:
        return _with_path(parts, width)
    out: list[Part] = []
    left = width
    for position, (text, style) in enumerate(parts):
        text = clean(text[: 4 * width + 4])
        length = cell_len(text)
        more = position < len(parts) - 1
        if length > left or (length == left and more):
            out.append((fit(text + "…" if more else text, left), style))
            left = 0
            break
        out.append((text, style))
        left -= length
    space = (" " * left, Style.null())
    return [space, *out] if align == "right" else [*out, space]


def _with_path(parts: Sequence[Part], width: int) -> Sequence[Part]:
    """What stands before the path keeps its place."""
    out: list[Part] = []
    for text, style in parts[:-1]:
        text = fit(text, min(width, cell_len(clean(text))))
        width -= cell_len(text)
        out.append((text, style))
    text, style = parts[-1] if parts else ("", Style.null())
    return [*out, (fit_path(text, width), style)]


def joined(pieces: Iterable[Part]) -> list[Segment]:
    """One segment for each run of the same style: the fewer, the cheaper the line is to paint."""
    line: list[Segment] = []
    run: list[str] = []
    last: Style | None = None
    for text, style in pieces:
        if style is not last and style != last:
            if run:
                line.append(Segment("".join(run), last))
                run = []
            last = style
        if text:
            run.append(text)
    if run:
        line.append(Segment("".join(run), last))
    return line


def marked(line: Iterable[Segment], needle: str, mark: Style) -> list[Segment]:
    """The line with ``mark`` laid on wherever the needle stands, whatever its case."""
    out: list[Segment] = []
    for text, style, _ in line:
        start = 0
        for found in _pattern(needle).finditer(text):
            out.append(Segment(text[start : found.start()], style))
            out.append(Segment(found[0], style + mark if style else mark))
            start = found.end()
        out.append(Segment(text[start:], style))
    return [segment for segment in out if segment.text]


@lru_cache(maxsize=8)
def _pattern(needle: str) -> re.Pattern[str]:
    return re.compile(re.escape(needle), re.IGNORECASE)
