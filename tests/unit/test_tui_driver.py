"""What comes from a terminal, read through a real one."""

import asyncio
import os
import threading
import time
import tty
from collections.abc import AsyncIterator

import pytest
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key
from textual.message import Message

from tests.unit.tui_fixtures import FakeAttachment
from tui.app import FarmTop
from tui.driver import PromptDriver

PATIENCE = 60.0
"""Seconds; the limit is there to end a broken test."""


class Terminal(PromptDriver):
    """Keeps the keys that it reads; ``keyboard`` is where a user types."""

    def __init__(self) -> None:
        super().__init__(App[None]())
        self.keyboard, self.fileno = os.openpty()
        tty.setraw(self.fileno)
        self.found: asyncio.Queue[str] = asyncio.Queue()
        self.times: list[float] = []
        self.slow_keys: dict[str, float] = {}
        """Seconds that the dashboard takes for a key."""

    def process_message(self, message: Message) -> None:
        if isinstance(message, Key):
            self.times.append(message.time)
            time.sleep(self.slow_keys.get(message.key, 0))
            self._loop.call_soon_threadsafe(self.found.put_nowait, message.key)

    async def typed(self, data: bytes, number: int = 1) -> list[str]:
        """So many keys, read after this was typed and nothing else."""
        os.write(self.keyboard, data)
        async with asyncio.timeout(PATIENCE):
            return [await self.found.get() for _ in range(number)]


@pytest.fixture
async def terminal() -> AsyncIterator[Terminal]:
    driver = Terminal()
    reader = threading.Thread(target=driver.run_input_thread)
    reader.start()
    yield driver
    driver.exit_event.set()
    await asyncio.to_thread(reader.join, PATIENCE)
    assert not reader.is_alive()
    os.close(driver.keyboard)
    os.close(driver.fileno)


async def test_a_lone_escape_is_a_key_though_nothing_follows(terminal: Terminal) -> None:
    assert ["escape"] == await terminal.typed(b"\x1b")
    assert ["escape"] == await terminal.typed(b"\x1b")


async def test_sequences_are_one_key(terminal: Terminal) -> None:
    assert ["up", "f5", "shift+tab", "escape", "left"] == await terminal.typed(b"\x1b[A\x1b[15~\x1b[Z\x1b\x1b[D", 5)


async def test_what_is_no_text_ends_nothing(terminal: Terminal) -> None:
    assert "q" == (await terminal.typed(b"\xff\xc3q", 3))[-1]


async def test_what_waits_to_be_read_was_not_typed_later(terminal: Terminal) -> None:
    """A paste is longer than one read; until the first part has been handled a question can be on the screen."""
    terminal.slow_keys = {"b": 0.3}
    await terminal.typed(b"b" + b"y" * 6000, 6001)
    assert len(set(terminal.times)) == 1
    terminal.slow_keys = {"n": 0.3}
    writing = asyncio.create_task(terminal.typed(b"n", 2))
    await asyncio.sleep(0.1)
    os.write(terminal.keyboard, b"y")
    assert ["n", "y"] == await writing
    assert terminal.times[-1] == terminal.times[-2]


async def test_what_is_typed_by_hand_has_its_own_time(terminal: Terminal) -> None:
    await terminal.typed(b"b")
    await asyncio.sleep(0.05)
    before = time.monotonic()
    await terminal.typed(b"y")
    assert terminal.times[0] < before <= terminal.times[1]


def test_it_is_what_reads_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    app = FarmTop(FakeAttachment())
    assert app.driver_class is PromptDriver
    monkeypatch.setattr("textual.constants.DRIVER", "textual.drivers.headless_driver:HeadlessDriver")
    assert not issubclass(FarmTop(FakeAttachment()).driver_class, LinuxDriver)
