"""The spare iceccd: opened while nobody uses the machine, and closed, once its jobs have ended, when somebody comes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Literal

from farm.node.files import read

UNIT = "iceccd-spare.service"
NOTICE_SECONDS = 7.0
"""iceccd looks at its memory every 3 s: so long after it was shown none, the scheduler gives it no job any more."""
AGAIN_SECONDS = 5.0
"""Between attempts to start it."""

State = Literal["closed", "open", "closing"]
Order = Callable[[Sequence[str]], str]
"""Gives systemd an order, and returns what it says; raises OSError."""


def order_systemd(words: Sequence[str]) -> str:
    """Run systemctl; raises OSError when that fails."""
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError("systemctl does not answer") from error
    if done.returncode:
        raise OSError(done.stderr.strip()[:200] or f"systemctl's exit code {done.returncode}")
    return done.stdout


class SpareDaemon:
    """Its state; what it takes is told by the memory that it is shown (`farm.node.desk.job_memory`)."""

    def __init__(self, order: Order = order_systemd, proc: str = "/proc") -> None:
        self._order = order
        self._proc = proc
        # One that an earlier process of ours has left may run: it is closed as it should be, or found open.
        self.state: State = "closing"
        self.jobs = 0
        """That it still runs, while it is closing."""
        self._closing_since = float("-inf")
        self._tried = float("-inf")

    def follow(self, wanted: bool, now: float) -> None:
        """Open it, or bring it closer to being closed. ``now``: of the monotonic clock."""
        try:
            if wanted:
                self._open(now)
            else:
                self._close(now)
        except OSError as error:
            sys.stderr.write(f"farm-desk: {UNIT}: {error}\n")
            sys.stderr.flush()

    def _open(self, now: float) -> None:
        if self.state == "open" or now - self._tried < AGAIN_SECONDS:
            return
        self._tried = now
        # It may still run: then this does nothing.
        self._order(["start", "--no-block", UNIT])
        self.state, self.jobs, self._tried = "open", 0, float("-inf")

    def _close(self, now: float) -> None:
        if self.state == "open":
            self.state, self._closing_since = "closing", now
        if self.state == "closing":
            self.jobs = self._count_jobs()
            if not self.jobs and now - self._closing_since >= NOTICE_SECONDS:
                self._order(["stop", "--no-block", UNIT])
                self.state = "closed"

    def _count_jobs(self) -> int:
        """It forks for each job."""
        pid = self._order(["show", "--property=MainPID", "--value", UNIT]).strip()
        return len(read(f"{self._proc}/{pid}/task/{pid}/children").split()) if pid.isdecimal() and pid != "0" else 0
