"""What the samples say: rates, efficiency. Pure functions; a second has one sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct

from farm.view.status import NodeStatus
from farm.watch.activity import Sample, Totals

RATE_SECONDS = 5.0
"""A rate is the mean of so many seconds."""
LASTING_SECONDS = 60.0
"""A queue that was never empty for so long is one to look at."""


class Figures(Struct, frozen=True):
    """How much is going on."""

    slots: int = 0
    busy: int = 0
    pending: int = 0
    """Jobs that wait for a node."""
    local: int = 0
    """Jobs that submitters compile themselves at this moment."""
    jobs: float = 0.0
    """Ended on nodes, a second."""
    locals: float = 0.0
    """Ended on submitters that asked nobody, a second."""
    bytes: float = 0.0
    """Sources and objects that went over the network, uncompressed, a second."""


def figures(samples: Sequence[Sample]) -> Figures:
    """What the last sample says, and rates over the seconds before it."""
    if not samples:
        return Figures()
    last = samples[-1]
    first = next((sample for sample in reversed(samples) if last.time - sample.time >= RATE_SECONDS), samples[0])
    seconds = last.time - first.time
    new, old = last.totals, first.totals
    return Figures(
        slots=last.slots,
        busy=last.busy,
        pending=last.pending,
        local=last.local,
        jobs=_rate(ended(new) - ended(old), seconds),
        locals=_rate(new.local - old.local, seconds),
        bytes=_rate(moved(new) - moved(old), seconds),
    )


def queue_calls(samples: Sequence[Sample]) -> bool:
    """Whether to look at the queue: it exceeds the slots, or was not empty for LASTING_SECONDS."""
    if not samples or not samples[-1].pending:
        return False
    last = samples[-1]
    if last.pending > last.slots:
        return True
    for sample in reversed(samples):
        if not sample.pending:
            return False
        if last.time - sample.time >= LASTING_SECONDS:
            return True
    return False


def ended(totals: Totals) -> int:
    """Jobs that nodes have ended, well or not."""
    return totals.done + totals.failed


def moved(totals: Totals) -> int:
    """Bytes of sources and objects."""
    return totals.in_bytes + totals.out_bytes


def rates(samples: Sequence[Sample], number: Callable[[Totals], int]) -> list[tuple[float, float]]:
    """Time, and how many a second since the sample before."""
    return [
        (new.time, _rate(number(new.totals) - number(old.totals), new.time - old.time))
        for old, new in pairwise(samples)
    ]


def efficiency(samples: Sequence[Sample]) -> float | None:
    """Busy slot time over available slot time, 0–1; None when there were no slots."""
    available = busy = 0.0
    for old, new in pairwise(samples):
        seconds = max(0.0, new.time - old.time)
        available += new.slots * seconds
        busy += min(new.busy, new.slots) * seconds
    return busy / available if available else None


def covered(samples: Sequence[Sample]) -> float:
    """Seconds from the first to the last."""
    return samples[-1].time - samples[0].time if samples else 0.0


def window(samples: Sequence[Sample], seconds: float) -> list[Sample]:
    """Those of the last ``seconds``."""
    return [sample for sample in samples if sample.time >= samples[-1].time - seconds] if samples else []


def is_worker(node: NodeStatus) -> bool:
    """A machine of the farm, or a daemon with slots."""
    return bool(node.mac) or (node.host is not None and node.host.slots > 0)


def _rate(number: float, seconds: float) -> float:
    return max(0.0, number / seconds) if seconds > 0 else 0.0
