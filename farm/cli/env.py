"""`farm env`: what a shell or a build system reads so that its compiler calls go to the farm."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from pathlib import Path

import msgspec
import rich_click as click
from rich.table import Table
from rich.text import Text

from farm.cli.output import err, out, show_json
from farm.cli.output_files import write_named
from farm.errors import FarmError, UsageError
from farm.home import Home
from farm.instance import Instance
from farm.printable import printable
from farm.view.wording import duration
from farm.virtual import namespace
from farm.workstation import membership
from farm.workstation.env import formats, toolchains
from farm.workstation.env.setup import Setup, Wish, set_up
from farm.workstation.env.shell_undo import applied, changes_back, with_record
from farm.workstation.env.variables import disabled, survey

FORMATS = ("sh", "fish", "auto", "json", "cmake-preset", "meson", "envrc")


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="sh",
    show_default=True,
    help="Output format; auto: sh or fish, according to SHELL.",
)
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Number of jobs at a time; sets FARM_JOBS and MAKEFLAGS."
)
@click.option("--ccache/--no-ccache", default=None, help="Use ccache first, or not (default: if it is installed).")
@click.option(
    "--compiler", "compilers", multiple=True, metavar="NAME|PATH", help="C compiler to use; the first becomes CC."
)
@click.option("--cross", multiple=True, metavar="TRIPLET=COMPILER", help="Cross compiler to use, by name or path.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write, or to add the settings to."
)
@click.option("--why", is_flag=True, help="Explain the settings on standard error.")
@click.option("--off", is_flag=True, help="Print the commands that undo it in this shell.")
@click.option("--toolchains", "listing", is_flag=True, help="List the stored environments.")
@click.option("--prune", is_flag=True, help="Remove environments whose compiler is gone or has changed.")
@click.pass_obj
def env(
    home: Home,
    form: str,
    jobs: int | None,
    ccache: bool | None,
    compilers: tuple[str, ...],
    cross: tuple[str, ...],
    output: Path | None,
    why: bool,
    off: bool,
    listing: bool,
    prune: bool,
) -> None:
    """Print settings for a shell or build system.

    In sh: eval "$(farm env)", in fish: farm env --format fish | source. To undo it in the shell: farm_off. For build
    systems with their own compiler settings, write a file: farm env --format cmake-preset -o CMakeUserPresets.json,
    or --format meson -o farm.ini.
    """
    if form == "auto":
        form = "fish" if Path(os.environ.get("SHELL", "")).name == "fish" else "sh"
    if listing or prune:
        _toolchains(form == "json", prune)
        return
    if off:
        back = changes_back(os.environ)
        click.echo(_bytes(formats.to_fish(back) if form == "fish" else formats.to_sh(back), form), nl=False)
        return
    wish = Wish(jobs, ccache, compilers, dict(map(_triplet_and_compiler, cross)))
    setup = _set_up(home, wish)
    if why:
        for sentence in setup.why:
            _say(sentence)
    content = _bytes(_render(setup, form, output), form)
    if output:
        write_named(output, content)
    else:
        click.echo(content, nl=False)


def _bytes(text: str, form: str) -> bytes:
    """As a shell or a build system reads it; folders' names may be any bytes."""
    encoding = "utf-8" if form in ("json", "cmake-preset", "meson") else sys.getfilesystemencoding()
    return text.encode(encoding, "surrogateescape")


def _set_up(home: Home, wish: Wish) -> Setup:
    """Look at the farm and at this machine; what stands in the way is said, and stops nobody."""
    member = membership.find_for_build(home)
    if member.how == "server":
        _refuse_outside(home)
    slots = survey(member)
    if own_wish := disabled(os.environ):
        _say(f"{own_wish} Until it is unset (unset ICECC), everything is compiled here.")
    elif slots.obstacle:
        _say(f"{slots.obstacle} Until that changes, everything is compiled here.")
    base = applied(os.environ, changes_back(os.environ))
    cpus = len(os.sched_getaffinity(0))
    return set_up(base, member, slots, wish, cpus=cpus, cache=toolchains.cache())


def _refuse_outside(home: Home) -> None:
    """In a virtual lab's namespace only can icecc reach daemon and nodes."""
    name = Instance.load(home).namespace
    if name is not None and not namespace.inside(name):
        raise FarmError(
            "Compiler calls from here cannot reach the virtual lab.",
            f"The lab is in the network namespace {name}.",
            "Build inside: sudo farm run -- CMD (or a shell: sudo farm run -- bash)",
        )


def _triplet_and_compiler(word: str) -> tuple[str, str]:
    triplet, separator, compiler = word.partition("=")
    if not (re.fullmatch(r"[\w.-]+", triplet) and separator and compiler):
        raise UsageError(
            f"Invalid option: --cross {word}",
            "The format is TRIPLET=COMPILER.",
            "Example: --cross arm-none-eabi=/opt/arm/gcc",
        )
    return triplet, compiler


def _render(setup: Setup, form: str, output: Path | None) -> str:
    if form == "json":
        return formats.to_json(setup)
    there = output.read_text(errors="surrogateescape") if output and output.is_file() else None
    if form == "cmake-preset":
        return formats.to_presets(setup, there)
    if there is not None and formats.WRITTEN_MARK not in there.partition("\n")[0]:
        raise FarmError(
            f"{output} exists and was not written by farm env.",
            "Files that farm env has not written are not changed.",
            "Name another file.",
        )
    if form == "meson":
        return formats.to_meson(setup)
    if form == "envrc":
        return formats.to_envrc(setup)
    base = applied(os.environ, changes_back(os.environ))
    back, changes = changes_back(os.environ), with_record(base, setup.changes)
    farm = shlex.join([sys.executable, "-P", "-m", "farm"])
    head = f"# {formats.WRITTEN_MARK} for the farm {setup.farm}.\n" if output else ""
    if form == "fish":
        return head + formats.to_fish({**back, **changes}) + formats.fish_way_back(farm)
    return head + formats.to_sh({**back, **changes}) + formats.sh_way_back(farm)


def _toolchains(as_json: bool, prune: bool) -> None:
    """List the kept environments, after removing those of no use if asked."""
    folder = toolchains.cache() / "environments"
    gone = toolchains.prune(folder) if prune else []
    kept = toolchains.kept_environments(folder)
    current = {record.digest: toolchains.is_current(record) for record in kept}
    if as_json:
        rows = [{**msgspec.to_builtins(record), "current": current[record.digest]} for record in kept]
        show_json({"schema": 1, "folder": str(folder), "removed": list(gone), "environments": rows})
        return
    for name in gone:
        _say(f"Removed {name}.")
    table = Table(box=None, pad_edge=False)
    for heading in ("COMPILER", "VERSION", "SIZE", "MADE", ""):
        table.add_column(heading, justify="right" if heading == "SIZE" else "left", overflow="fold")
    for record in kept:
        state = "" if current[record.digest] else "its compiler has changed"
        age = f"{duration(time.time() - record.made)} ago"
        table.add_row(record.compiler, printable(record.version), f"{record.bytes / 1e6:.1f} MB", age, state)
    if kept:
        out.print(table)
    else:
        _say("No environments are stored: iceccd makes those of this machine's gcc and clang.")


def _say(text: str) -> None:
    err.print(Text.assemble(("farm: ", "bold"), printable(text, 400)), soft_wrap=True)
