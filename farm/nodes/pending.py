"""Orders about nodes that take a while: written down by who carries them out, so that whoever watches sees them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil

from farm.errors import NOT_JSON
from farm.home import Home, write_atomic
from farm.node.contract import MAC
from farm.watch.events import Ordered

MAX_ORDERS = 4096


def note(home: Home, order: Ordered) -> None:
    """Write an order down; a later one about the same node takes its place. Where that fails, it only is not seen."""
    if not order.mac:
        return  # nobody could tell which node is meant
    with contextlib.suppress(OSError):
        folder = _folder(home)
        folder.mkdir(mode=0o755, exist_ok=True)
        write_atomic(_path(home, order.mac), msgspec.json.encode(order))


def strike(home: Home, mac: str) -> None:
    """Forget the order about a node."""
    with contextlib.suppress(OSError):
        _path(home, mac).unlink()


def drains(home: Home, mac: str) -> bool:
    """Whether somebody drains the node at this moment."""
    return any(each.mac == mac and each.order == "drain" for each in read(home))


@contextlib.contextmanager
def noted(home: Home, order: Ordered) -> Iterator[Callable[[], bool]]:
    """Written down as long as it is carried out, unless another has taken its place by then.

    What is given tells whether it was struck meanwhile: it is to be given up.
    """
    note(home, order)
    written = _order(_path(home, order.mac)) == order
    try:
        yield lambda: written and not _path(home, order.mac).exists()
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


def _path(home: Home, mac: str) -> Path:
    """Where the order about a node stands; what a daemon calls itself is no name for a file."""
    name = mac.replace(":", "-") if MAC.fullmatch(mac) else hashlib.sha256(mac.encode()).hexdigest()
    return _folder(home) / f"{name}.json"
