"""`farm node`: the machines that boot from this farm."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable
from datetime import datetime

import msgspec
import rich_click as click
from rich.table import Table
from rich.text import Text

from farm.cli.attach_options import Sought, attach_options
from farm.cli.lazy import LazyGroup
from farm.cli.next_boot import NextBoot, next_boot, settings_table
from farm.cli.output import out, show_json
from farm.cli.status import look, nodes_table, plain_table, stage_text, state_text
from farm.errors import FarmError
from farm.errors.hints import hint
from farm.home import Home
from farm.printable import printable
from farm.view import boot
from farm.view.desks import offer_words, session_kind_words
from farm.view.idle import idle_reason
from farm.view.roles import Idle
from farm.view.session_words import extra_lines, round_trip_words
from farm.view.status import STATUS_SCHEMA, CompileStatus, HostStatus, NodeStatus, Status
from farm.view.wording import clock_words, count, duration, size
from farm.watch.events import Stage
from farm.watch.node_telemetry import CompileTold, LogInTold, SessionTold, Telemetry

CANARY_TEXTS: dict[str, str | Text] = {
    "right": "same object as on the server, from a small source",
    "wrong": Text("different object than on the server, from the same source", style="bold red"),
    "none": "no object from a small source: the daemon was busy, or has no suitable compiler",
}
SHOWN_LOG_INS = 8
"""The last ones at a machine; all that are remembered: farm session list --history."""
MAX_NAMED_NODES = 32
"""Nodes that an error names."""


def find_node(status: Status, name: str) -> NodeStatus:
    """The node of this name, MAC or address; raises FarmError when there is none, or names it ambiguously."""
    require_nodes(status)
    return pick(status.nodes, name)


def require_nodes(status: Status) -> None:
    """Raises FarmError when nothing is known of the farm's nodes."""
    if status.farm and not status.farmd:
        silent = next(each for each in status.findings if each.code == "farmd-silent")
        raise FarmError(silent.what, "", silent.fix)


def pick(nodes: Iterable[NodeStatus], name: str) -> NodeStatus:
    """The one of this name, MAC, address or key; raises FarmError when there is none, or names it ambiguously.

    Who is there goes before who is not: a daemon that has moved to another address is known at the old one too.
    """
    known = list(nodes)
    mac = name.lower().replace("-", ":")
    found = [each for each in known if name and (name in (each.name, each.address, each.key) or mac == each.mac)]
    found = [node for node in found if node.mac or (node.host and node.host.online)] or found
    if not found:
        names = sorted({node.name for node in known})
        near = difflib.get_close_matches(name, names, n=3)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        told = ", ".join(names[:MAX_NAMED_NODES]) or "none"
        raise FarmError(f"There is no node {name}.", f"Known nodes: {told}.", f"{meant}List them: farm node list")
    if len(found) > 1:
        keys = ", ".join(node.key for node in found)
        raise FarmError(f"Several nodes have the name {name}.", f"They are: {keys}.", "Use one of these.")
    return found[0]


def everyone(status: Status) -> list[NodeStatus]:
    """Nodes, and the other daemons as such."""
    others = (
        NodeStatus(
            key=f"{host.name}@{host.address}",
            name=host.name,
            address=host.address,
            stage=Stage.READY,
            since=host.since if status.farm and not host.found else 0.0,
            compile=CompileStatus(host),
        )
        for host in status.hosts
    )
    return [*status.nodes, *others]


COMMANDS = {
    "list": "farm.cli.node:list_nodes",
    "show": "farm.cli.node",
    "ssh": "farm.cli.node_access:ssh_",
    "console": "farm.cli.node_access",
    "screen": "farm.cli.node_screen",
    "type": "farm.cli.node_screen:type_",
    "message": "farm.cli.node_screen_orders",
    "logout": "farm.cli.node_screen_orders",
    "reboot": "farm.cli.node_access",
    "off": "farm.cli.node_access",
    "drain": "farm.cli.node_orders",
    "block": "farm.cli.node_orders",
    "unblock": "farm.cli.node_orders",
    "kick": "farm.cli.node_orders",
}


