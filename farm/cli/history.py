"""`farm history`: how fast builds were, where they ran, what failed, who waited for whom."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import msgspec
import rich_click as click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from farm.api.answers import MAX_BUILDS, MAX_HOURS
from farm.attach import Attachment
from farm.cli.lazy import SuggestingGroup
from farm.cli.output import out, show_json
from farm.cli.status import plain_table
from farm.errors.hints import hint
from farm.history.build_records import Build, BuildDetail, FileTime, NodeHour, NodeShare, Wait
from farm.history.build_words import find_builds, is_number
from farm.history.compare import Row, compare
from farm.home import Home
from farm.view.wording import count, exit_words, milliseconds, rate, size
from farm.workstation.choice import remembering

HISTORY_SCHEMA = 1
VERDICTS = {-1: "red", 0: "dim", 1: "green"}
"""Styles of what is worse, neither or better."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def span(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A time span in seconds: 30m, 12h, 2d, 1w. Raises click.BadParameter."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not a time span; write it like 30m, 12h, 2d or 1w.")
    return float(int(found[1]) * UNITS[found[2]])


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_BUILDS),
    default=20,
    show_default=True,
    help="Maximum number of builds to list.",
)
@click.option("--submitter", metavar="NAME", help="List only builds of this machine.")
@click.option(
    "--since", callback=span, metavar="SPAN", help="List only builds that ended within this time: 30m, 12h, 2d, 1w."
)
@click.option("--json", "as_json", is_flag=True, help="Print the builds as JSON (docs/history.md).")
@click.pass_context
def history(ctx: click.Context, limit: int, submitter: str | None, since: float | None, as_json: bool) -> None:
    """List builds, newest first; show one, compare two."""
    if ctx.invoked_subcommand is not None:
        return
    home: Home = ctx.obj
    now = time.time()
    all_of_them = submitter is None and since is None
    found = asyncio.run(
        remembering(home, "builds", "farm history").builds(limit, submitter, None if since is None else now - since)
    )
    if as_json:
        show_json({"schema": HISTORY_SCHEMA, "builds": [plain(build) for build in found]})
    elif found:
        out.print(builds_table(found, now))
    else:
        out.print(hint("No builds yet: try farm run -- make") if all_of_them else "No such builds.", soft_wrap=True)


@history.command()
@click.argument("build", metavar="NAME|ID|last", default="last")
@click.option("--json", "as_json", is_flag=True, help="Print the build as JSON (docs/history.md).")
@click.pass_obj
def show(home: Home, build: str, as_json: bool) -> None:
    """Show one build: figures, nodes, failures, slowest files, and for whom it waited."""
    (found,) = asyncio.run(fetch(remembering(home, "builds", "farm history"), build))
    if as_json:
        show_json({"schema": HISTORY_SCHEMA, **plain_detail(found)})
    else:
        out.print(detail_view(found, time.time()))


@history.command(name="compare")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print both builds as JSON (docs/history.md).")
@click.pass_obj
def compare_(home: Home, a: str, b: str, as_json: bool) -> None:
    """Compare two builds, each a name, a number or `last`: `farm history compare zstd/make zstd/make`.

    A name means its latest build; twice the same name means its last two.
    """
    first, second = asyncio.run(fetch(remembering(home, "builds", "farm history"), a, b))
    if as_json:
        show_json({"schema": HISTORY_SCHEMA, "a": plain_detail(first), "b": plain_detail(second)})
    else:
        out.print(comparison(first.build, second.build, compare(first, second)))


@history.command()
@click.option(
    "--hours",
    type=click.IntRange(1, MAX_HOURS),
    default=24,
    show_default=True,
    help="Number of hours to show, including the current one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each hour as JSON (docs/history.md).")
@click.pass_obj
def nodes(home: Home, hours: int, as_json: bool) -> None:
    """Show what each node did in the last hours."""
    told = asyncio.run(remembering(home, "builds", "farm history").node_hours(hours))
    if as_json:
        show_json({"schema": HISTORY_SCHEMA, "hours": [msgspec.to_builtins(each) for each in told]})
    elif told:
        out.print(nodes_table(added_up(told), hours * 3600))
    else:
        out.print("No node has compiled anything in that time.")


