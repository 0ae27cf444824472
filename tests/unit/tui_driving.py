"""A dashboard without a terminal, driven by keys, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot

from tests.unit.tui_fixtures import FakeAttachment
from tui.app import FarmTop

SIZE = (80, 24)


class Clock:
    """Stands still unless it is told to move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def running(
    attachment: FakeAttachment | None = None, size: tuple[int, int] = SIZE, clock: Clock | None = None, **options: Any
) -> AsyncIterator[tuple[FarmTop, Pilot[None]]]:
    app = FarmTop(attachment or FakeAttachment(), clock=clock or Clock(), **options)
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        yield app, pilot


async def settle(app: FarmTop, pilot: Pilot[None]) -> None:
    """All updates are taken in, and drawn."""
    await pilot.pause()
    app.flush()
    await pilot.pause()


async def press(app: FarmTop, pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    app.flush()
    await pilot.pause()


def screen(app: FarmTop) -> str:
    """What can be read."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)


def notes(app: FarmTop) -> str:
    return "\n".join(f"{note.title} {note.message}" for note in app._notifications)
