"""A terminal of its own for a program that draws: a pseudo-terminal that is drained, and watched for a text."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Sequence

import psutil

COLUMNS, LINES = 200, 50
KEY_PATIENCE = 10.0


class Terminal:
    """A program in a terminal of COLUMNS × LINES; ends with ``close``."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self._process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment
        )
        os.close(slave)
        self._awaited = b""
        self._tail = b""
        self._shown = threading.Event()
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        try:
            while data := os.read(self._master, 1 << 16):
                awaited = self._awaited
                if awaited and awaited in self._tail + data:
                    self._awaited = b""
                    self._shown.set()
                self._tail = data[-256:]
        except OSError:
            pass  # it has ended

    def cpu(self) -> float:
        """Seconds of processor time so far, of the program and its children."""
        process = psutil.Process(self._process.pid)
        every = [process, *process.children(recursive=True)]
        return sum(sum(each.cpu_times()[:2]) for each in every)

    def answer(self, key: bytes, text: str) -> float:
        """Seconds from a key press until a text is drawn."""
        self._shown.clear()
        self._tail = b""
        self._awaited = text.encode()
        start = time.monotonic()
        os.write(self._master, key)
        if not self._shown.wait(KEY_PATIENCE):
            raise AssertionError(f"the key {key!r} is not answered by {text!r}")
        return time.monotonic() - start

    def close(self) -> None:
        """End the program."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
