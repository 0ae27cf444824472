"""Measure the farm's bounds: `sudo python -m tests.bench`, or some of them, by their names (BENCHES)."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import aoe, boot, greeter, image, interference, roads, run, session, sticks, storm, view
from tests.bench.roads.table import roads_table
from tests.bench.terminal import Answer

BENCHES = (
    *("aoe", "image", "boot", "view", "load", "run", "storm"),
    *("greeter", "desk-greeter", "session", "sticks", "interference", "roads"),
)


def main() -> None:
    """Run what was named, all without arguments."""
    wanted = sys.argv[1:] or BENCHES
    if not set(wanted) <= set(BENCHES):
        sys.exit(f"usage: python -m tests.bench {' '.join(f'[{name}]' for name in BENCHES)}")
    table = Table("what", "measured", "bound", "", box=None, header_style="bold", pad_edge=False)
    load = os.getloadavg()[0]
    if "aoe" in wanted:
        add_aoe(table)
    if "image" in wanted:
        add_image(table)
    if "boot" in wanted:
        add_boot(table)
    if "view" in wanted:
        add_view(table)
    if "load" in wanted:
        add_load(table)
    if "run" in wanted:
        add_run(table)
    if "storm" in wanted:
        add_storm(table)
    if "greeter" in wanted:
        add_greeter(table, "thin-client")
    if "desk-greeter" in wanted:
        add_greeter(table, "fat-client")
    if "session" in wanted:
        add_session(table)
    if "sticks" in wanted:
        add_sticks(table)
    if "interference" in wanted:
        add_interference(table)
    if table.rows:
        Console().print(table)
    if "roads" in wanted:
        Console().print(roads_table(*roads.measure()))
    Console().print(f"{os.cpu_count()} processors; load {load:.1f} before, {os.getloadavg()[0]:.1f} after", style="dim")


def row(table: Table, what: str, measured: str, bound: str = "", holds: bool | None = None) -> None:
    """One figure, and whether it holds its bound."""
    table.add_row(what, measured, bound, "" if holds is None else "[green]ok[/]" if holds else "[red]missed[/]")


def add_aoe(table: Table) -> None:
    """64 readers on one export, at both usual frame sizes."""
    for mtu in (1500, 9000):
        fairness = aoe.measure(mtu)
        share = fairness.slowest / fairness.mean
        row(table, f"64 AoE readers at MTU {mtu}", f"{sum(fairness.rates):.0f} MB/s")
        row(table, "  mean of a reader; frames sent again", f"{fairness.mean:.2f} MB/s; {fairness.resent}")
        row(table, "  slowest reader", f"{fairness.slowest:.2f} MB/s, {share:.2f} × mean", "≥ 0.5 × mean", share >= 0.5)


def add_image(table: Table) -> None:
    """The image, from nothing and after a change."""
    with tempfile.TemporaryDirectory(prefix="farm-bench-") as folder:
        cost = image.measure(Path(folder))
    ratio, again = cost.cold / cost.plain, cost.changed / cost.cold
    row(table, "Image by mmdebstrap + mksquashfs + mkinitramfs", f"{cost.plain:.0f} s")
    row(table, "Image, cold", f"{cost.cold:.0f} s, {ratio:.2f} × that", "≤ 1.5 ×", ratio <= 1.5)
    row(table, "Image, farm-node changed", f"{cost.changed:.0f} s, {again:.2f} × cold", "< 0.2 ×", again < 0.2)
    row(table, "Image, nothing changed", f"{cost.unchanged:.1f} s")
    for name, bound in (("root.squashfs", 300), ("initrd", 25)):
        size = cost.manifest.files[name].size / 1e6
        row(table, name, f"{size:.0f} MB", f"≤ {bound} MB", size <= bound)


def add_boot(table: Table) -> None:
    """One emulated node, at both usual frame sizes; ready also waits for a beacon and the scheduler's first jobs."""
    for mtu in (9000, 1500):
        with tempfile.TemporaryDirectory(prefix="farm-bench-", dir="/var/tmp") as folder:
            measured = boot.measure(Path(folder), mtu=mtu)
        stages = ", ".join(f"{stage} {at:.1f}" for stage, at in measured.stages.items())
        registered = measured.stages["registered"]
        row(table, f"Power-on to registered at MTU {mtu}", f"{registered:.1f} s", "≤ 45 s", registered <= 45)
        row(table, f"  pulled; {stages}", f"{measured.megabytes:.0f} MB", "≤ 80 MB", measured.megabytes <= 80)


