"""`farm simulate`: fake daemons that keep a real scheduler busy."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network

import msgspec
import rich_click as click
from rich.table import Table
from rich.text import Text

from farm.cli.output import Drawing, draws, err, out, show_json
from farm.errors import FarmError, UsageError
from farm.node.ports import SCHEDULER_PORT
from farm.scheduler.discovery import parse_target
from farm.simulate import own_scheduler
from farm.simulate.plan import SimulationSettings
from farm.simulate.simulation import Simulation

SIMULATE_SCHEMA = 1
END_PATIENCE = 5.0

SHOWN = {
    "requested": "requested",
    "begun": "begun on nodes",
    "done": "ended",
    "failed": "  failed",
    "lost": "  lost with their node",
    "own": "  given back to the submitter",
    "local": "local jobs begun",
    "fallback": "  after a failed or lost job",
    "local_done": "local jobs ended",
    "unfinished": "not ended",
}
"""Field of Counts → its line in the table."""


@click.command(context_settings={"allow_interspersed_args": False, "show_default": True})
@click.option("--nodes", type=click.IntRange(0, 10000), default=50, help="Number of nodes.")
@click.option("--slots", type=click.IntRange(1, 1000), default=4, help="Number of slots per node.")
@click.option("--jobs", type=click.FloatRange(0), default=100.0, help="Jobs per second, on average.")
@click.option("--submitters", type=click.IntRange(1, 240), default=6, help="Number of machines that submit jobs.")
@click.option(
    "--submitter-slots", type=click.IntRange(0, 1000), default=0, help="Slots of each submitter, for its own jobs."
)
@click.option("--failures", type=click.FloatRange(0, 1), default=0.02, help="Share of jobs that fail on a node.")
@click.option("--local", type=click.FloatRange(0, 1), default=0.1, help="Share of jobs done without a node.")
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="Mean duration of a job (default: fits the slots)."
)
@click.option(
    "--idle", type=click.FloatRange(0, 0.95), default=0.25, help="Share of time between builds; 0 makes an even load."
)
@click.option("--churn", type=click.FloatRange(0), default=0.0, help="Nodes lost per minute; they come back.")
@click.option("--seed", type=int, default=1, help="Seed of the random jobs.")
@click.option("--duration", type=click.FloatRange(0), help="Seconds to run before waiting for the jobs in flight.")
@click.option("--name", help="Name that distinguishes simulated farms running at the same time.")
@click.option(
    "--scheduler", "attach", metavar="HOST[:PORT]", help="Existing scheduler to use, instead of starting one."
)
@click.option("--network", metavar="CIDR", help="With --scheduler: local addresses for the daemons, one for each.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
def simulate(
    duration: float | None,
    name: str | None,
    attach: str | None,
    network: str | None,
    as_json: bool,
    argv: tuple[str, ...],
    **options: float,
) -> None:
    """Simulate a farm: fake nodes and submitters at a real scheduler, in a network namespace of its own.

    The simulation ends after --duration, at Ctrl-C, or with CMD, which runs in the same namespace:
    sudo farm simulate --nodes 200 --jobs 300 -- farm top --scheduler 10.78.0.1
    """
    settings = msgspec.convert(options, SimulationSettings)
    own_scheduler.allow_many_connections()
    if attach is None:
        if network is not None:
            raise UsageError(
                "--network needs --scheduler.", "Without --scheduler, the simulated farm chooses its addresses itself."
            )
        simulation = Simulation(settings, own_scheduler.SCHEDULER_ADDRESS, SCHEDULER_PORT, own_scheduler.NETWORK)
        with _stopped_by_signals(simulation, bool(argv)), _own_scheduler(name):
            code = asyncio.run(_run(simulation, duration, argv))
    else:
        host, port = parse_target(attach)
        simulation = Simulation(settings, host, port, _network(network))
        with _stopped_by_signals(simulation, bool(argv)):
            code = asyncio.run(_run(simulation, duration, argv))
    _show_counts(simulation, as_json)
    sys.exit(code)


@contextlib.contextmanager
def _own_scheduler(name: str | None) -> Iterator[None]:
    if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
        raise UsageError("--name must consist of lower-case letters, digits and hyphens.", f"The name is: {name!r}")
    full = f"farm-sim-{name}" if name else "farm-sim"
    with own_scheduler.own_namespace(full), own_scheduler.scheduler(full, netname=full):
        look = f"sudo ip netns exec {full} farm top --scheduler {own_scheduler.SCHEDULER_ADDRESS}"
        err.print(
            Text.assemble("The scheduler's network is ", (full, "bold"), f". To look at it: {look}"), soft_wrap=True
        )
        yield


@contextlib.contextmanager
def _stopped_by_signals(simulation: Simulation, command: bool) -> Iterator[None]:
    """SIGTERM, SIGHUP and, without CMD, Ctrl-C end the simulation and nothing else, so that all is tidied up."""

    def stop(_number: int, _frame: object) -> None:
        simulation.stop()

    def leave_to_command(_number: int, _frame: object) -> None:
        pass

    handlers = {signal.SIGTERM: stop, signal.SIGHUP: stop, signal.SIGINT: leave_to_command if command else stop}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _run(simulation: Simulation, duration: float | None, argv: Sequence[str]) -> int:
    """Run the simulation and what goes with it; CMD's exit code, or 0."""
    running = asyncio.create_task(simulation.run(duration))
    beside = asyncio.create_task(_command(simulation, argv) if argv else _progress(simulation))
    await asyncio.wait([running, beside], return_when=asyncio.FIRST_COMPLETED)
    if beside.done():
        simulation.stop()
    await asyncio.wait([running])
    beside.cancel()
    await asyncio.wait([beside])
    await running
    return 0 if beside.cancelled() else await beside


