"""The process of a daemon on this node."""

from __future__ import annotations

import contextlib

import psutil


class Process:
    """Finds a daemon's process by its name, and keeps it as long as it lives."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: psutil.Process | None = None

    def find(self) -> psutil.Process | None:
        """The daemon (the oldest of that name: some fork for each job), or None when it does not run."""
        if self._process is None or not self._lives(self._process):
            processes = psutil.process_iter(["name", "create_time"])
            found = [process for process in processes if process.info["name"] == self.name]
            self._process = min(found, key=lambda process: process.info["create_time"], default=None)
        return self._process

    def started(self) -> float | None:
        """Seconds from the kernel's start to the daemon's; None when it does not run."""
        process = self.find()
        return None if process is None else round(max(0.0, process.create_time() - psutil.boot_time()), 2)

    @staticmethod
    def _lives(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False
