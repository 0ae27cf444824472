"""`farm node`: the machines that boot from this farm."""

from __future__ import annotations

import time
from datetime import datetime

import msgspec
import rich_click as click
from rich.table import Table
from rich.text import Text

from farm.cli.output import out, show_json
from farm.cli.status import load, nodes_table, plain_table, stage_text
from farm.errors import FarmError
from farm.events import Stage, Telemetry
from farm.home import Home
from farm.view.status import NodeStatus, Status
from farm.view.text import duration, size


def find_node(status: Status, name: str) -> NodeStatus:
    """The node of this name, MAC or address; raises FarmError when there is none, or names it ambiguously."""
    if not status.farmd:
        raise FarmError("Nothing is known of the nodes.", "farmd does not answer.", "See why: farm status")
    wanted = name.lower().replace("-", ":")
    found = [node for node in status.nodes if name in (node.name, node.address) or wanted == node.mac]
    if not found:
        names = ", ".join(node.name for node in status.nodes) or "none"
        raise FarmError(f"There is no node {name}.", f"Known nodes: {names}.", "List them: farm node list")
    if len(found) > 1:
        macs = ", ".join(node.mac for node in found)
        raise FarmError(
            f"Several nodes are called {name}.", f"Their MACs: {macs}.", "Give one of them a name in farm.yaml"
        )
    return found[0]


@click.group()
def node() -> None:
    """List the nodes, look at one."""


@node.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON (docs/status-json.md).")
@click.pass_context
def list_nodes(ctx: click.Context, as_json: bool) -> None:
    """List the nodes and how far each has come."""
    home: Home = ctx.obj
    status = load(home)
    if not status.farmd:
        raise FarmError("Nothing is known of the nodes.", "farmd does not answer.", "See why: farm status")
    if as_json:
        show_json({"schema": 1, "nodes": msgspec.to_builtins(status.nodes)})
    elif status.nodes:
        out.print(nodes_table(status.nodes))
    else:
        out.print("No node has been seen yet. Switch one on that boots from the network.")


@node.command()
@click.argument("name", metavar="NODE")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON (docs/status-json.md).")
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one node: its boot stage by stage, and how it does. NODE is its name, MAC or address."""
    home: Home = ctx.obj
    found = find_node(load(home), name)
    if as_json:
        show_json({"schema": 1, "node": msgspec.to_builtins(found)})
        return
    out.print(_facts(found, time.time()))
    if found.stages:
        out.print(_stages(found))


def _facts(found: NodeStatus, now: float) -> Table:
    table = Table.grid(padding=(0, 2))
    state = stage_text(found.stage)
    if found.since:
        state.append(f" for {duration(now - found.since)}", style="default")
    facts: list[tuple[str, str | Text]] = [
        ("node", Text(found.name, style="bold")),
        ("stage", state),
        ("MAC", found.mac),
        ("address", found.address or "none yet"),
        ("verified", "yes: heard at the address DHCP gave it" if found.verified else "no: its agent was not heard"),
        ("image", (found.image or "unknown") + (" (its next boot gets another)" if found.outdated else "")),
        ("fetched", f"{size(found.fetched)} to boot"),
    ]
    if host := found.host:
        facts.append(("slots", f"{host.slots}, load {host.load / 10:.0f}%, speed {host.speed:.0f}"))
        facts.append(("jobs", f"{host.jobs_running} running, {host.jobs_done} done, {host.jobs_failed} failed"))
    if found.telemetry:
        facts += _telemetry(found.telemetry)
    for key, value in facts:
        table.add_row(Text(key, style="dim"), value if isinstance(value, Text) else Text(value))
    return table


def _telemetry(told: Telemetry) -> list[tuple[str, str | Text]]:
    facts: list[tuple[str, str | Text]] = [
        ("iceccd", "runs" if told.iceccd else Text("does not run", style="bold red")),
        ("up", duration(told.uptime)),
        ("CPU", " ".join(f"{percent:.0f}%" for percent in told.cpu.percent)),
        ("load", " ".join(f"{load:.2f}" for load in told.load)),
        ("memory", f"{size(told.memory.available)} of {size(told.memory.total)} available"),
        ("overlay", f"{size(told.overlay.used)} of {size(told.overlay.total)} used"),
        ("network", f"{size(told.network.received)} received, {size(told.network.sent)} sent ({told.network.nic})"),
    ]
    if told.temperatures:
        facts.append(("temperature", f"{max(told.temperatures.values()):.0f} °C at most"))
    return facts


def _stages(found: NodeStatus) -> Table:
    """When each stage was reached, how long after the one before, and after power-on."""
    table = plain_table("STAGE", "AT", ">TOOK", ">TOTAL")
    reached = sorted(found.stages.items(), key=lambda item: item[1])
    first = before = reached[0][1]
    for stage, at in reached:
        clock = datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
        took = f"{at - before:.1f}s" if stage is not Stage.POWERED else ""
        table.add_row(stage_text(stage), clock, took, f"{at - first:.1f}s")
        before = at
    return table
