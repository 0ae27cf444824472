"""How a node is doing, asked of the kernel by psutil: as data for farmd, as text for Prometheus."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import psutil

from farm.node import VERSION
from farm.node.roles import load

SAMPLE_SECONDS = 1.0
"""Younger answers are given again: however many ask, the node looks at most so often."""
MAX_SENSORS = 32


class Sampler:
    """Takes snapshots of this machine; safe to call from several threads.

    ``node``: what `configure` left in /run/farm/node.json. ``overlay``: the RAM file system that takes all writes.
    """

    def __init__(self, node: dict[str, Any], overlay: str = "/run/farm/upper") -> None:
        self.node = node
        self.overlay = overlay
        self.roles = {name: load(name) for name in node["roles"]}
        self.probes = {name: role.probe(node["roles"][name]) for name, role in self.roles.items()}
        self._lock = threading.Lock()
        self._taken = 0.0
        self._last: dict[str, Any] = {}
        psutil.cpu_percent(percpu=True)  # percentages count from here

    def snapshot(self) -> dict[str, Any]:
        """The answer to /status.json (schema 1); bytes, seconds, degrees Celsius, percent of one processor."""
        with self._lock:
            if not self._last or time.monotonic() - self._taken >= SAMPLE_SECONDS:
                self._last = self._look()
                self._taken = time.monotonic()
            return self._last

    def _look(self) -> dict[str, Any]:
        memory = psutil.virtual_memory()
        sections = {name: probe.look() for name, probe in self.probes.items()}
        boot = dict(self.node["boot"])
        for probe in self.probes.values():
            boot.update(probe.stages())
        told = {
            "schema": 1,
            "version": VERSION,
            "uptime": round(time.clock_gettime(time.CLOCK_BOOTTIME), 2),
            **{key: self.node[key] for key in ("farm", "name", "mac", "image", "root", "boot_id")},
            "stage": "ready" if all(section["ready"] for section in sections.values()) else "agent",
            "boot": boot,
            "files": self.node.get("files", {}),
            "cpu": {"percent": psutil.cpu_percent(percpu=True)},
            "load": list(os.getloadavg()),
            "memory": {"total": memory.total, "available": memory.available},
            "overlay": _fill(self.overlay),
            "network": _traffic(self.node["nic"]),
            "temperatures": _temperatures(),
            "roles": sections,
        }
        for name, section in sections.items():
            told.update(self.roles[name].kept(section))
        return told

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