@click.group(cls=LazyGroup, places=COMMANDS)
def node() -> None:
    """List nodes, show one, give orders."""


@click.command("list")
@attach_options
@click.option("--json", "as_json", is_flag=True, help="Print the nodes as JSON (docs/status-json.md).")
@click.pass_obj
def list_nodes(home: Home, sought: Sought, as_json: bool) -> None:
    """List the nodes and their boot stages."""
    status = look(home, sought.choice(home))
    require_nodes(status)
    if as_json:
        show_json({"schema": STATUS_SCHEMA, "nodes": msgspec.to_builtins(status.nodes)})
    elif status.nodes:
        out.print(nodes_table(status.nodes))
    elif status.farm:
        out.print("No node has been seen yet. Switch on a PC that boots from the network.")
    else:
        out.print("No daemon that takes jobs is logged in to this scheduler.")


@click.command()
@click.argument("name", metavar="NODE")
@attach_options
@click.option("--json", "as_json", is_flag=True, help="Print the node as JSON (docs/status-json.md).")
@click.pass_obj
def show(home: Home, name: str, sought: Sought, as_json: bool) -> None:
    """Show one node: its state, why it is idle, and the stages of its boot. NODE: name, MAC or address."""
    choice = sought.choice(home)
    status = look(home, choice)
    require_nodes(status)
    nodes = everyone(status)
    found, now = pick(nodes, name), time.time()
    idle = idle_reason(found, nodes, status, now)
    boots = next_boot(home, found, status.images) if choice.how == "home" else None
    if as_json:
        more = {"idle": idle, "next_boot": boots}
        show_json({"schema": STATUS_SCHEMA, "node": {**msgspec.to_builtins(found), **msgspec.to_builtins(more)}})
        return
    out.print(_facts(found, idle, boots, now))
    if boots:
        out.print(settings_table(boots, found))
    if found.stages:
        out.print(_stages(found))


def _facts(found: NodeStatus, idle: Idle | None, boots: NextBoot | None, now: float) -> Table:
    table = Table.grid(padding=(0, 2))
    state = state_text(found)
    if found.doing_since:
        state.append(f" for {duration(now - found.doing_since)}", style="default")
    facts: list[tuple[str, str | Text]] = [("node", Text(found.name, style="bold")), ("stage", state)]
    if idle:
        facts.append(("idle", idle.why + (f" → {idle.mend}" if idle.mend else "")))
    if found.mac:
        facts.append(("MAC", found.mac))
    facts.append(("address", found.address or "none yet"))
    if found.mac:
        verified = "yes: its agent was heard at its address" if found.verified else "no: its agent was not heard"
        facts.append(("verified", verified))
        facts += _images(found, boots)
        facts.append(("fetched", f"{size(found.fetched)} for booting"))
    if found.host:
        facts += _host(found.host, ours=bool(found.mac))
    if found.compile and found.compile.agent:
        facts += _iceccd(found.compile.agent)
    if offer := offer_words(found):
        facts.append(("offers", offer))
    if found.session and found.session.agent:
        facts += _session(found.session.agent, now)
    if found.telemetry:
        facts += _telemetry(found.telemetry)
    for key, value in facts:
        table.add_row(Text(key, style="dim"), value if isinstance(value, Text) else Text(value))
    return table


def _images(found: NodeStatus, boots: NextBoot | None) -> list[tuple[str, str | Text]]:
    """What it runs, and what its next boot gets."""
    outdated = " (its next boot gets another version)" if found.outdated else ""
    facts: list[tuple[str, str | Text]] = [("image", (found.image or "unknown") + outdated)]
    if boots:
        facts.append(("next boot", f"{boots.image or 'no image'}, root by {boots.root}"))
        if boots.lts_conf:
            said = f"{count(len(boots.lts_conf), 'variable')} for it: farm lts show {found.name}"
            facts.append(("lts.conf", hint(said)))
    return facts


