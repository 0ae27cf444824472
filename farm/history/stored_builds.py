"""The ledger and the database: what is written, which numbers builds get, and what an earlier process left open."""

from __future__ import annotations

from collections.abc import Iterable

from immutables import Map
from msgspec.structs import replace

from farm.history import runs
from farm.history.build_records import BuildDetail
from farm.history.builds import MAX_OPEN, Burst, Ledger
from farm.history.runs import QUIET_SECONDS, BuildKey, Run


def without_written(ledger: Ledger, written: Ledger) -> Ledger:
    """Those closed builds are in the database now."""
    ids = {burst.build.id for burst in written.closed}
    return replace(ledger, closed=tuple(burst for burst in ledger.closed if burst.build.id not in ids))


def renumbered(ledger: Ledger, last: int) -> Ledger:
    """All builds get ids beyond ``last``, which the database turned out to hold."""

    def moved(burst: Burst) -> Burst:
        return replace(burst, build=replace(burst.build, id=burst.build.id + last))

    return replace(
        ledger,
        open=Map((key, moved(burst)) for key, burst in ledger.open.items()),
        closed=tuple(map(moved, ledger.closed)),
        next=ledger.next + last,
    )


def resumed(ledger: Ledger, left: Iterable[BuildDetail], time: float) -> Ledger:
    """The ledger with builds that an earlier process left open, as far as they may go on at ``time``."""
    for detail in left:
        build = detail.build
        key: BuildKey = (build.submitter, build.address, *filter(None, (build.run,)))
        if key in ledger.open or len(ledger.open) >= MAX_OPEN or abs(time - detail.build.ended) > QUIET_SECONDS:
            continue
        burst = Burst(
            replace(detail.build, open=True),
            detail.build.ended,
            Map((share.node, share) for share in detail.nodes),
            tuple(detail.slowest),
            tuple(detail.failures),
            Map((wait.holder, wait.seconds) for wait in detail.waits),
            detail.curve,
        )
        ledger = replace(ledger, open=ledger.open.set(key, burst))
        if build.run:
            run = Run(name=build.name, text=build.tag, began=build.started, heard=time)
            ledger = replace(ledger, runs=runs.resumed(ledger.runs, build.submitter, build.run, run))
    return ledger
