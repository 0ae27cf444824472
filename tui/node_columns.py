"""What the table of nodes says of a node by itself, and which columns fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any

from farm.view.status import HostStatus, NodeStatus
from farm.watch.state import NO_JOBS
from tui.widgets.columns import GAP, Column
from tui.widgets.lines import Cell

ALWAYS = ("name", "slots", "idle")
FIRST = ("stage", "busy", "minute", "load", "failed", "done", "since", "cpu")
THEN = ("address", "memory", "speed", "image")
LAST = ("platform", "protocol")
"""Of columns that do not all fit the first count; what comes later leaves room for sentences."""
SENTENCE_CELLS = 40
"""Cells of the column Idle from which on it says why in a sentence."""
WHOLE_CELLS = 80
"""Cells that hold most sentences whole."""
OFTEN = 0.1
"""A node at which more than this share of jobs fails should be looked at."""
LEAST_FAILED = 5


def fillable(columns: Sequence[Column[NodeStatus]], nodes: Sequence[NodeStatus], *, ours: bool) -> list[str]:
    """The names of those of which something is known; of daemons without a farm nobody tells since when they are so."""
    return [
        column.name
        for column in columns
        if column.name in ALWAYS
        or column.value is None
        or ((ours or column.name != "since") and any(column.value(node) not in (None, "") for node in nodes))
    ]


def fitting(columns: Sequence[Column[NodeStatus]], width: int) -> list[str]:
    """The names of those that fit into so many cells, in their own order."""
    widths = {column.name: column.width + GAP for column in columns}
    left = width + GAP - sum(widths[name] for name in ALWAYS)
    chosen = {*ALWAYS}
    for names, room in ((FIRST, 0), (THEN, SENTENCE_CELLS), (LAST, WHOLE_CELLS)):
        reserved = max(0, room + GAP - widths["idle"])
        for name in filter(widths.__contains__, names):
            if widths[name] > left - reserved:
                break
            chosen.add(name)
            left -= widths[name]
    return [column.name for column in columns if column.name in chosen]


def slots_width(nodes: Iterable[NodeStatus], width: int) -> int:
    """Cells for the slots of the greatest node, as far as the screen has room."""
    most = max((node.host.slots for node in nodes if node.host and node.host.online), default=0)
    return max(6, min(most, 8 if width < 100 else 16 if width < 160 else 32))


def cpu(node: NodeStatus) -> float | None:
    """Percent of all processors, as its agent says."""
    return fmean(node.telemetry.cpu.percent) if node.telemetry and node.telemetry.cpu.percent else None


def memory(node: NodeStatus) -> float | None:
    """MiB free, as its agent or else its daemon says."""
    if node.telemetry and node.telemetry.memory.total:
        return node.telemetry.memory.available / (1 << 20)
    return node.host.free_memory if node.host else None


def of_host(ask: Callable[[HostStatus], Any]) -> Callable[[NodeStatus], Any]:
    """What a login tells while it lasts."""
    return lambda node: ask(node.host) if node.host and node.host.online else None


def shown(value: Any, form: str) -> str:
    """A value written so; empty when it is not known."""
    return "" if value is None else form.format(value)


def address_order(node: NodeStatus) -> tuple[int, ...] | None:
    """IPv4 addresses in the order of their numbers."""
    parts = node.address.split(".")
    return tuple(map(int, parts)) if len(parts) == 4 and all(map(str.isdecimal, parts)) else None


def busy_words(node: NodeStatus) -> Cell:
    """Slots in use, of those that there are."""
    host = node.host
    return f"{host.jobs_running}/{host.slots}" if host is not None and host.online else ""


def load_words(node: NodeStatus) -> Cell:
    """The load; at 1000 it gets no jobs."""
    host = node.host
    if host is None or not host.online:
        return ""
    return (f"▲{host.load}", "warn") if host.load >= NO_JOBS else f"{host.load}"


speed = of_host(lambda host: host.speed or None)
protocol = of_host(lambda host: host.protocol)


def done(node: NodeStatus) -> int | None:
    """Jobs that it has done."""
    return node.host.jobs_done if node.host else None


def failed(node: NodeStatus) -> int | None:
    """Jobs that failed on it; mistakes in what was compiled are among them."""
    return node.host.jobs_failed if node.host else None


def failed_words(node: NodeStatus) -> Cell:
    """The same, coloured when it is often."""
    number, well = failed(node), done(node)
    if number is None or well is None:
        return ""
    often = number >= LEAST_FAILED and number > OFTEN * (number + well)
    return f"{number}", "warn" if often else None


def image_words(node: NodeStatus) -> Cell:
    """The image that it runs; the sign says that its next boot gets another."""
    return f"{node.image} ≠" if node.outdated else node.image


def platform(node: NodeStatus) -> str:
    """What its daemon compiles on."""
    return node.host.platform if node.host else ""
