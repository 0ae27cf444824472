"""A terminal of its own for a program that draws: a pseudo-terminal that is drained, and watched for a text."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

COLUMNS, LINES = 200, 50
KEY_PATIENCE = 10.0
TAIL = 4096
"""Bytes before a piece of output in which a text may have begun."""


@dataclass(frozen=True)
class Answer:
    """Seconds from a key press until its answer was drawn."""

    key: str
    """What it did, for a reader."""
    total: float
    worked: float
    """Of the total: processor time of the program's main thread."""
    waited: float
    """Of the total: the main thread could have gone on, but another program had the processor."""


class Terminal:
    """A program in a terminal of COLUMNS × LINES; ends with ``close``."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._state = tempfile.TemporaryDirectory()  # what the dashboard remembers of another run would change this one
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment["XDG_STATE_HOME"] = self._state.name
        self._process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment
        )
        os.close(slave)
        self._awaited: re.Pattern[bytes] | None = None
        self._tail = b""
        self._answered = 0.0
        self._shown = threading.Event()
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        try:
            while data := os.read(self._master, 1 << 16):
                seen = self._tail + data
                if self._awaited is not None and self._awaited.search(seen):
                    self._awaited = None
                    self._answered = time.monotonic()
                    self._shown.set()
                self._tail = seen[-TAIL:]
        except OSError:
            pass  # it has ended

    def cpu(self) -> float:
        """Seconds of processor time so far, of the program and its children."""
        process = psutil.Process(self._process.pid)
        every = [process, *process.children(recursive=True)]
        return sum(sum(each.cpu_times()[:2]) for each in every)

    def answer(self, name: str, key: bytes, text: str) -> Answer:
        """Press a key, and wait until what matches ``text`` (a regular expression) is drawn.

        It must be something that only the answer draws.
        """
        self._shown.clear()
        self._tail = b""
        self._awaited = re.compile(text.encode())
        worked, waited = self._main_thread()
        start = time.monotonic()
        os.write(self._master, key)
        if not self._shown.wait(KEY_PATIENCE):
            raise AssertionError(f"the key {key!r} ({name}) is not answered by {text!r}")
        worked_now, waited_now = self._main_thread()
        return Answer(name, self._answered - start, worked_now - worked, waited_now - waited)

    def _main_thread(self) -> tuple[float, float]:
        """Seconds on a processor, and runnable without one (proc(5): schedstat)."""
        pid = self._process.pid
        worked, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
        return int(worked) / 1e9, int(waited) / 1e9

    def close(self) -> None:
        """End the program."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
        self._state.cleanup()
