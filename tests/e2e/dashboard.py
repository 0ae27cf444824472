"""The dashboard over a booted lab, in this process and without a terminal, driven by keys."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from farm.attach.farmd import Farmd
from farm.home import Home
from tests.e2e.conftest import Lab
from tui.app import FarmTop
from tui.orders import orders, switch

SIZE = (120, 36)
PATIENCE = 240.0
LOOK_SECONDS = 0.2


class Dashboard:
    """A running one, in the tab Nodes."""

    def __init__(self, app: FarmTop, pilot: Pilot[None]) -> None:
        self._app, self._pilot = app, pilot

    @property
    def lines(self) -> list[str]:
        """What can be read."""
        strips = self._app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    async def shows(self, text: str, beginning: str = "") -> str:
        """Wait until one line begins so, no other does, and a text is in it; returns the line."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [line for line in self.lines if line.lstrip().startswith(beginning)]
            if beginning:
                assert len(found) <= 1, "\n".join(self.lines)
            for line in found:
                if text in line:
                    return line
            assert time.monotonic() < deadline, f"{beginning} {text}: not within {PATIENCE} s\n" + "\n".join(self.lines)
            await self._pilot.pause(LOOK_SECONDS)

    async def order(self, key: str, question: str) -> None:
        """Press a key and say yes to the question that it asks."""
        await self._pilot.press(key)
        await self.shows(question)
        await self._pilot.press("y")

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self._pilot.press(*keys)


@asynccontextmanager
async def watching(lab: Lab) -> AsyncIterator[Dashboard]:
    """The dashboard of a lab, as `farm top --view nodes` shows it."""
    home = Home.at(lab.home)
    app = FarmTop(Farmd(home, orders(home), lambda image: switch(home, image)), view="nodes")
    async with app.run_test(size=SIZE) as pilot:
        yield Dashboard(app, pilot)
