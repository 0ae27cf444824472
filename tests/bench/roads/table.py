"""The table of the roads side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.table import Table

from farm.export import EXPORTS
from tests.bench.roads import Roads, Verity

OK, MISSED = "[green]ok[/]", "[red]missed[/]"


def roads_table(found: Sequence[Roads], verity: Verity) -> Table:
    """Figures in rows, roads in columns."""
    table = Table("what", *EXPORTS, "bound", "", box=None, header_style="bold", pad_edge=False)
    for each in found:
        _add(table, each)
    _add_verity(table, found, verity)
    return table


def _add(table: Table, roads: Roads) -> None:
    node, crowd = roads.node, roads.crowd

    def add(what: str, text: Callable[[str], str]) -> None:
        table.add_row(what, *(text(road) for road in EXPORTS))

    add(f"MTU {roads.mtu}: power-on to ready, s", lambda road: f"{roads.ready[road]:.1f}")
    add("  one node, in sequence, MB/s", lambda road: f"{node.roads[road].sequential:.0f}")
    add("  one node, 16 KiB anywhere, MB/s", lambda road: f"{node.roads[road].random:.1f}")
    add("  server killed: a reader stands still, s", lambda road: f"{node.stood[road]:.1f}")
    add("  64 readers, MB/s", lambda road: f"{crowd[road].total:.0f}")
    slowest = {road: crowd[road].slowest for road in EXPORTS}
    table.add_row(
        "  64 readers, slowest ÷ mean", *_each(slowest), "≥ 0.5", OK if min(slowest.values()) >= 0.5 else MISSED
    )
    add("  server, processor s per GB", lambda road: f"{crowd[road].seconds:.2f}")
    add("  server, memory, MB", lambda road: f"{crowd[road].megabytes:.0f}")


def _each(figures: Mapping[str, float]) -> list[str]:
    return [f"{figures[road]:.2f}" for road in EXPORTS]


def _add_verity(table: Table, found: Sequence[Roads], verity: Verity) -> None:
    for what, boots in (("checked", verity.checked), ("not checked", verity.believed)):
        table.add_row(f"Root {what}: power-on to registered, s", ", ".join(f"{boot:.1f}" for boot in boots))
    holds = OK if verity.cost <= 0.03 else MISSED
    table.add_row("  what the check adds, median of pairs", f"{verity.cost:+.1%}", "", "", "≤ 3 %", holds)
    for each in found:
        plain, checked = each.node.roads["aoe"], each.node.verified
        text = f"{plain.worked:.2f} → {checked.worked:.2f}"
        table.add_row(f"  60 MiB at MTU {each.mtu}, processor s of the node", text)