# -- what is asked


async def fetch(attachment: Attachment, *words: str) -> list[BuildDetail]:
    """Builds by what names them on the command line. Raises FarmError when there is none."""
    newest = [] if all(map(is_number, words)) else await attachment.builds(MAX_BUILDS)
    return [await attachment.build(number) for number in find_builds(words, newest)]


def added_up(hours: Sequence[NodeHour]) -> list[NodeShare]:
    """All hours of each node together, most jobs first."""
    shares: defaultdict[str, list[NodeShare]] = defaultdict(list)
    for each in hours:
        shares[each.share.node].append(each.share)
    found = [
        NodeShare(
            node,
            sum(share.jobs for share in mine),
            sum(share.failed for share in mine),
            sum(share.real_ms for share in mine),
            sum(share.out_bytes for share in mine),
        )
        for node, mine in shares.items()
    ]
    return sorted(found, key=lambda share: (-share.jobs, share.node))


def plain(build: Build) -> dict[str, object]:
    """A build for JSON, with the figures that follow from others."""
    return {
        **msgspec.to_builtins(build),
        "jobs": build.jobs,
        "seconds": build.seconds,
        "parallelism": build.parallelism,
    }


def plain_detail(detail: BuildDetail) -> dict[str, object]:
    """A whole build for JSON."""
    return {**msgspec.to_builtins(detail), "build": plain(detail.build)}


# -- what is shown


def builds_table(builds: Sequence[Build], now: float) -> Table:
    """A line for each; one that still runs has dots after its time."""
    table = plain_table(">ID", "NAME", "SUBMITTER", "BEGAN", ">TOOK", ">JOBS", ">NODES", ">MOST", ">FAILED")
    table.padding = (0, 1, 0, 0)  # fits in 80 letters with names of usual length
    for build in builds:
        table.add_row(
            str(build.id),
            Text(build.name) if build.name else Text("–", style="dim"),
            Text(build.submitter or "unknown"),
            when(build.started, now),
            Text(f"{milliseconds(build.seconds * 1000)}…", style="green")
            if build.open
            else Text(milliseconds(build.seconds * 1000)),
            str(build.jobs),
            share_of(build.remote, build.jobs),
            str(build.most),
            Text(str(build.failed), style="bold red") if build.failed else Text("0", style="dim"),
        )
    return table


def when(moment: float, now: float) -> str:
    """A time of day, with the date when it is not today's."""
    then = datetime.fromtimestamp(moment)
    return f"{then:%H:%M:%S}" if then.date() == datetime.fromtimestamp(now).date() else f"{then:%b %d %H:%M}"


def share_of(part: int, whole: int) -> str:
    """A percentage, never rounded to all or nothing."""
    if not whole:
        return "–"
    percent = round(100 * part / whole)
    return f"{min(max(percent, 1), 99) if 0 < part < whole else percent}%"


def detail_view(detail: BuildDetail, now: float) -> RenderableType:
    """A build on one screen or two."""
    parts: list[RenderableType] = [summary(detail.build, now)]
    if detail.nodes:
        parts += [Text(), nodes_table(detail.nodes, detail.build.seconds)]
    if detail.waits:
        parts += [Text(), waits_text(detail.build, detail.waits)]
    if detail.failures:
        title = "Failed" if len(detail.failures) == detail.build.failed else f"The last {len(detail.failures)} failures"
        parts += [Text(), Text(title, style="bold"), files_table(detail.failures)]
    if detail.slowest:
        parts += [Text(), Text("Slowest", style="bold"), files_table(detail.slowest)]
    return Group(*parts)


def summary(build: Build, now: float) -> Text:
    """How fast it was, and how much went where."""
    ended = "still running" if build.open else f"ended {when(build.ended, now)}"
    lines = Text.assemble(
        (f"Build {build.id}", "bold"),
        f"{f' {build.name}' if build.name else ''}{f' ({build.tag})' if build.tag not in ('', build.name) else ''}"
        f" of {build.submitter or 'unknown'}"
        f", began {when(build.started, now)}, {ended}\n",
        (milliseconds(build.seconds * 1000), "bold"),
        f" for {count(build.jobs, 'job')} with {milliseconds(build.real_ms)} in total:"
        f" {rate(build.parallelism)} at a time, {build.most} at most\n",
        f"{build.remote} on nodes, {build.own} given back by the scheduler, {build.local} local"
        f" ({build.fallback} after a node failed)\n",
        f"{size(build.in_bytes)} read, {size(build.out_bytes)} written",
    )
    if build.failed:
        lines.append(f"\n{build.failed} failed", style="bold red")
    if build.lost:
        lines.append(f"\n{build.lost} whose end is not known", style="yellow")
    return lines


