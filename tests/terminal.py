"""A terminal with a program in it; an emulator says what is seen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from pathlib import Path

import psutil
import pyte

from tests.lab import PATIENCE, until


class Terminal:
    """A terminal with a command in it, as the only job of a shell that passes on how it ended."""

    def __init__(
        self, argv: list[str], cwd: Path | None, environment: dict[str, str], size: tuple[int, int] = (80, 12)
    ) -> None:
        self.columns, rows = size
        self.screen = pyte.HistoryScreen(self.columns, rows, history=500)
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self.sent = b""
        """All that was written to it."""
        self.master, slave = pty.openpty()
        self.resize(self.columns, rows)
        self.settings = termios.tcgetattr(slave)
        """As they were before the command began."""
        self.process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={"PS1": "$ ", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # it becomes theirs
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self.master, 1 << 16):
                with self._lock:
                    self.sent += data
                    self._stream.feed(data)
        except OSError:
            pass  # nobody has it open any more

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        with self._lock:  # what is drawn for the new size must not come to a screen of the old one
            self.screen.resize(rows, columns)
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def rows(self) -> list[str]:
        with self._lock:
            return [row.rstrip() for row in self.screen.display]

    @property
    def everything(self) -> list[str]:
        """What has scrolled away as well."""
        with self._lock:
            gone = ["".join(line[x].data for x in range(self.columns)).rstrip() for line in self.screen.history.top]
        return gone + self.rows

    def wait_for(self, text: str) -> None:
        until(lambda: any(text in row for row in self.everything), f"{text} is not shown")

    def end(self) -> int:
        code = self.process.wait(timeout=PATIENCE)
        self._reader.join(timeout=PATIENCE)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.kill()
        self.process.wait()
        self._reader.join(timeout=10)
        os.close(self.master)