def add_view(table: Table) -> None:
    """farmd and the dashboard beside icecream-sundae; an hour's worth of jobs."""
    with tempfile.TemporaryDirectory(prefix="farm-bench-") as folder:
        cost = view.measure(Path(folder))
    row(table, "200 nodes, 400 jobs a second asked for", f"{cost.rate:.0f} a second; scheduler {cost.scheduler:.3f}")
    row(table, "icecream-sundae", f"{cost.sundae:.3f} of a core")
    for what, share, bound in (
        ("farmd alone", cost.farmd, 1),
        ("farmd with a dashboard attached", cost.farmd_watched, 1),
        ("farm top on the scheduler", cost.top, 3),
        ("farm top on farmd", cost.top_farmd, 3),
    ):
        ratio = share / cost.sundae
        row(table, what, f"{share:.3f} of a core, {ratio:.2f} × sundae", f"≤ {bound} ×", ratio <= bound)
    add_keys(table, cost.keys)
    with tempfile.TemporaryDirectory(prefix="farm-bench-") as folder:
        hour = view.measure_hour(Path(folder))
    whole = hour["ended"] == hour["remembered"]
    megabytes, cpu = hour["megabytes"], hour["cpu"] / 3600
    row(table, "an hour of 1,000 jobs a second, replayed", f"{megabytes:.0f} MB", "≤ 150 MB", megabytes <= 150)
    row(table, "  folded and remembered", f"{cpu:.3f} of a core", "none missing", whole)


def add_load(table: Table) -> None:
    """Whether farmd misses anything at 500 nodes and 1,000 jobs a second, on a machine that has time for both."""
    with tempfile.TemporaryDirectory(prefix="farm-bench-") as folder:
        load = view.measure_load(Path(folder))
    row(table, "500 nodes, 1,000 jobs a second asked", f"{load.rate:.0f} a second", "≥ 950", load.rate >= 950)
    row(table, "  given up by the simulator", str(load.unfinished), "0", load.unfinished == 0)
    for what, expected in load.simulated.items():
        seen = load.seen[what]
        row(table, f"  {what}: seen of simulated", f"{seen} of {expected}", "equal", seen == expected)
    shares = ", ".join(f"{name} {share:.2f}" for name, share in load.shares.items())
    row(table, "  shares of a core", shares)
    row(table, "  farmd's memory", f"{load.megabytes:.0f} MB", "≤ 150 MB", load.megabytes <= 150)


def add_keys(table: Table, answers: list[Answer]) -> None:
    """How long keys took, as a user sees it and as it is without other programs' turns on the processor."""
    what = f"a key press answered ({len(answers)})"
    for name, taken in (
        (what, [each.total for each in answers]),
        ("  without waiting for a processor", [each.total - each.waited for each in answers]),
        ("  processor time", [each.worked for each in answers]),
    ):
        middle, late, slowest = (1000 * at for at in (statistics.median(taken), *_late(taken)))
        text = f"median {middle:.0f} ms, 95 % within {late:.0f}, slowest {slowest:.0f}"
        row(table, name, text, "≤ 100 ms" if name == what else "", slowest <= 100 if name == what else None)
    slow = sorted(answers, key=lambda each: each.total)[-3:]
    row(table, "  the slowest", ", ".join(f"{each.key} {each.total * 1000:.0f} ms" for each in reversed(slow)))


def _late(taken: list[float]) -> tuple[float, float]:
    """The 95th percentile and the slowest."""
    return statistics.quantiles(taken, n=20)[-1], max(taken)


def add_interference(table: Table) -> None:
    """Keys at a fat client that compiles, and what it compiles with nobody there."""
    found = interference.measure()
    median, late, throughput = interference.ratios(found)
    idle, compiling = (1000 * statistics.median(keys) for keys in (found.idle, found.compiling))
    what = f"a key at a fat client whose slots all compile ({len(found.compiling)})"
    row(table, what, f"median {compiling:.0f} ms, {median:.2f} × idle ({idle:.0f} ms)", "≤ 1.5 ×", median <= 1.5)
    row(table, "  95 % of them", f"{late:.2f} × idle", "≤ 1.5 ×", late <= 1.5)
    row(
        table,
        "its builds, beside a compile node's",
        f"{throughput:.2f} × its throughput",
        "≥ 0.95 ×",
        throughput >= 0.95,
    )


