"""`farm scheduler`: which one it is, who speaks what to it, what is blocked, who rivals it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable

import msgspec
import rich_click as click
from msgspec import Struct
from msgspec.structs import replace
from rich.table import Table
from rich.text import Text

from farm.cli.attach_options import Sought, attach_options
from farm.cli.node import everyone
from farm.cli.output import out, show_json
from farm.cli.status import load
from farm.home import Home
from farm.printable import printable
from farm.scheduler import discovery
from farm.view.status import HostStatus, SchedulerStatus, Status
from farm.view.wording import count, duration
from farm.workstation.choice import AttachTarget

EXIT_SCHEDULER_DOWN = 3
NEARBY_SECONDS = 1.0


class SchedulerReport(Struct, frozen=True, kw_only=True):
    """What `farm scheduler --json` says."""

    schema: int = 1
    scheduler: SchedulerStatus
    started: float
    """Unix time, by the scheduler's clock; 0: not known."""
    daemons: int
    """Number of daemons that are logged in."""
    slots: int
    protocols: dict[int, int]
    """Protocol → daemons that speak it at most."""
    platforms: dict[str, int]
    features: dict[str, int]
    """Compressions of environments → daemons that understand them."""


def summarize(status: Status, started: float) -> SchedulerReport:
    """The scheduler and the daemons that are logged in to it."""
    hosts = [node.host for node in everyone(status) if node.host and node.host.online]
    return SchedulerReport(
        scheduler=status.scheduler,
        started=started,
        daemons=len(hosts),
        slots=sum(host.slots for host in hosts),
        protocols=dict(sorted(Counter(host.protocol for host in hosts).items())),
        platforms=dict(sorted(Counter(host.platform for host in hosts).items())),
        features=dict(sorted(_features(hosts).items())),
    )


def _features(hosts: Iterable[HostStatus]) -> Counter[str]:
    return Counter(feature for host in hosts for feature in host.features)


@click.command()
@attach_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON (docs/status-json.md).")
@click.pass_context
def scheduler(ctx: click.Context, sought: Sought, as_json: bool) -> None:
    """Show the scheduler, its network, rivals and daemons, and blocked names.

    Exits with 3 if the scheduler is down or another one answers for the same network.
    """
    home: Home = ctx.obj
    choice = sought.choice(home)
    if choice.how == "home":
        status = load(home)
        since = (service.since for service in status.services if service.name == "scheduler" and service.up)
        report = summarize(status, next(since, 0.0))
    else:
        report = asyncio.run(_look(home, choice))
    if as_json:
        show_json(msgspec.to_builtins(report, str_keys=True))
    else:
        out.print(_facts(report, time.time()))
    ctx.exit(0 if report.scheduler.up and not report.scheduler.rivals else EXIT_SCHEDULER_DOWN)


async def _look(home: Home, choice: AttachTarget) -> SchedulerReport:
    """Of any scheduler; what it does not tell its monitors it tells whoever looks for schedulers."""
    host, port = choice.host, choice.port
    status, own, found = await asyncio.gather(
        choice.attach(home).status(), discovery.discover(port, NEARBY_SECONDS, host), discovery.discover(port)
    )
    name, started = (own[0].netname, own[0].started) if own else (choice.netname, 0)
    rivals = tuple(discovery.rivals([*own, *found], host, name)) if own else ()
    known = replace(status.scheduler, netname=name, rivals=rivals)
    return summarize(replace(status, scheduler=known), float(started))


def _facts(report: SchedulerReport, now: float) -> Table:
    known = report.scheduler
    table = Table.grid(padding=(0, 2))
    state = Text("up", style="green") if known.up else Text(f"down: {known.why}", style="bold red")
    if known.up and report.started:
        state.append(f" for {duration(now - report.started)}", style="default")
    facts: list[tuple[str, str | Text]] = [
        ("scheduler", Text(known.address, style="bold")),
        ("state", state),
        ("network", printable(known.netname)),
        ("protocol", str(known.protocol)),
        ("daemons", f"{report.daemons}, {count(report.slots, 'slot')}"),
        ("protocols", _counts(report.protocols)),
        ("platforms", _counts(report.platforms)),
        ("features", _counts(report.features)),
        ("blocked", ", ".join(map(printable, known.blocked)) or "nobody"),
        ("rivals", _rivals(known)),
    ]
    for key, value in facts:
        table.add_row(Text(key, style="dim"), value if isinstance(value, Text) else Text(value))
    return table


def _counts(counts: dict[int, int] | dict[str, int]) -> str:
    return ", ".join(f"{printable(str(what))} ×{number}" for what, number in counts.items()) or "none"


def _rivals(known: SchedulerStatus) -> Text:
    if not known.rivals:
        return Text("none")
    named = ", ".join(f"{rival.address}:{rival.port} (protocol {rival.protocol})" for rival in known.rivals)
    return Text(f"{named}: daemons without a fixed scheduler may join it", style="bold red")
