"""The line above everything: what is watched and how it goes; when something is lost, a banner below it says so."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from farm.attach import Lost
from farm.view.live import Live
from farm.view.wording import count, duration, rate
from tui.figures import Figures, figures, queue_calls
from tui.problem_texts import wrong
from tui.widgets.safe_text import clean

SEPARATOR = "  "


class HeadlinePart(NamedTuple):
    """A piece of the first line; where not all fit, those of the highest rank are left out."""

    text: str
    style: str = ""
    rank: int = 0


class HeadlineFigures(Struct, frozen=True):
    """What the first line says of a farm at one moment."""

    figures: Figures = Figures()
    look: bool = False
    """The queue is long, or does not end."""
    problems: int = 0


class Link(Struct, frozen=True):
    """How the connection to what is watched stands, and what was known when the picture was drawn."""

    title: str
    lost: Lost | None = None
    retry: float = 0.0
    """Seconds until the next attempt."""
    paused: bool = False
    summary: HeadlineFigures = HeadlineFigures()


def summary(live: Live, now: float) -> HeadlineFigures:
    """What is known now."""
    return HeadlineFigures(figures(live.samples), queue_calls(live.samples), len(wrong(live, now)))


def headline(live: Live, link: Link) -> list[HeadlinePart]:
    """The parts of the first line: figures are the last to go, the name goes first."""
    now, found = link.summary.figures, link.summary.problems
    parts = [HeadlinePart(clean(link.title), "bold", 6), _state(live, link, found)]
    if link.paused:
        parts.append(HeadlinePart("‖ paused", "bold $text-warning", 1))
    if live.overview is None:
        return parts
    return [
        *parts,
        HeadlinePart(f"{now.busy}/{count(now.slots, 'slot')}", "", 2),
        HeadlinePart(f"queue {now.pending}", "$text-warning" if link.summary.look else "", 3),
        HeadlinePart(f"{rate(now.jobs)} jobs/s", "", 4),
    ]


def _state(live: Live, link: Link, found: int) -> HeadlinePart:
    """The worst of it; a single sign when nothing is wrong."""
    if link.lost:
        return HeadlinePart("✖ farmd down" if live.overview else "✖ unreachable", "bold $text-error")
    if live.overview is None:
        return HeadlinePart("… waiting", "$foreground-muted")
    if not live.overview.scheduler.up:
        return HeadlinePart("✖ scheduler down", "bold $text-error")
    if found:
        return HeadlinePart(f"▲ {count(found, 'problem')}", "bold $text-warning")
    return HeadlinePart("●", "$text-success")


def fitting(parts: Sequence[HeadlinePart], width: int) -> Content:
    """As many parts as fit into ``width`` cells; what may not be left out is cut if need be."""
    kept = [*parts]
    while len(kept) > 1 and _cells(kept) > width and any(part.rank for part in kept):
        kept.remove(max(kept, key=lambda part: part.rank))
    line = Content(" ") + Content(SEPARATOR).join(
        Content.styled(part.text, part.style) if part.style else Content(part.text) for part in kept
    )
    return line.truncate(width, ellipsis=True) if line.cell_length > width else line


def _cells(parts: Sequence[HeadlinePart]) -> int:
    return 1 + sum(cell_len(part.text) for part in parts) + len(SEPARATOR) * (len(parts) - 1)


def banner(live: Live, link: Link) -> str:
    """What is lost, in a sentence or two; empty when nothing is."""
    seen = f" Data as of {time.strftime('%H:%M:%S', time.localtime(live.time))}." if live.time else ""
    if link.lost:
        again = f"trying again in {duration(link.retry)}." if link.retry >= 0.5 else "trying again."
        return f"▲ farmd is down: {_plain(link.lost.why)}; {again}{seen}"
    if live.overview and not live.overview.scheduler.up:
        scheduler = live.overview.scheduler
        since = f", for {duration(live.time - scheduler.since)}" if scheduler.since else ""
        why = f": {_plain(scheduler.why)}" if scheduler.why else ""
        return f"▲ The scheduler does not answer{since}{why}. Nodes and jobs show old data until it does."
    return ""


def _plain(why: str) -> str:
    return clean(why).rstrip(". ")


class Heading(Vertical):
    """The top of the screen: one line about the farm, and a banner when something is wrong."""

    DEFAULT_CSS = """
    Heading { height: auto; }
    Heading > #headline { height: 1; background: $panel; color: $foreground; }
    Heading > #banner {
        display: none; height: auto; max-height: 3; padding: 0 1;
        background: $error-muted; color: $text-error; text-style: bold;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Content, str] | None = None

    def compose(self) -> ComposeResult:
        """The headline and the banner, each a text."""
        yield Static(id="headline", markup=False)
        yield Static(id="banner", markup=False)

    def show(self, live: Live, link: Link) -> None:
        """Say how things stand."""
        line = fitting(headline(live, link), self.app.size.width)
        lost = banner(live, link)
        if self._shown == (line, lost) or not self.is_mounted:
            return
        self._shown = (line, lost)
        self.query_one("#headline", Static).update(line)
        below = self.query_one("#banner", Static)
        below.display = bool(lost)
        below.update(lost)
