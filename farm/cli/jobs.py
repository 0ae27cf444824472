"""`farm jobs`: compilations in flight, and those that have ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any, Literal

import msgspec
import rich_click as click
from msgspec import Struct
from rich.table import Table
from rich.text import Text

from farm.attach import Attachment
from farm.cli.attach_options import Sought, attach_options
from farm.cli.output import end_with_reader, err, out, show_json
from farm.cli.status import plain_table
from farm.cli.watching import Watch, watching
from farm.home import Home
from farm.view.live import Live, Snapshot, Update
from farm.view.wording import duration, exit_words, milliseconds
from farm.watch.activity import Job, JobPlace, JobState

Happening = Literal["begun", "ended", "lost"]

JOB_STYLES = {JobState.PENDING: "yellow", JobState.RUNNING: "cyan", JobState.DONE: "green", JobState.FAILED: "bold red"}


class JobFilter(Struct, frozen=True):
    """Which jobs are meant; empty: all."""

    node: str = ""
    """A node's name or address."""
    submitter: str = ""
    states: frozenset[JobState] = frozenset()

    def passes(self, job: Job) -> bool:
        """Whether the job is one of them."""
        return (
            (not self.node or self.node in job.node)
            and (not self.submitter or self.submitter in job.submitter)
            and (not self.states or job.state in self.states)
        )


def jobs_table(jobs: Iterable[Job], now: float) -> Table:
    """Jobs, one a line; without times where none is known: of what was in flight before a scheduler was asked."""
    listed = [(job, _took(job, now)) for job in jobs]
    timed = any(took for _, took in listed)
    table = plain_table(">ID", "STATE", *([">TIME"] if timed else []), "SUBMITTER", "NODE", "FILE")
    for job, took in listed:
        table.add_row(
            str(job.id),
            Text(job.state, style=JOB_STYLES[job.state]),
            *([took] if timed else []),
            Text(job.submitter[0]),
            Text(where(job)),
            Text(job.file + (f" ({exit_words(job.exit)})" if job.exit else "")),
        )
    return table


def where(job: Job) -> str:
    """The node, or how it came that there is none."""
    if job.place in (JobPlace.LOCAL, JobPlace.FALLBACK):
        return f"({job.place})"
    return job.node[0]


def _took(job: Job, now: float) -> str:
    match job.state:
        # Of what was in flight before the watching began it is not known since when.
        case JobState.PENDING:
            return duration(now - job.requested) if job.requested else ""
        case JobState.RUNNING:
            return duration(now - job.begun) if job.begun else ""
    return milliseconds(job.real)


def line(happening: Happening, job: Job, at: float) -> Text:
    """What happened to a job, in a line."""
    clock = datetime.fromtimestamp(at).strftime("%H:%M:%S")
    style = JOB_STYLES[job.state] if happening != "lost" else "bold red"
    took = f" {milliseconds(job.real)}" if happening == "ended" else ""
    failed = f" {exit_words(job.exit)}" if job.exit else ""
    route = f"{job.submitter[0]} → {where(job)}"
    return Text.assemble(clock, " ", (f"{happening:<5}", style), f" {job.id} {job.file}  {route}{took}{failed}")


def happenings(update: Update, known: dict[int, Job]) -> list[tuple[Happening, Job]]:
    """What an update tells of jobs; ``known``: those in flight before it. A snapshot tells of nothing that happens.

    What is found running when a scheduler is reached has no time at which it began: that is no news.
    """
    if isinstance(update, Snapshot):
        return []
    before = {id: job.begun for id, job in known.items() if job.state is JobState.RUNNING}
    begun = [
        job for job in update.jobs if job.state is JobState.RUNNING and job.begun and job.begun != before.get(job.id)
    ]
    lost = [known[id] for id in update.lost if id in known]
    return [
        *(("begun", job) for job in begun),
        *(("ended", job) for job in update.ended),
        *(("lost", job) for job in lost),
    ]


@click.command()
@attach_options
@click.option(
    "--json", "as_json", is_flag=True, help="Print the jobs as JSON (docs/status-json.md); with -f one per line."
)
@click.option("-f", "--follow", is_flag=True, help="Print each job as it begins and ends, until Ctrl-C.")
@click.option(
    "--ended", type=click.IntRange(min=0), default=20, show_default=True, help="Number of ended jobs to show."
)
@click.option("--node", "node_name", default="", metavar="NODE", help="Show only jobs on this node (name or address).")
@click.option("--submitter", default="", metavar="HOST", help="Show only jobs of this submitter.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in JobState]),
    help="Show only jobs in this state.",
)
@click.option("--failed", is_flag=True, help="Show only failed jobs.")
@click.pass_obj
def jobs(
    home: Home,
    sought: Sought,
    as_json: bool,
    follow: bool,
    ended: int,
    node_name: str,
    submitter: str,
    states: tuple[str, ...],
    failed: bool,
) -> None:
    """Show compile jobs: those in flight, and the last ended ones.

    A scheduler does not remember ended jobs: away from a farm's server, use --follow to see them.
    """
    wanted = frozenset(JobState(state) for state in (*states, *(["failed"] if failed else [])))
    chosen = JobFilter(node_name, submitter, wanted)
    attachment = sought.choice(home).attach(home)
    if follow:
        end_with_reader()
        asyncio.run(_follow(attachment, chosen, as_json))
    else:
        asyncio.run(_show(attachment, chosen, ended, as_json))


async def _show(attachment: Attachment, chosen: JobFilter, ended: int, as_json: bool) -> None:
    async with watching(attachment) as watch:
        live = watch.live
        flying = sorted((job for job in live.jobs.values() if chosen.passes(job)), key=lambda job: job.id)
        over = [job for job in live.ended if chosen.passes(job)][-ended:] if ended else []
        now = time.time()
    if as_json:
        show_json({"schema": 1, "jobs": msgspec.to_builtins(flying), "ended": msgspec.to_builtins(over)})
    elif flying or over:
        out.print(jobs_table([*over, *flying], now))
    else:
        out.print("No job is in flight." if chosen == JobFilter() else "No matching job is in flight.")


async def _follow(attachment: Attachment, chosen: JobFilter, as_json: bool) -> None:
    def tell(update: Update, live: Live) -> None:
        for happening, job in happenings(update, live.jobs):
            if chosen.passes(job):
                _print(happening, job, update.time, as_json)

    async with watching(attachment, tell) as watch:
        why = ""
        while True:
            await watch.until(partial(_says_else, watch, why), None)
            why = _why(watch)
            if why:
                err.print(Text(f"No events: {why}", style="dim"), soft_wrap=True)


def _says_else(watch: Watch, why: str) -> bool:
    return _why(watch) != why


def _why(watch: Watch) -> str:
    overview = watch.live.overview
    return watch.lost or (overview.scheduler.why if overview and not overview.scheduler.up else "")


def _print(happening: Happening, job: Job, at: float, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {"schema": 1, "time": at, "event": happening, "job": job}
        out.file.write(msgspec.json.encode(told).decode() + "\n")
    else:
        out.print(line(happening, job, at), soft_wrap=True)
    out.file.flush()