def add_run(table: Table) -> None:
    """One build by `farm run` and by icecc alone."""
    cost = run.measure()
    for what, builds in (("make with icecc in PATH", cost.bare), ("farm run -- make", cost.ours)):
        seconds = ", ".join(f"{build.seconds:.1f}" for build in builds)
        row(table, f"Build of {run.FILES} files: {what}", f"{seconds} s")
    row(table, "  farm run : icecc alone, median of pairs", f"{cost.ratio:.3f}", "≤ 1.02", cost.ratio <= 1.02)
    row(table, "  the same of the submitter's processor time", f"{cost.cpu_ratio:.3f}")
    beside = ", ".join(f"{build.beside:.2f}" for build in cost.ours)
    row(table, "  farm run before and after the command", f"{beside} s")


def add_greeter(table: Table, image: str) -> None:
    """A client of that image and one of LTSP 23, from power-on to the greeter."""
    found = greeter.measure(image)
    for what, boots in ((image, found.ours), ("LTSP 23", found.ltsp)):
        seconds = ", ".join(f"{boot.seconds:.1f}" for boot in boots)
        row(table, f"Power-on to the greeter: {what}", f"{seconds} s; {boots[0].megabytes:.0f} MB")
    row(table, f"  {image} : LTSP 23, median of pairs", f"{found.ratio:.2f}", "≤ 0.6", found.ratio <= 0.6)
    if image == "thin-client":
        pulled = max(boot.megabytes for boot in found.ours)
        row(table, "  pulled by it", f"{pulled:.0f} MB", "≤ 120 MB", pulled <= 120)
        row(table, "  its RAM in use at the greeter", f"{found.memory:.0f} MB", "≤ 300 MB", found.memory <= 300)


def add_session(table: Table) -> None:
    """A thin client's session, and plain ssh -Y in its place."""
    found = session.measure()
    for what, name in (
        ("the password typed", "session"),
        ("ssh -Y Xsession begun", "same"),
        ("ssh -Y of the program alone begun", "bare"),
    ):
        waits = sorted(getattr(each, name) for each in found.waits)
        shown = f"{statistics.median(waits):.3f} ({waits[0]:.3f}–{waits[-1]:.3f})"
        row(table, f"Seconds from {what} to the first window", shown)
    ratio = statistics.median(each.session / each.same for each in found.waits)
    row(table, "  session : ssh -Y Xsession, median of rounds", f"{ratio:.2f}", "≤ 1.3", ratio <= 1.3)
    bare = statistics.median(each.session / each.bare for each in found.waits)
    row(table, "  session : ssh -Y of the program alone", f"{bare:.2f}")
    for way, drawn in (("session, ssh -Y", found.drawn), ("session with LDM_DIRECTX, plain TCP", found.direct)):
        for kind in session.DRAWS:
            ours, plain = (statistics.median(rates[kind] for rates in rounds) for rounds in zip(*drawn, strict=True))
            share = statistics.median(each.session[kind] / each.plain[kind] for each in drawn)
            measured = f"{ours:.0f}/s, {plain:.0f}/s; {share:.2f}"
            row(table, f"  x11perf -{kind}: {way}", measured, "≥ 0.95", share >= 0.95)


def add_sticks(table: Table) -> None:
    """A stick at a thin client, and scp over the same connection."""
    for network, limit in (("Gigabit Ethernet", sticks.LAB_NETWORK), ("no wire", ())):
        found = sticks.measure(limit)
        for what, rounds in (("read from", found.read), ("written to", found.written)):
            stick, scp = (statistics.median(rates) for rates in zip(*rounds, strict=True))
            ratio = sticks.ratio(rounds)
            row(table, f"{sticks.MEGABYTES} MB {what} a stick; scp: {network}", f"{stick:.0f} MB/s; {scp:.0f} MB/s")
            row(table, "  stick : scp, median of pairs", f"{ratio:.2f}", *(("≥ 0.8", ratio >= 0.8) if limit else ()))


def add_storm(table: Table) -> None:
    """A room of PCs that are switched on at once, by each export."""
    for export in storm.EXPORTS:
        cost = storm.measure(export)
        row(
            table,
            f"{cost.nodes} nodes at once, root by {export}",
            f"{cost.booted} booted",
            "all",
            cost.booted == cost.nodes,
        )
        ratio = cost.seconds / cost.bound
        row(
            table,
            "  all booted, against the link's bound",
            f"{cost.seconds:.1f} s, {ratio:.2f} ×",
            "≤ 1.3 ×",
            ratio <= 1.3,
        )
        row(
            table,
            "  slowest node; sent again",
            f"{cost.slowest:.2f} × mean; {cost.again}",
            "≤ 2 × mean",
            cost.slowest <= 2,
        )
        shares = ", ".join(f"{name} {share:.2f}" for name, share in sorted(cost.shares.items()))
        row(table, "  shares of a core", shares)


if __name__ == "__main__":
    main()