async def _command(simulation: Simulation, argv: Sequence[str]) -> int:
    await simulation.at_work.wait()
    try:
        process = await asyncio.create_subprocess_exec(*argv)
    except OSError as error:
        raise FarmError(f"{argv[0]} cannot be run.", error.strerror or str(error)) from error
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), END_PATIENCE)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _progress(simulation: Simulation) -> int:
    """One line that is kept up to date, if there is a terminal; never ends by itself."""
    with Drawing(console=err, auto_refresh=False, transient=True) if draws(err) else contextlib.nullcontext() as live:
        before, since = 0, time.monotonic()
        while True:
            await asyncio.sleep(1)
            counts, now = simulation.counts, time.monotonic()
            ended = counts.done + counts.local_done
            rate, before, since = (ended - before) / (now - since), ended, now
            if live is not None:
                live.update(_line(simulation, rate), refresh=True)


def _line(simulation: Simulation, rate: float) -> Text:
    counts = simulation.counts
    return Text.assemble(
        (f"{simulation.logged_in}/{len(simulation.nodes)} nodes", "bold"),
        f"  {rate:.0f} jobs/s  {simulation.in_flight} in flight",
        f"  {counts.done} ended, {counts.failed} failed, {counts.lost} lost, {counts.local} local",
        no_wrap=True,
        overflow="ellipsis",
    )


def _show_counts(simulation: Simulation, as_json: bool) -> None:
    counts = msgspec.to_builtins(simulation.counts)
    if as_json:
        show_json({"schema": SIMULATE_SCHEMA, "login_seconds": round(simulation.login_seconds, 2), "jobs": counts})
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for field, label in SHOWN.items():
        if counts[field] or not label.startswith(" "):
            table.add_row(label, str(counts[field]))
    out.print(table)


def _network(text: str | None) -> IPv4Network | None:
    try:
        return None if text is None else IPv4Network(text)
    except ValueError as error:
        raise UsageError("--network must be a network such as 127.78.0.0/16.", str(error)) from error
