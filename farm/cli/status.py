"""`farm status`: services, nodes by stage, scheduler and image, for people and for scripts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import msgspec
import rich_click as click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from farm.api.client import fetch_status
from farm.cli.attach_options import Sought, attach_options
from farm.cli.output import Drawing, draws, end_with_reader, out, show_json
from farm.errors import FarmError
from farm.home import Home
from farm.supervisor import Supervisor
from farm.view.desks import desks_words, jobs_beside, kind_of_session, memory_left, processor_percent
from farm.view.from_state import build
from farm.view.roles import stage_word
from farm.view.session_words import failed_lately
from farm.view.status import NodeStatus, Status
from farm.view.wording import clock_words, count, duration
from farm.watch import service_source
from farm.watch.events import Stage
from farm.watch.state import fold, initial
from farm.workstation.choice import AttachTarget, instance_here

WRONG = 3
REDRAW_SECONDS = 1.0
STAGE_STYLES = {
    Stage.OFF: "dim",
    Stage.READY: "green",
    Stage.REGISTERED: "cyan",
    Stage.LOST: "bold red",
}
"""How a stage is shown; those on the way are yellow."""


def load(home: Home) -> Status:
    """The status of the home's farm: from farmd, or without it what supervisord says.

    Raises FarmError, also when the farm is not up.
    """
    instance = instance_here(home)
    try:
        return fetch_status(home)
    except FarmError as error:
        farm = fold(initial(instance.config.name, {}), service_source.ask_supervisor(Supervisor(home)))
        return build(farm, instance, farmd_why=error.what)


def look(home: Home, choice: AttachTarget) -> Status:
    """The status of what a command looks at. Raises FarmError."""
    return load(home) if choice.how == "home" else asyncio.run(choice.attach(home).status())


def state_text(node: NodeStatus) -> Text:
    """How far a node has come, or that it is blocked."""
    return Text("blocked", style="bold red") if node.blocked else stage_text(node.stage, node.order, stage_word(node))


def stage_text(stage: Stage, order: str = "", word: str = "") -> Text:
    """A stage in its colour (``word``: as it is called), or what a node was told instead."""
    if order and stage.rank >= Stage.AGENT.rank:
        return Text({"drain": "drains", "reboot": "reboots"}.get(order, order), style="yellow")
    return Text(word or stage, style=STAGE_STYLES.get(stage, "yellow"))


def plain_table(*columns: str) -> Table:
    """A table without lines; columns that begin with > are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold dim")
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table


def services_table(status: Status, now: float) -> Table:
    """The services and how long each has run."""
    table = plain_table("SERVICE", "STATE", ">UP", ">PID")
    for service in status.services:
        wrong = service.silent or (not service.up and not service.machine)
        state = "off" if service.machine and not service.up else service.state.lower()
        state = "silent" if service.silent else state
        style = "bold red" if wrong else "green" if service.up else "dim"
        since = duration(now - service.since) if service.up else ""
        table.add_row(Text(service.name), Text(state, style=style), since, str(service.pid or ""))
    return table


def nodes_table(nodes: Sequence[NodeStatus]) -> Table:
    """The nodes: how far each has come, and what it does; of daemons at any scheduler what that tells of them."""
    if not any(node.mac for node in nodes):
        return _daemons_table(nodes)
    now = time.time()
    desks = any(node.session for node in nodes)
    screen = [">FREE", "SCREEN"] if desks else []
    table = plain_table("NODE", "STAGE", ">FOR", "ADDRESS", ">JOBS", ">DONE", ">CPU", "IMAGE", *screen)
    # A name in two pieces is found by no grep, and a narrow terminal leaves other columns less.
    table.columns[0].no_wrap = True
    for node in nodes:
        host = node.host
        table.add_row(
            Text(node.name),
            state_text(node),
            duration(now - node.doing_since) if node.doing_since else "",
            Text(node.address),
            jobs_beside(node),
            str(host.jobs_done) if host else "",
            percent_text(node),
            Text("other", style="yellow") if node.outdated else Text("current" if node.image else "", style="dim"),
            *([Text(memory_left(node)), _screen_and_kind(node, now)] if desks else []),
        )
    return table


def _daemons_table(nodes: Sequence[NodeStatus]) -> Table:
    table = plain_table("NODE", "STATE", "ADDRESS", ">JOBS", ">LOAD", ">SPEED", "PLATFORM")
    table.columns[0].no_wrap = True
    for node in nodes:
        host = node.host if node.host and node.host.online else None
        told = (
            (f"{host.load / 10:.0f}%", f"{host.speed:.0f}" if host.speed else "", host.platform)
            if host
            else ("", "", "")
        )
        table.add_row(Text(node.name), state_text(node), Text(node.address), jobs_beside(node), *map(Text, told))
    return table


