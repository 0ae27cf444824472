"""A question at the greeter that nobody has to answer: the log-in goes on beside it.

The greeter starts a session only after it has asked something, and PAM waits for an answer. A process of its own does
that: what it says to the greeter goes through the same pipe. When somebody types a name instead, the display manager
ends this log-in and starts another one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator

from farm.node.files import read

POLL_SECONDS = 0.02
ASKED_SECONDS = 5.0
"""In which the question is on its way."""


class OpenQuestion:
    """The question, asked by a process with this id."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ends = os.pidfd_open(pid)

    def wait(self, seconds: float | None) -> bool:
        """Wait so long (None: for ever), or until it is answered; whether it is, now or before."""
        return bool(select.select([self._ends], [], [], seconds)[0])

    def wait_until_asked(self) -> None:
        """Until its process waits for the answer: two must not speak at once."""
        end = time.monotonic() + ASKED_SECONDS
        while not self.wait(POLL_SECONDS) and not self._asleep() and time.monotonic() < end:
            pass

    def close(self) -> None:
        """Nobody answers any more."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._ends)

    def _asleep(self) -> bool:
        return read(f"/proc/{self._pid}/stat").rpartition(") ")[2].startswith("S")


@contextlib.contextmanager
def open_question(ask: Callable[[], object]) -> Iterator[OpenQuestion]:
    """Ask, and go on without waiting for the answer."""
    pid = os.fork()
    if pid == 0:
        try:
            ask()
        finally:
            os._exit(0)
    question = OpenQuestion(pid)
    try:
        question.wait_until_asked()
        yield question
    finally:
        question.close()
