"""`farm session`: who sits at the machines' screens, and who did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

import msgspec
import rich_click as click
from rich.table import Table
from rich.text import Text

from farm.api.answers import MAX_LOG_INS
from farm.cli.history import span
from farm.cli.lazy import SuggestingGroup
from farm.cli.node import require_nodes
from farm.cli.output import out, show_json
from farm.cli.status import load, percent_text, plain_table, screen_text, state_text
from farm.history.log_in_records import LogInRecord
from farm.home import Home
from farm.view.desks import desks_words, jobs_beside, kind_of_session, memory_left, processor_percent
from farm.view.session_words import round_trip_words
from farm.view.status import NodeStatus
from farm.view.wording import clock_words, duration
from farm.workstation.choice import remembering

SESSIONS_SCHEMA = 1


@click.group(cls=SuggestingGroup)
def session() -> None:
    """List who is logged in at the machines, and who was."""


@session.command("list")
@click.option("--history", "past", is_flag=True, help="List log-ins instead, newest first; those that failed too.")
@click.option(
    "--since", callback=span, metavar="SPAN", help="With --history: only sessions of this time: 30m, 12h, 2d, 1w."
)
@click.option("--failed", is_flag=True, help="With --history: only log-ins that failed.")
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LOG_INS),
    default=50,
    show_default=True,
    help="With --history: maximum number of log-ins.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON (docs/status-json.md).")
@click.pass_obj
def list_sessions(home: Home, past: bool, since: float | None, failed: bool, limit: int, as_json: bool) -> None:
    """List the machines at which people log in: who is there, since when, on which server."""
    now = time.time()
    if past:
        found = asyncio.run(
            remembering(home, "log-ins", "farm session list --history").log_ins(
                MAX_LOG_INS, 0.0 if since is None else now - since
            )
        )
        _tell_past([each for each in found if each.failed or not failed][:limit], now, as_json)
        return
    if since is not None or failed:
        raise click.UsageError("--since and --failed are for --history.")
    status = load(home)
    require_nodes(status)
    desks = [node for node in status.nodes if node.session]
    if as_json:
        totals = msgspec.to_builtins(status.desks)
        show_json({"schema": SESSIONS_SCHEMA, "desks": totals, "sessions": [_plain(node) for node in desks]})
    elif desks:
        out.print(f"Desks {desks_words(status.desks)}\n")
        out.print(sessions_table(desks, now))
    else:
        out.print("No machine at which people log in has been seen yet (docs/thin-clients.md).")


def _tell_past(found: Sequence[LogInRecord], now: float, as_json: bool) -> None:
    if as_json:
        show_json({"schema": SESSIONS_SCHEMA, "log_ins": msgspec.to_builtins(found)})
    elif found:
        out.print(log_ins_table(found, now))
    else:
        out.print("No such log-ins.")


def _plain(node: NodeStatus) -> dict[str, object]:
    """A machine for JSON: what its section of the status says, which machine it is, and what it does besides."""
    told, host = node.session.agent if node.session else None, node.host
    online = host is not None and host.online
    return {
        "node": node.name,
        "mac": node.mac,
        "stage": node.stage,
        "agent": msgspec.to_builtins(told),
        "jobs": {"running": host.jobs_running, "slots": host.slots} if host and online else None,
        "cpu_percent": processor_percent(node),
        "load": node.telemetry.load if node.telemetry else None,
        "memory": msgspec.to_builtins(node.telemetry.memory) if node.telemetry else None,
    }


def sessions_table(nodes: Iterable[NodeStatus], now: float) -> Table:
    """A line for each machine: what is on its screen, where that comes from, and what the machine does besides."""
    table = plain_table("NODE", "STAGE", "KIND", "SCREEN", "SERVER", ">ROUND TRIP", ">JOBS", ">CPU", ">FREE")
    for node in nodes:
        told = node.session.agent if node.session else None
        seconds = told.round_trip if told else None
        table.add_row(
            Text(node.name),
            state_text(node),
            Text(kind_of_session(node)),
            screen_text(node, now),
            Text(told.server if told else ""),
            "" if seconds is None else round_trip_words(seconds),
            jobs_beside(node),
            percent_text(node),
            memory_left(node),
        )
    return table


def log_ins_table(log_ins: Iterable[LogInRecord], now: float) -> Table:
    """A line for each log-in: who, where, from when to when, or why not."""
    table = plain_table("FROM", "TO", ">TOOK", "USER", "NODE", "SERVER", "")
    for each in log_ins:
        if each.failed:
            to, took = Text("failed", style="yellow"), ""
        elif each.lasts:
            to, took = Text("now", style="green"), duration(now - each.began)
        else:
            to, took = Text(clock_words(each.ended, now)), duration(each.ended - each.began)
        server = Text(each.server)
        began = clock_words(each.began, now)
        table.add_row(began, to, took, Text(each.user), Text(each.node), server, Text(each.failed, style="yellow"))
    return table