def _screen_and_kind(node: NodeStatus, now: float) -> Text:
    """Who sits there, with the kind of session where somebody does."""
    kind = kind_of_session(node) if node.users else ""
    return screen_text(node, now).append(f" ({kind})" if kind else "", style="dim")


def percent_text(node: NodeStatus) -> str:
    """How busy its processors are: 12%; empty when its agent does not say it."""
    percent = processor_percent(node)
    return "" if percent is None else f"{percent:.0f}%"


def screen_text(node: NodeStatus, now: float) -> Text:
    """Who sits at a machine since when, or why the last log-in failed a short time ago."""
    told = node.session.agent if node.session else None
    if told is None:
        return Text()
    if failure := failed_lately(told, now):
        return Text(f"log-in failed: {failure.failed}", style="yellow")
    return Text(", ".join(f"{user.name} since {clock_words(user.since, now)}" for user in told.users))


def summary(status: Status, now: float) -> Text:
    """One line on nodes and slots, one on scheduler and image."""
    if not status.farm:
        return _bare_summary(status)
    ready = [node for node in status.nodes if node.stage is Stage.READY]
    slots = sum(node.host.slots for node in ready if node.host)
    scheduler = status.scheduler
    where = f" (namespace {status.namespace})" if status.namespace else ""
    up = duration(now - status.started)
    return Text.assemble(
        (f"Farm {status.farm}", "bold"), f" on {status.interface}{where}, up {up}\n",
        "Scheduler ", scheduler.address, " ", ("up", "green") if scheduler.up else ("down", "bold red"),
        f", network {scheduler.netname}\n",
        "Image ", (", ".join(status.images.values()) or "none", "bold"), " for next boots\n",
        f"Nodes {len(ready)} of {len(status.nodes)} ready, {count(slots, 'slot')}\n",
        f"Desks {desks_words(status.desks)}\n" if status.desks.known else "",
    )  # fmt: skip


def _bare_summary(status: Status) -> Text:
    scheduler = status.scheduler
    online = [node.host for node in status.nodes if node.host and node.host.online]
    pending = sum(host.jobs_pending for host in [*online, *status.hosts])
    return Text.assemble(
        ("Scheduler ", "bold"), scheduler.address, " ", ("up", "green") if scheduler.up else ("down", "bold red"),
        f", network {scheduler.netname}" if scheduler.netname else "", f", protocol {scheduler.protocol}\n",
        f"Nodes {len(online)}, {count(sum(host.slots for host in online), 'slot')}, "
        f"{count(len(status.hosts), 'other daemon')}\n",
        f"Jobs {sum(host.jobs_running for host in online)} running, {pending} waiting\n",
    )  # fmt: skip


def view(status: Status, now: float) -> RenderableType:
    """All that `farm status` prints, from the summary to the list of problems."""
    parts: list[RenderableType] = [summary(status, now)]
    if status.services:
        parts.append(services_table(status, now))
    if status.nodes:
        parts += [Text(), nodes_table(status.nodes)]
    notes = [
        Text(f"Unverified: {each.instance} says it is {each.mac} at {each.address}", style="dim")
        for each in status.strangers
    ]
    notes += [Text(image.sentence, style="yellow") for image in status.unverified]
    notes += [Text.assemble(("! ", "bold red"), problem) for problem in status.problems]
    return Group(*parts, *([Text(), *notes] if notes else []))


@click.command()
@attach_options
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON (docs/status-json.md).")
@click.option("--watch", is_flag=True, help="Show the status continuously, until Ctrl-C.")
@click.pass_context
def status(ctx: click.Context, sought: Sought, as_json: bool, watch: bool) -> None:
    """Show the farm's services and nodes. Exits with 3 if there are problems."""
    home: Home = ctx.obj
    choice = sought.choice(home)
    now = look(home, choice)
    if as_json:
        show_json(msgspec.to_builtins(now))
    elif watch:
        _watch(now, lambda: look(home, choice))
    else:
        out.print(view(now, time.time()))
    ctx.exit(WRONG if now.problems else 0)


def _watch(first: Status, look: Callable[[], Status]) -> None:
    """Show it again and again: in place on a terminal, else one after the other."""
    shown = view(first, time.time())
    end_with_reader()
    with Drawing(shown, console=out, auto_refresh=False, screen=True) if draws(out) else nullcontext() as live:
        while True:
            if live is None:
                out.print(shown)
                out.file.flush()
            else:
                live.update(shown, refresh=True)
            time.sleep(REDRAW_SECONDS)
            try:
                shown = view(look(), time.time())
            except FarmError as error:  # it may come back; what was known of it holds no more
                why = " ".join(part for part in (error.what, error.why) if part)
                shown = Group(Text.assemble(("! ", "bold red"), why))
