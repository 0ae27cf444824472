"""The dashboard's shell, driven as a user would."""

from __future__ import annotations

from tests.unit.tui_fixtures import FakeAttachment
from tui.app import FarmTop


async def test_starts() -> None:
    app = FarmTop(FakeAttachment(), clock=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
