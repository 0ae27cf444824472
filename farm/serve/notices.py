"""What commands tell farmd, for alerts: an image that was built, or was not. A file each, which farmd takes away."""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON
from farm.home import Home, write_atomic

MOST_NOTICES = 64
MOST_NOTICE_BYTES = 16 * 1024


NoticeEvent = Literal["image-built", "image-failed", "delivered"]


class Notice(Struct, frozen=True):
    """What has happened at Unix time ``time``; ``delivered``: the receiver ``about`` got an alert of `farm alerts`."""

    event: NoticeEvent
    about: str
    text: str
    time: float
    fix: str = ""


def leave(home: Home, event: NoticeEvent, about: str, text: str = "", fix: str = "") -> None:
    """Leave a notice for a farmd that runs; where that fails, nobody is told."""
    folder = _folder(home)
    with contextlib.suppress(OSError):
        if not home.farmd_socket.exists():
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        if sum(1 for _ in folder.iterdir()) < MOST_NOTICES:
            notice = Notice(event, about, text[:2000], time.time(), fix[:500])
            write_atomic(folder / f"{uuid.uuid4().hex}.json", msgspec.json.encode(notice), mode=0o600)


def take(home: Home) -> list[Notice]:
    """All that were left since the last call, the oldest first."""
    found = []
    with contextlib.suppress(OSError):
        for path in _folder(home).glob("*.json"):
            with contextlib.suppress(OSError, *NOT_JSON), path.open("rb") as file:
                found.append(msgspec.json.decode(file.read(MOST_NOTICE_BYTES), type=Notice))
            path.unlink(missing_ok=True)
    return sorted(found, key=lambda notice: notice.time)


def _folder(home: Home) -> Path:
    return home.runtime / "notices"
