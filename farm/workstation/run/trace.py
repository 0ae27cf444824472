"""A build as a Chrome trace (Trace Event Format): a process for each node, a thread for each of its slots.

https://ui.perfetto.dev and chrome://tracing show it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

import msgspec
from msgspec import Struct

from farm.watch.activity import Job
from farm.watch.activity.jobs import SELF_MADE
from farm.workstation.run.tally import node_name

THIS_MACHINE = "this machine"


class Event(Struct, frozen=True, omit_defaults=True):
    """One event; ``ts`` and ``dur`` are microseconds since the command began."""

    ph: str
    """X: something that lasted; M: the name of a process or thread."""
    name: str
    pid: int
    tid: int
    args: dict[str, Any]
    ts: int = 0
    dur: int = 0
    cat: str = ""


def trace(jobs: Iterable[Job], submitter: str, command: str, started: float, ended: float) -> bytes:
    """The JSON of a command's jobs; times are Unix times in seconds."""
    by_node: defaultdict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_node[node_name(job)].append(job)
    here = by_node.pop(submitter, [])
    events = [*_names(0, THIS_MACHINE, ["command"]), _lasting(0, 0, command, "command", started, ended, started, {})]
    # What this machine compiled has lanes of its own below the command's.
    events += _lanes(0, 1, [job for job in here if job.place not in SELF_MADE], "own slot", started)
    first = max(event.tid for event in events) + 1
    events += _lanes(0, first, [job for job in here if job.place in SELF_MADE], "local", started)
    for pid, node in enumerate(sorted(by_node), start=1):
        events += _names(pid, node, [])
        events += _lanes(pid, 0, by_node[node], "slot", started)
    return msgspec.json.encode({"displayTimeUnit": "ms", "traceEvents": events})


def lanes(jobs: Sequence[Job]) -> list[tuple[int, Job]]:
    """Each job with the lowest lane that is free at its time, so that none overlap in a lane."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    placed = []
    for job in sorted(jobs, key=_begun):
        while busy and busy[0][0] <= _begun(job):
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (job.ended, lane))
        placed.append((lane, job))
    return placed


def _begun(job: Job) -> float:
    return job.begun or job.ended - job.real / 1000


def _lanes(pid: int, first: int, jobs: Sequence[Job], kind: str, started: float) -> list[Event]:
    placed = lanes(jobs)
    found = []
    for lane in sorted({lane for lane, _ in placed}):
        found += _names(pid, "", [f"{kind} {lane + 1}"], first + lane)
    for lane, job in placed:
        args = {"file": job.file, "job": job.id, "exit": job.exit, "real_ms": job.real}
        if job.requested and job.begun:
            args["waited_ms"] = round((job.begun - job.requested) * 1000)
        kind = "local" if job.place in SELF_MADE else "failed" if job.exit else "job"
        name = PurePath(job.file).name or "?"
        found.append(_lasting(pid, first + lane, name, kind, _begun(job), job.ended, started, args))
    return found


def _names(pid: int, process: str, threads: Sequence[str], first: int = 0) -> list[Event]:
    """What a process (if named) and its threads are called, and their order."""
    found = []
    if process:
        found.append(Event("M", "process_name", pid, 0, {"name": process}))
        found.append(Event("M", "process_sort_index", pid, 0, {"sort_index": pid}))
    for tid, name in enumerate(threads, start=first):
        found.append(Event("M", "thread_name", pid, tid, {"name": name}))
        found.append(Event("M", "thread_sort_index", pid, tid, {"sort_index": tid}))
    return found


def _lasting(
    pid: int, tid: int, name: str, kind: str, begun: float, ended: float, started: float, args: dict[str, Any]
) -> Event:
    # Both ends are rounded alike, so that what follows in a lane does not overlap by a microsecond.
    begin = max(0, round((begun - started) * 1_000_000))
    end = max(begin, round((ended - started) * 1_000_000))
    return Event("X", name, pid, tid, args, begin, end - begin, kind)