def _host(host: HostStatus, ours: bool) -> list[tuple[str, str | Text]]:
    """What the scheduler tells; what has ended is counted on a farm's server alone (``ours``)."""
    features = f" ({' '.join(host.features)})" if host.features else ""
    jobs, requested = f"{host.jobs_running} running", f"{host.jobs_pending} waiting"
    if ours:
        jobs += f", {host.jobs_done} done, {host.jobs_failed} failed"
        requested = f"{host.jobs_submitted}, {requested}, {host.jobs_local} compiled locally"
    slots = f"{host.slots}, load {host.load / 10:.0f}%, speed {host.speed:.0f}"
    return [
        ("slots", slots if host.online else "none: not logged in to the scheduler"),
        ("jobs", jobs),
        ("requested", requested),
        *([("canary", CANARY_TEXTS[host.canary])] if host.canary else []),
        ("daemon", f"{host.platform}, protocol {host.protocol}{features}"),
    ]


def _iceccd(told: CompileTold) -> list[tuple[str, str | Text]]:
    return [
        ("iceccd", "runs" if told.ready else Text("not running", style="bold red")),
        *(("environment", f"{printable(held.name)}, {size(held.bytes)}") for held in told.environments),
    ]


def _session(told: SessionTold, now: float) -> list[tuple[str, str | Text]]:
    greeter = "on the screen" if told.greeter else Text("not on the screen", style="bold red")
    facts: list[tuple[str, str | Text]] = [
        ("logged in", f"{user.name} since {clock_words(user.since, now)} ({duration(now - user.since)})")
        for user in told.users
    ] or [("greeter", greeter)]
    if told.kind:
        facts.append(("sessions", session_kind_words(told.kind)))
    if told.server:
        facts.append(("server", told.server))
    if told.round_trip is not None:
        facts.append(("round trip", f"{round_trip_words(told.round_trip)} to the server and back"))
    facts += extra_lines(told.extras)
    if lost := told.unsaved:
        facts.append(("log-out", Text(f"{clock_words(lost.at, now)}  {lost.user}: {lost.said}", style="yellow")))
    facts += [("log-in", _log_in(each, now)) for each in reversed(told.log_ins[-SHOWN_LOG_INS:])]
    return facts


def _log_in(told: LogInTold, now: float) -> Text:
    """One of the last log-ins, for `node show`."""
    said = f"{clock_words(told.at, now)}  {told.user or 'somebody'}"
    where = f" on {told.server}" if told.server else ""
    return Text(f"{said}: {told.failed}", style="yellow") if told.failed else Text(f"{said}{where}")


def _telemetry(told: Telemetry) -> list[tuple[str, str | Text]]:
    facts: list[tuple[str, str | Text]] = [
        ("root", f"read over {printable(told.root)}" if told.root else "its image does not say how it is read"),
        ("up", duration(told.uptime)),
        ("CPU", " ".join(f"{percent:.0f}%" for percent in told.cpu.percent)),
        ("load", " ".join(f"{load:.2f}" for load in told.load)),
        ("memory", f"{size(told.memory.available)} of {size(told.memory.total)} available"),
        ("overlay", f"{size(told.overlay.used)} of {size(told.overlay.total)} used"),
        ("network", f"{size(told.network.received)} received, {size(told.network.sent)} sent ({told.network.nic})"),
    ]
    facts += [
        ("file", Text(f"no {printable(path)}: {printable(why)}", style="bold red"))
        for path, why in told.files.failed.items()
    ]
    if told.temperatures:
        facts.append(("temperature", f"{max(told.temperatures.values()):.0f} °C (highest)"))
    return facts


def _stages(found: NodeStatus) -> Table:
    """When each stage was reached, how long after the one before, and after power-on."""
    table = plain_table("STAGE", "AT", ">TOOK", ">TOTAL")
    reached = [(stage_text(stage), at) for stage, at in found.stages.items()]
    reached += [(stage_text(Stage.READY, word=name), at) for name, at in boot.marks(found)]
    reached.sort(key=lambda item: item[1])
    first = before = reached[0][1]
    for word, at in reached:
        clock = datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
        took = f"{at - before:.1f}s" if word.plain != Stage.POWERED else ""
        table.add_row(word, clock, took, f"{at - first:.1f}s")
        before = at
    return table
