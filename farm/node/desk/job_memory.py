"""The memory that compile jobs may use on a machine at which somebody may sit, and how iceccd is told of it.

iceccd reads /proc/meminfo every 3 s. Of free memory it gives each job a limit, beyond which the compiler says that
memory is exhausted, and the submitter compiles that file itself; without free memory it reports load 1000, takes no
more jobs, and ends those that it has (daemon/load.cpp, daemon/main.cpp of icecream 1.4). So each iceccd here has a file
of its own at /proc/meminfo, as a container has by lxcfs: it shows what there is for its jobs.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from farm.node.files import read

MEMINFO = "proc/meminfo"
GROUP = "sys/fs/cgroup/iceccd.slice"
"""The control group of all compile jobs, in which memory is counted."""
SESSION_BYTES = 1 << 30
"""What a session needs at least."""
SESSION_PART = 1 / 3
"""Of a large machine's memory a session may need so much."""
JOBS_PART = 1 / 4
"""Of a small machine's memory jobs get so much all the same: with less they would not compile at all."""
HIGH_PART = 0.9
"""Of what jobs may use at most; from there on they are slowed down."""


class Bounds(NamedTuple):
    """Bytes that all compile jobs of a machine may use together: MemoryHigh and MemoryMax of systemd."""

    high: int
    most: int


def bounds(total: int) -> Bounds:
    """Of a machine with ``total`` bytes of RAM: what is left beside a session."""
    for_session = max(SESSION_BYTES, total * SESSION_PART)
    most = int(max(total - for_session, total * JOBS_PART))
    return Bounds(int(most * HIGH_PART), most)


def total_memory(root: str = "/") -> int:
    """The machine's RAM in bytes."""
    return _field(read(os.path.join(root, MEMINFO)), "MemTotal:") * 1024


def free_for_jobs(root: str, most: int) -> int:
    """Bytes that compile jobs can still take: within their bound, and of what the machine has left."""
    available = _field(read(os.path.join(root, MEMINFO)), "MemAvailable:") * 1024
    group = os.path.join(root, GROUP)
    stat = read(os.path.join(group, "memory.stat"))
    used = read(os.path.join(group, "memory.current")).strip()
    # Cached files are given up when memory is needed; files in RAM are counted as something else.
    cached = _field(stat, "active_file ") + _field(stat, "inactive_file ")
    left = most - max(0, int(used) - cached) if used.isdecimal() else most
    return max(0, min(available, left))


def _field(text: str, key: str) -> int:
    """The number after a key at the beginning of a line; 0 when there is none."""
    for line in text.splitlines():
        if line.startswith(key):
            words = line[len(key) :].split()
            return int(words[0]) if words and words[0].isdecimal() else 0
    return 0


class ShownMemory:
    """The file that one iceccd has at /proc/meminfo. It is written in place: a new file would not be seen there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._shown = b""

    def show(self, total: int, free: int) -> None:
        """Show so many bytes. Raises OSError."""
        text = meminfo(total, free)
        if text == self._shown:
            return
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            # Always of one length, and in one piece: who reads it sees the old text or the new one.
            os.pwrite(descriptor, text, 0)
        finally:
            os.close(descriptor)
        self._shown = text


def meminfo(total: int, free: int) -> bytes:
    """What iceccd reads of /proc/meminfo."""
    shown = {"MemTotal": total, "MemFree": free, "MemAvailable": free, "Buffers": 0, "Cached": 0}
    return "".join(f"{key + ':':<13}{value // 1024:>15} kB\n" for key, value in shown.items()).encode()