def waits_text(build: Build, waits: Sequence[Wait]) -> RenderableType:
    """For whom it waited."""
    total = sum(wait.seconds for wait in waits)
    title = Text.assemble(
        ("Waited", "bold"), f" {milliseconds(build.waited_ms)} for nodes, total of all jobs; for others:"
    )
    table = plain_table("SUBMITTER", ">WAITED", ">SHARE")
    for wait in waits:
        share = f"{100 * wait.seconds / total:.0f}%" if total else ""
        table.add_row(Text(wait.holder or "unknown"), milliseconds(wait.seconds * 1000), share)
    return Group(title, table)


def nodes_table(shares: Sequence[NodeShare], seconds: float) -> Table:
    """What nodes did in a time."""
    jobs = sum(share.jobs for share in shares)
    table = plain_table("NODE", ">JOBS", ">SHARE", ">FAILED", ">A JOB", ">AT A TIME", ">WRITTEN")
    for share in shares:
        table.add_row(
            Text(share.node),
            str(share.jobs),
            share_of(share.jobs, jobs),
            Text(str(share.failed), style="bold red") if share.failed else Text("0", style="dim"),
            milliseconds(share.real_ms / share.jobs) if share.jobs else "",
            rate(share.real_ms / 1000 / seconds) if seconds > 0 else "",
            size(share.out_bytes),
        )
    return table


def files_table(files: Sequence[FileTime]) -> Table:
    """One row for each compilation: the file, the node, where it ran, how long it took, how it ended."""
    table = plain_table("FILE", "NODE", "PLACE", ">TIME", "EXIT")
    for file in files:
        exit = Text(exit_words(file.exit), style="bold red" if file.exit else "dim")
        table.add_row(Text(file.file), Text(file.node), Text(file.place), milliseconds(file.real_ms), exit)
    return table


def comparison(a: Build, b: Build, rows: Sequence[Row]) -> RenderableType:
    """Both side by side, how much the second is of the first, and in a sentence which was faster."""
    now = time.time()
    table = plain_table("", f">BUILD {a.id}", f">BUILD {b.id}", ">")
    for label, words in {
        "name": (a.name, b.name),
        "submitter": (a.submitter or "unknown", b.submitter or "unknown"),
        "began": (when(a.started, now), when(b.started, now)),
    }.items():
        if any(words):
            table.add_row(label, *(Text(word or "–") for word in words), "")
    for row in rows:
        if row.ratio == "=" and not row.a.strip("0. msB"):
            continue  # nothing in both
        table.add_row(row.label, row.a, row.b, Text(row.ratio, style=VERDICTS[row.verdict]))
    return Group(table, Text(), Text(verdict(a, b)))


def verdict(a: Build, b: Build) -> str:
    """Which of two builds was faster, and whether they are worth comparing."""
    if a.id == b.id:
        return "Both are the same build."
    faster, slower = (a, b) if a.seconds < b.seconds else (b, a)
    told = f"Builds {a.id} and {b.id} took equally long."
    if faster.seconds < slower.seconds:
        share = round(100 * (1 - faster.seconds / slower.seconds))
        took = f"{milliseconds(faster.seconds * 1000)} instead of {milliseconds(slower.seconds * 1000)}"
        told = f"Build {faster.id} was {share}% shorter: {took}."
    running = [build.id for build in (a, b) if build.open]
    if running:
        told += " Both are still running." if len(running) > 1 else f" Build {running[0]} is still running."
    elif max(a.jobs, b.jobs) > 2 * min(a.jobs, b.jobs):
        told += f" They did not do the same work: {count(a.jobs, 'job')} and {count(b.jobs, 'job')}."
    return told
