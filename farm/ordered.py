"""Orders about nodes that take a while: written down by who carries them out, so that whoever watches sees them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

from farm.errors import NOT_JSON
from farm.events import Ordered
from farm.home import Home, write_atomic

MAX_ORDERS = 4096


def note(home: Home, order: Ordered) -> None:
    """Write an order down; a later one about the same node takes its place. Where that fails, it only is not seen."""
    if not order.mac:
        return  # no machine of ours, which is all that is watched so closely
    with contextlib.suppress(OSError):
        folder = _folder(home)
        folder.mkdir(mode=0o755, exist_ok=True)
        write_atomic(folder / _name(order.mac), msgspec.json.encode(order))


def strike(home: Home, mac: str) -> None:
    """Forget the order about a node."""
    with contextlib.suppress(OSError):
        (_folder(home) / _name(mac)).unlink()


@contextlib.contextmanager
def noted(home: Home, order: Ordered) -> Iterator[None]:
    """Written down as long as it is carried out, unless another has taken its place by then."""
    note(home, order)
    try:
        yield
    finally:
        if order in read(home):
            strike(home, order.mac)


def read(home: Home) -> tuple[Ordered, ...]:
    """All that stand, but for those whose process was killed."""
    try:
        paths = sorted(_folder(home).iterdir())[:MAX_ORDERS]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    found = (_order(path) for path in paths)
    return tuple(each for each in found if each is not None and (not each.pid or psutil.pid_exists(each.pid)))


def _order(path: Path) -> Ordered | None:
    with contextlib.suppress(OSError, *NOT_JSON):
        return msgspec.json.decode(path.read_bytes(), type=Ordered)
    return None


def _folder(home: Home) -> Path:
    return home.runtime / "orders"


def _name(mac: str) -> str:
    return mac.replace(":", "-") + ".json"
