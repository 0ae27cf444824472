"""How the command line speaks: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from farm.cli.end_signals import ENDING
from farm.errors import FarmError
from farm.printable import printable_lines


class PrintableConsole(Console):
    """A console whose texts may come from strangers: nothing in them reaches the terminal that it would obey."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is to be printed; Rich's own control sequences are left as they are."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n" or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)


HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"
TAKE_SCREEN, RELEASE_SCREEN = b"\x1b[?1049h\x1b[H" + HIDE_CURSOR, b"\x1b[?1049l" + SHOW_CURSOR
NO_READER = 141
"""The exit code where nobody reads the output any more, as a shell tells SIGPIPE."""

out = PrintableConsole(highlight=False)
err = PrintableConsole(stderr=True, highlight=False)


def draws(console: Console) -> bool:
    """Whether what stands on the console can be drawn over."""
    return console.is_terminal and not console.is_dumb_terminal


class Drawing(Live):
    """Rich's, but a signal that ends or stops the process leaves the terminal as it was. In the main thread only."""

    _handled: dict[int, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        screen = bool(options.get("screen"))
        self._take, self._release = (TAKE_SCREEN, RELEASE_SCREEN) if screen else (HIDE_CURSOR, SHOW_CURSOR)
        self._handled = {}

    def start(self, refresh: bool = False) -> None:
        """Begin to draw; from now on a signal that ends or stops the process lets the terminal go first."""
        # Before anything is drawn: who sees something may stop it at once.
        if draws(self.console):
            free = [each for each in (*ENDING, signal.SIGTSTP) if signal.getsignal(each) is signal.SIG_DFL]
            self._handled = {each: signal.signal(each, self._end) for each in free}
        super().start(refresh)

    def stop(self) -> None:
        """Draw for the last time."""
        for each in self._handled:
            signal.signal(each, signal.SIG_DFL)
        self._handled = {}
        super().stop()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._write(self._release)
        if number == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)
            self._write(self._take)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _write(self, sequence: bytes) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            os.write(self.console.file.fileno(), sequence)


def end_with_reader() -> None:
    """From now on end at once when nobody reads standard output any more, as in ``… | head``.

    A program that writes now and then learns of it late otherwise, and one that waits for news never does.
    """

    def watch() -> None:
        reader = select.poll()
        reader.register(sys.stdout, 0)  # that it has gone is told unasked
        if any(what & (select.POLLERR | select.POLLHUP) for _, what in reader.poll()):
            os._exit(NO_READER)

    with contextlib.suppress(OSError, ValueError):  # it is no file
        sys.stdout.fileno()
        threading.Thread(target=watch, daemon=True).start()


def show_json(data: Any) -> None:
    """Print data for a script."""
    out.file.write(json.dumps(data, indent=2) + "\n")


def error_json(error: FarmError | None) -> dict[str, str] | None:
    """An error for scripts, which know the fix under a name of old."""
    return None if error is None else {"what": error.what, "why": error.why, "mend": error.fix}


def show_error(error: FarmError) -> None:
    """What, why, and the fix; nothing in it is taken for markup."""
    err.print(Text.assemble(("Error: ", "bold red"), error.what), soft_wrap=True)
    if error.why:
        err.print(Text(error.why, style="dim"), soft_wrap=True)
    if error.fix:
        err.print(Text.assemble(("→ ", "bold green"), error.fix), soft_wrap=True)


@contextmanager
def step_display() -> Iterator[Callable[[str, str], None]]:
    """Shows steps as they are taken: finished ones with their time, the present one with what is being done in it."""
    display = _Steps()
    if not draws(err):
        yield display.print_line
        return
    with Drawing(display, console=err, refresh_per_second=8, transient=True):
        yield display.report


class _Steps:
    def __init__(self) -> None:
        self.step = ""
        self.doing = ""
        self.started = self.step_started = time.monotonic()

    def report(self, step: str, doing: str) -> None:
        if step and step != self.step:
            if self.step:
                err.print(Text(f"  {self.step:<42}{time.monotonic() - self.step_started:6.1f} s", style="dim"))
            self.step, self.step_started = step, time.monotonic()
        self.doing = doing

    def print_line(self, step: str, doing: str) -> None:
        """Without a terminal: a line per step."""
        if step and step != self.step:
            self.step = step
            err.print(Text(f"{time.monotonic() - self.started:7.1f} s  {step}: {doing}"))

    def __rich__(self) -> Group:
        elapsed = time.monotonic() - self.step_started
        return Group(
            Spinner("dots", Text.assemble((f"{self.step}", "bold"), f"  {elapsed:.0f} s")),
            Text(f"  {self.doing}", style="dim", no_wrap=True, overflow="ellipsis"),
        )
