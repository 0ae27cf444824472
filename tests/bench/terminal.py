"""A terminal of its own for a program that draws: a pseudo-terminal, drained, and on demand read as a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence

import psutil
import pyte

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
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._reading = False
        """Whether what is drawn is understood, which costs time, or thrown away."""
        self._lock = threading.Lock()
        self.drawn = 0
        """Bytes so far."""
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        try:
            while data := os.read(self._master, 1 << 16):
                self.drawn += len(data)
                if self._reading:
                    with self._lock:
                        self._stream.feed(data)
        except OSError:
            pass  # it has ended

    def text(self) -> str:
        """What the screen shows, if it has been read since ``read``."""
        with self._lock:
            return "\n".join(self._screen.display)

    def cpu(self) -> float:
        """Seconds of processor time so far, of the program that ``ip netns exec`` has become, and its children."""
        process = psutil.Process(self._process.pid)
        every = [process, *process.children(recursive=True)]
        return sum(sum(each.cpu_times()[:2]) for each in every)

    def answer(self, key: bytes, shows: Callable[[str], bool]) -> float:
        """Seconds from a key press until the screen shows something, which it must not show yet."""
        self._reading = True
        assert not shows(self.text())
        start = time.monotonic()
        os.write(self._master, key)
        while not shows(self.text()):
            if time.monotonic() - start > KEY_PATIENCE:
                raise AssertionError(f"the key {key!r} is not answered:\n{self.text()}")
            time.sleep(0.002)
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
