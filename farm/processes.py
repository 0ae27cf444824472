"""Processes that are found by a mark in their environment, which they inherit, and not by name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import psutil

ENVIRONMENT_MARK = "FARM_SUPERVISOR"
"""Environment variable of a farm's supervisord and all it starts: the path of its configuration."""


def processes_with_environment(name: str, value: str) -> list[psutil.Process]:
    """Processes whose environment says name=value; those that may not be looked at are left out."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(name) == value:
                found.append(process)
    return found


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """SIGTERM, five seconds, SIGKILL."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=5)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
