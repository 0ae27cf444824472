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
_SAVE, _RESTORE = "\x1b7", "\x1b8"
_ERASE_ROW = "\x1b[2K"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


def terminal(environment: Mapping[str, str], stdout: int = 1, stderr: int = 2) -> int | None:
    """The file descriptor of the terminal that a line can be kept on; None where that would be in somebody's way."""
    if environment.get("TERM", "dumb") == "dumb" or environment.get("CI", "") not in ("", "0", "false"):
        return None
    if not (os.isatty(stdout) and os.isatty(stderr)):
        return None  # the rest goes to a file, or through a pager that has the terminal to itself
    return stderr


class LiveLine:
    """The bottom row of a terminal; nothing is drawn while another program has the terminal to itself."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._rows = 0
        """Of the terminal, when the row was reserved; 0 when it is not."""
        self._kept = False
        """Nobody else had the terminal since."""

    def draw(self, text: str) -> None:
        """Show a text without control characters, cut to fit."""
        if not (self._in_foreground() and self._reads_lines()):
            self._kept = False
            return
        columns, rows = os.get_terminal_size(self._terminal)
        if rows < FEWEST_ROWS:
            self.erase()
            return
        self._write(
            ("" if self._kept and rows == self._rows else self._reserve(rows))
            + f"{_SAVE}{_NO_WRAP}\x1b[{rows};1H{_ERASE_ROW}{text[: columns - 1]}{_WRAP}{_RESTORE}"
        )
        self._rows, self._kept = rows, True

    def erase(self) -> None:
        """Give the row back."""
        if self._rows and self._in_foreground():
            self._write(f"{_SAVE}\x1b[r\x1b[{self._rows};1H{_ERASE_ROW}{_RESTORE}")
        self._rows = 0

    def _reserve(self, rows: int) -> str:
        """What makes room at the bottom.

        Index and back up: on the last row this scrolls, everywhere else it does nothing, and the column stays.
        """
        gone = f"{_SAVE}\x1b[r\x1b[{self._rows};1H{_ERASE_ROW}{_RESTORE}" if 0 < self._rows < rows else ""
        return f"{gone}\x1bD\x1b[A{_SAVE}\x1b[1;{rows - 1}r{_RESTORE}"

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
