"""What a restarted farmd must know of alerts, so that it tells nothing twice, and doctor of those that failed."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from farm.daemon.alerting.alert_events import Ongoing
from farm.errors import NOT_JSON
from farm.home import Home, write_atomic


class Undelivered(Struct, frozen=True):
    """The last alert that a receiver did not get, until it gets one."""

    event: str
    why: str
    time: float
    """Unix time of the last attempt."""


class AlertMemory(Struct, frozen=True):
    """What receivers know to hold, by key; and by receiver what has failed."""

    told: dict[str, Ongoing] = {}
    failures: dict[str, Undelivered] = {}


def load_memory(home: Home) -> AlertMemory:
    """What was written down; nothing where there is no file, or it cannot be read."""
    try:
        return msgspec.json.decode(_path(home).read_bytes(), type=AlertMemory)
    except (OSError, *NOT_JSON):
        return AlertMemory()


def save_memory(home: Home, memory: AlertMemory) -> None:
    """Write it down, for root alone: what commands say may hold secrets. Raises OSError."""
    write_atomic(_path(home), msgspec.json.encode(memory), mode=0o600)


def _path(home: Home) -> Path:
    return home.state / "alerts.json"
