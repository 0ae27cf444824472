"""One line at the bottom of the terminal while a command runs in the rest of it.

The command writes to the terminal by itself: the bottom row is kept out of its reach by the terminal's scrolling region
(DECSTBM), as apt does. A line is drawn with one write, and leaves the cursor where it was.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from collections.abc import Mapping

FEWEST_ROWS = 6
LINE_MARK = "FARM_RUN_LINE"
"""Environment variable of a command: where its `farm run` keeps a line."""
_SAVE, _RESTORE = "\x1b7", "\x1b8"
_PLAIN = "\x1b[?6l\x1b[m\x1b(B"
"""Rows counted from the top, no colour, letters; `_RESTORE` gives the command back what it had."""
_ERASE_ROW = "\x1b[2K"


def terminal(environment: Mapping[str, str], stdout: int = 1, stderr: int = 2) -> int | None:
    """The file descriptor of the terminal that a line can be kept on; None where that would be in somebody's way."""
    if environment.get("TERM", "dumb") == "dumb" or environment.get("CI", "") not in ("", "0", "false"):
        return None
    if not (os.isatty(stdout) and os.isatty(stderr)):
        return None  # the rest goes to a file, or through a pager that has the terminal to itself
    if environment.get(LINE_MARK) == _place(stderr):
        return None  # a farm run around this one has its line there, and counts these jobs, too
    return stderr


def marked(terminal: int) -> dict[str, str]:
    """What tells a `farm run` inside the command that this terminal has its line."""
    return {LINE_MARK: _place(terminal)}


def _place(descriptor: int) -> str:
    """A terminal and our process group: a shell's jobs have groups of their own."""
    return f"{os.fstat(descriptor).st_rdev} {os.getpgrp()}"


class LiveLine:
    """The bottom row of a terminal; nothing is drawn while another program has the terminal to itself."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._rows = 0
        """Of the terminal, when the row was reserved; 0 when it is not."""

    def draw(self, text: str) -> None:
        """Show a text of ASCII letters, cut to fit.

        The row is reserved again each time: the command may have reset the terminal, or another program that it called
        may have given the row back.
        """
        if not (self._in_foreground() and self._reads_lines()):
            return
        columns, rows = os.get_terminal_size(self._terminal)
        if rows < FEWEST_ROWS:
            self.erase()
            return
        self._write(
            f"{self._make_room(rows)}{_SAVE}\x1b[1;{rows - 1}r{_PLAIN}\x1b[{rows};1H{_ERASE_ROW}"
            f"{text[: columns - 1]}{_RESTORE}"
        )
        self._rows = rows

    def erase(self) -> None:
        """Give the row back."""
        if self._rows and self._in_foreground():
            self._write(f"{_SAVE}\x1b[r{_PLAIN}\x1b[{self._rows};1H{_ERASE_ROW}{_RESTORE}")
        self._rows = 0

    def _make_room(self, rows: int) -> str:
        """What moves the text up where the cursor is on the last row.

        Index and back up, without a scrolling region: on the last row this scrolls, elsewhere it does nothing, and
        the column stays.
        """
        old = f"{_PLAIN}\x1b[{self._rows};1H{_ERASE_ROW}" if 0 < self._rows < rows else ""
        return f"{_SAVE}\x1b[r{old}{_RESTORE}\x1bD\x1b[A"

    def _in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._terminal) == os.getpgrp()
        except OSError:
            return False

    def _reads_lines(self) -> bool:
        """No program takes keys one by one, as an editor, a pager or a menu does."""
        try:
            return bool(termios.tcgetattr(self._terminal)[3] & termios.ICANON)
        except termios.error:
            return False

    def _write(self, text: str) -> None:
        sys.stderr.flush()
        # Should the shell take the terminal away just now, the write must not stop us.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):
                os.write(self._terminal, text.encode(errors="replace"))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
