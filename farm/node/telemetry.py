"""How a node is doing, asked of the kernel by psutil: as data for farmd, as text for Prometheus."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

import psutil

from farm.node import VERSION
from farm.node.environments import FOLDER, Environments

FRESH_SECONDS = 1.0
"""Younger answers are given again: however many ask, the node looks at most so often."""
MAX_SENSORS = 32


class Iceccd:
    """Finds iceccd's process, and keeps it as long as it lives."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None

    def find(self) -> psutil.Process | None:
        """The daemon (the oldest, since it forks for each job), or None when it does not run."""
        if self._process is None or not self._lives(self._process):
            processes = psutil.process_iter(["name", "create_time"])
            found = [process for process in processes if process.info["name"] == "iceccd"]
            self._process = min(found, key=lambda process: process.info["create_time"], default=None)
        return self._process

    @staticmethod
    def _lives(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False


class Telemetry:
    """Takes snapshots of this machine; safe to call from several threads.

    ``node``: what `configure` left in /run/farm/node.json. ``overlay``: the RAM file system that takes all writes.
    ``environments``: iceccd's folder.
    """

    def __init__(self, node: dict[str, Any], overlay: str = "/run/farm/upper", environments: str = FOLDER) -> None:
        self.node = node
        self.overlay = overlay
        self.environments = Environments(environments)
        self.iceccd = Iceccd()
        self._lock = threading.Lock()
        self._taken = 0.0
        self._last: dict[str, Any] = {}
        psutil.cpu_percent(percpu=True)  # percentages count from here

    def snapshot(self) -> dict[str, Any]:
        """The answer to /status.json (schema 1); bytes, seconds, degrees Celsius, percent of one processor."""
        with self._lock:
            if not self._last or time.monotonic() - self._taken >= FRESH_SECONDS:
                self._last = self._look()
                self._taken = time.monotonic()
            return self._last

    def _look(self) -> dict[str, Any]:
        process = self.iceccd.find()
        memory = psutil.virtual_memory()
        boot = dict(self.node["boot"])
        if process is not None:
            boot["iceccd"] = round(max(0.0, process.create_time() - psutil.boot_time()), 2)
        return {
            "schema": 1,
            "version": VERSION,
            "uptime": round(time.clock_gettime(time.CLOCK_BOOTTIME), 2),
            **{key: self.node[key] for key in ("farm", "name", "mac", "image", "slots")},
            "stage": "agent" if process is None else "ready",
            "iceccd": process is not None,
            "boot": boot,
            "cpu": {"percent": psutil.cpu_percent(percpu=True)},
            "load": list(os.getloadavg()),
            "memory": {"total": memory.total, "available": memory.available},
            "overlay": _fill(self.overlay),
            "environments": self.environments.look(),
            "network": _traffic(self.node["nic"]),
            "temperatures": _temperatures(),
        }

    @staticmethod
    def cpu_seconds() -> list[dict[str, float]]:
        """What each processor has spent its time on since the machine started."""
        return [
            {mode: getattr(times, mode) for mode in ("user", "system", "idle", "iowait", "steal")}
            for times in psutil.cpu_times(percpu=True)
        ]


def _fill(path: str) -> dict[str, int]:
    try:
        stat = os.statvfs(path)
    except OSError:
        return {"total": 0, "used": 0}
    return {"total": stat.f_blocks * stat.f_frsize, "used": (stat.f_blocks - stat.f_bfree) * stat.f_frsize}


def _traffic(nic: str) -> dict[str, Any]:
    counters = psutil.net_io_counters(pernic=True).get(nic)
    received, sent = (counters.bytes_recv, counters.bytes_sent) if counters else (0, 0)
    return {"nic": nic, "received": received, "sent": sent}


def _temperatures() -> dict[str, float]:
    """Sensor → degrees; a virtual machine has none."""
    found: dict[str, float] = {}
    for chip, sensors in psutil.sensors_temperatures().items():
        for number, sensor in enumerate(sensors):
            if len(found) < MAX_SENSORS:
                found[f"{chip} {sensor.label or number}"] = sensor.current
    return found
