"""The line above everything: what is watched and how it goes; when something is lost, a banner below it says so."""

from __future__ import annotations

import time
from collections.abc import Iterable

from msgspec import Struct
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from farm.attach import Lost
from farm.view.live import Live
from farm.view.wording import count, duration, rate
from tui.figures import figures
from tui.widgets.safe_text import clean

SEPARATOR = "  "
Part = tuple[str, str]
"""A text and its style."""


class Link(Struct, frozen=True):
    """How the connection to what is watched stands."""

    title: str
    lost: Lost | None = None
    retry: float = 0.0
    """Seconds until the next attempt."""
    paused: bool = False


def headline(live: Live, link: Link) -> list[Part]:
    """The parts of the first line, the most important first."""
    parts: list[Part] = [(f" {clean(link.title)}", "bold")]
    overview = live.overview
    if link.paused:
        parts.append(("‖ paused", "bold $text-warning"))
    if overview is None:
        return [*parts, ("… waiting", "$text-warning") if link.lost is None else ("✖ unreachable", "bold $text-error")]
    if link.lost:
        parts.append(("✖ farmd down", "bold $text-error"))
    elif overview.scheduler.up:
        parts.append(("● scheduler", "$text-success"))
    else:
        parts.append(("✖ scheduler down", "bold $text-error"))
    now = figures(live.samples)
    parts.append((f"{now.busy}/{count(now.slots, 'slot')}", ""))
    parts.append((f"queue {now.pending}", "$text-warning" if now.pending else ""))
    parts.append((f"{rate(now.jobs)} jobs/s", ""))
    if overview.problems:
        number = len(overview.problems)
        parts.insert(2, (f"▲ {count(number, 'problem')}", "bold $text-warning"))
    return parts


def fitting(parts: Iterable[Part], width: int) -> Content:
    """As many parts as fit into ``width`` cells; the first always stands, cut if need be."""
    line = Content("")
    for text, style in parts:
        piece = Content.styled(text, style) if style else Content(text)
        if line.cell_length and line.cell_length + len(SEPARATOR) + piece.cell_length > width:
            break
        line = line + SEPARATOR + piece if line.cell_length else piece
    return line.truncate(width, ellipsis=True) if line.cell_length > width else line


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
