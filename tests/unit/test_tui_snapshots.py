"""What every part of the dashboard looks like, colours included, against pictures in `__snapshots__`.

After a change that is meant: `pytest tests/unit/test_tui_snapshots.py --snapshot-update`, and look at what has changed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import Struct
from textual.app import App
from textual.pilot import Pilot

from farm.attach import Lost
from farm.view.live import Update
from tests.unit.tui_fixtures import FakeAttachment, scheduler_down, snapshot, with_desks
from tui.app import FarmTop
from tui.themes import DEFAULT

TINY, SMALL, USUAL, LARGE, HUGE = (40, 10), (80, 24), (120, 36), (160, 50), (200, 60)
WHOLE: tuple[Update | Lost, ...] = (snapshot(),)


class Case(Struct, frozen=True):
    """How to come to a picture."""

    keys: tuple[str, ...] = ()
    size: tuple[int, int] = SMALL
    theme: str = DEFAULT
    updates: tuple[Update | Lost, ...] = WHOLE


CASES = {
    "overview": Case(),
    "overview-large": Case(size=LARGE),
    "overview-tiny": Case(size=TINY),
    "overview-huge": Case(size=HUGE),
    "overview-light": Case((), USUAL, "farm-light"),
    "overview-colour-blind": Case((), USUAL, "farm-colour-blind"),
    "overview-problem": Case(("down", "enter")),
    "overview-scheduler-down": Case(updates=(*WHOLE, scheduler_down())),
    "overview-farmd-lost": Case(updates=(*WHOLE, Lost("Connection refused", 3.0))),
    "overview-waiting": Case(updates=()),
    "nodes": Case(("2",)),
    "nodes-large": Case(("2",), LARGE),
    "nodes-tiny": Case(("2",), TINY),
    "nodes-huge": Case(("2",), HUGE),
    "nodes-light": Case(("2",), USUAL, "farm-light"),
    "nodes-colour-blind": Case(("2",), USUAL, "farm-colour-blind"),
    "node": Case(("2", "enter")),
    "node-large": Case(("2", "enter"), LARGE),
    "node-huge": Case(("2", "enter"), HUGE),
    "node-light": Case(("2", "enter"), USUAL, "farm-light"),
    "node-actions": Case(("2", "a")),
    "node-kick": Case(("2", "K")),
    "jobs": Case(("3",)),
    "jobs-large": Case(("3",), LARGE),
    "job": Case(("3", "end", "enter")),
    "job-light": Case(("3", "end", "enter"), USUAL, "farm-light"),
    "job-of-node": Case(("3", "end", "enter", "enter"), USUAL),
    "job-pending": Case(("3", "enter")),
    "timeline": Case(("4",)),
    "timeline-large": Case(("4",), LARGE),
    "timeline-huge": Case(("4",), HUGE),
    "timeline-folded": Case(("4", "Z"), SMALL),
    "timeline-submitters": Case(("4", "w"), USUAL),
    "timeline-submitters-light": Case(("4", "w"), USUAL, "farm-light"),
    "timeline-light": Case(("4",), USUAL, "farm-light"),
    "timeline-colour-blind": Case(("4",), USUAL, "farm-colour-blind"),
    "builds": Case(("5",)),
    "build": Case(("5", "enter")),
    "build-ended": Case(("5", "down", "enter"), USUAL),
    "build-huge": Case(("5", "down", "enter"), HUGE),
    "build-light": Case(("5", "down", "enter"), USUAL, "farm-light"),
    "builds-compared": Case(("5", "space", "down", "space", "c"), USUAL),
    "builds-compared-small": Case(("5", "space", "down", "space", "c"), SMALL),
    "builds-compared-huge": Case(("5", "space", "down", "space", "c"), HUGE),
    "builds-compared-colour-blind": Case(("5", "space", "down", "space", "c"), USUAL, "farm-colour-blind"),
    "boot": Case(("6",)),
    "boot-large": Case(("6",), LARGE),
    "scheduler": Case(("7",)),
    "scheduler-large": Case(("7",), LARGE),
    "sessions": Case(("8",), updates=(*WHOLE, with_desks())),
    "sessions-large": Case(("8",), LARGE, updates=(*WHOLE, with_desks())),
    "sessions-failed": Case(("8", "F", "F"), USUAL, "farm-light", (*WHOLE, with_desks())),
    "desk": Case(("8", "enter"), updates=(*WHOLE, with_desks())),
    "desk-large": Case(("8", "enter"), LARGE, updates=(*WHOLE, with_desks())),
    "fat-desk": Case(("8", "down", "down", "enter"), updates=(*WHOLE, with_desks())),
    "fat-desk-large": Case(("8", "down", "down", "enter"), LARGE, updates=(*WHOLE, with_desks())),
    "overview-desks": Case(updates=(*WHOLE, with_desks())),
    "overview-desks-large": Case((), LARGE, updates=(*WHOLE, with_desks())),
    "nodes-desks": Case(("2",), LARGE, updates=(*WHOLE, with_desks())),
    "submitters": Case(("9",)),
    "submitters-large": Case(("9",), LARGE),
    "help": Case(("2", "question_mark"), USUAL),
}


@pytest.mark.parametrize("name", CASES)
def test_looks_as_before(name: str, snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    case = CASES[name]
    app = FarmTop(FakeAttachment(case.updates), theme=case.theme, clock=lambda: 100.0)

    async def settle(pilot: Pilot[None]) -> None:
        for _ in range(3):  # a view asks for builds, then draws them
            await pilot.pause()
            app.flush()
        await pilot.pause()

    async def come_to(pilot: Pilot[None]) -> None:
        await settle(pilot)
        for key in case.keys:
            await pilot.press(key)
            await settle(pilot)

    picture: App[None] = app
    assert snap_compare(picture, terminal_size=case.size, run_before=come_to)
