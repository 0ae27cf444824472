"""What farmd writes down, so that it goes on after a restart where it was.

That is the machines as the logs have told of them and how far these were read, and of each boot what no log tells.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farm.daemon.sources import Seen
from farm.errors import NOT_JSON
from farm.home import write_atomic
from farm.watch.events import Remembered, Stage
from farm.watch.state import Claim, Farm, Node

REPORTED_STAGES = (Stage.REGISTERED, Stage.READY)
"""Stages that the scheduler and the agents tell of, and no log."""


class Machines(Struct, frozen=True):
    """The machines as they were when the logs had been read so far."""

    started: float
    """Unix time of the `farm up` under which they were seen."""
    seen: Seen
    nodes: list[Node]
    """Without what their agents and the scheduler say, which say it again."""
    claims: dict[str, Claim] = {}


class _Memory(Struct, frozen=True):
    boots: list[Remembered]
    machines: Machines | None = None


def remember(farm: Farm, started: float = 0.0, seen: Seen | None = None) -> bytes:
    """What is to outlive farmd, as JSON; ``started``: of the farm, ``seen``: how far the logs are in ``farm``."""
    boots = [
        Remembered(
            node.mac, node.started, {stage: node.stages[stage] for stage in REPORTED_STAGES if stage in node.stages}
        )
        for node in farm.nodes.values()
        if node.stages.keys() & set(REPORTED_STAGES)
    ]
    machines = None
    if seen is not None:
        nodes = [
            replace(node, beacon=None, telemetry=None, told=None, readings=(), host=None, order=None)
            for node in farm.nodes.values()
        ]
        machines = Machines(started, seen, nodes, dict(farm.claims))
    return msgspec.json.encode(_Memory(boots, machines))


def recall(path: Path) -> list[Remembered]:
    """What an earlier farmd wrote of boots; nothing when there is none, or it cannot be read."""
    memory = _load(path)
    return memory.boots if memory else []


def recall_machines(path: Path) -> Machines | None:
    """The machines that an earlier farmd knew; None when it wrote nothing, or that cannot be read."""
    memory = _load(path)
    return memory.machines if memory else None


def _load(path: Path) -> _Memory | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Memory)
    except (OSError, *NOT_JSON):
        return None


def save(path: Path, content: bytes) -> None:
    """Write it; a crash leaves the old or the new. Raises OSError."""
    write_atomic(path, content)
