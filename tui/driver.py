"""The terminal: what is typed, and that it is left as it was found, whatever ends or stops the dashboard.

A lone escape is a key as soon as nothing follows it. Textual looks for that every tenth of a second, and again after
it: escape alone was answered later than all else.

Textual lets TERM, HUP and others end the process at once, which leaves the terminal in mouse mode, and after a stop it
draws only what changes.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType
from typing import IO, Any, cast

from textual import constants
from textual._xterm_parser import XTermParser
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.drivers.web_driver import WebDriver

from farm.cli.end_signals import ENDING

INPUT_POLL_SECONDS = 0.1
INPUT_CHUNK = 4096
BURST_BYTES = 256
BURST_SECONDS = 1.0
"""After so much in one read, a person types nothing else for this long: what comes is the rest of what was pasted."""


class Forgiving:
    """A terminal to write to; what it does not take because it is gone is dropped."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write, or drop it."""
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        """Send what was written."""
        with contextlib.suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        """The file descriptor of the terminal."""
        return self._file.fileno()


class PromptDriver(LinuxDriver):
    """Textual's driver, but for when it looks whether an escape was all, and for signals.

    An escape is all when nothing has followed it for ESCDELAY milliseconds.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._file = cast(Any, Forgiving(cast(IO[str], self._file)))
        self._before: dict[int, Any] = {}

    # -- signals

    def start_application_mode(self) -> None:
        """Take the terminal; from now on a signal that ends the process lets it go first."""
        heeded = [each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN]  # nohup(1) has HUP ignored
        self._before = {each: signal.signal(each, self._end) for each in heeded}
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def stop_application_mode(self) -> None:
        """Let the terminal go, then the signals."""
        super().stop_application_mode()
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def _end(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # the same one again ends it at once
        self._leave(number)

    def _leave(self, number: int) -> None:
        """End the dashboard as this signal would; from any thread."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(partial(self._app.exit, return_code=128 + number))

    def _sigtstp_application(self, *args: object) -> None:
        """Let the terminal go, if we have it, and stop."""
        if self._before:
            super()._sigtstp_application(*args)
        else:
            os.kill(os.getpid(), signal.SIGSTOP)

    def _sigcont_application(self, *args: object) -> None:
        """Take the terminal again: whoever had it meanwhile has drawn on it, and set it otherwise."""
        if self._before:  # SIGSTOP left no time to let it go
            self.suspend_application_mode()
            self._must_signal_resume = True
        if self._must_signal_resume:
            super()._sigcont_application(*args)

    # -- keys

    def run_input_thread(self) -> None:
        """Read, and look again as soon as a sequence that has begun must have come to its end."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            patience = INPUT_POLL_SECONDS
            read, burst_end = 0.0, 0.0
            while not self.exit_event.is_set():
                waited = bool(selector.select(0))  # It came while what was read before was handled: no later than that.
                if waited or selector.select(patience):
                    data = self._read()
                    now = time.monotonic()
                    if not waited and now > burst_end:
                        read = now
                    if len(data) >= BURST_BYTES:
                        burst_end = now + BURST_SECONDS
                    if not data:  # The terminal is gone.
                        self._leave(signal.SIGHUP)
                        return
                    patience = constants.ESCAPE_DELAY
                    for event in parser.feed(decode(data)):
                        event.time = read  # What came together was typed together.
                        self.process_message(event)
                else:
                    read = time.monotonic()
                    patience = INPUT_POLL_SECONDS
                for event in parser.tick():
                    event.time = read
                    self.process_message(event)

    def _read(self) -> bytes:
        with contextlib.suppress(OSError):
            return os.read(self.fileno, INPUT_CHUNK)
        return b""


class PageDriver(WebDriver):
    """Textual's driver for a browser; the dashboard ends with the server that shows it, however that ended."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        write = self._write
        self._write = cast(Any, partial(_suppressed, write))

    def run_input_thread(self) -> None:
        """Read until there is nobody to read from."""
        super().run_input_thread()
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._app.exit)


def _suppressed(write: Callable[[bytes], int], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        write(data)


DRIVERS: Mapping[type[Driver], type[Driver]] = {LinuxDriver: PromptDriver, WebDriver: PageDriver}
"""Textual's, and ours in their place."""
