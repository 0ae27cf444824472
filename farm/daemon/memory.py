"""What farmd writes down of each boot, so that it still knows after a restart what no log tells."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON
from farm.events import Remembered, Stage
from farm.home import write_atomic
from farm.state import Farm

KEPT = (Stage.REGISTERED, Stage.READY)
"""Stages that the scheduler and the agents tell of, and no log."""


class _Boots(Struct, frozen=True):
    boots: list[Remembered]


def remember(farm: Farm) -> bytes:
    """The times that are to outlive farmd, as JSON."""
    boots = [
        Remembered(node.mac, node.started, {stage: node.stages[stage] for stage in KEPT if stage in node.stages})
        for node in farm.nodes.values()
        if node.stages.keys() & set(KEPT)
    ]
    return msgspec.json.encode(_Boots(boots))


def recall(path: Path) -> list[Remembered]:
    """What an earlier farmd wrote; nothing when there is none, or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Boots).boots
    except (OSError, *NOT_JSON):
        return []


def save(path: Path, content: bytes) -> None:
    """Write it; a crash leaves the old or the new."""
    write_atomic(path, content)
