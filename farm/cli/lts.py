"""`farm lts`: check lts.conf, the configuration of LTSP's clients, and show what a machine gets from it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import rich_click as click

from farm.cli.lazy import SuggestingGroup
from farm.cli.output import err, out, show_json
from farm.cli.output_files import write_named
from farm.command import find
from farm.config import Config, own_name
from farm.config.file import load_or_default
from farm.config.lts_file import LTS_FILE, STATES, load_lts, remark_line, variable_lines
from farm.config.lts_table import with_lts_table
from farm.errors import FarmError, UsageError
from farm.errors.hints import hint
from farm.home import Home
from farm.instance import Instance
from farm.netboot.leases import addresses, parse_leases
from farm.node.contract import ADDRESS, MAC, NAME
from farm.node.lts.fetching import FetchedLts, fetch_lts, lts_paths
from farm.node.lts.known import by_state, variable
from farm.node.lts.meaning import plain, shown
from farm.node.lts.parts import Assignment, LtsConf
from farm.node.lts.precedence import KnownMachine, is_unset, values
from farm.node.session.session_settings import HOST
from farm.printable import printable
from farm.view.wording import count

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=SuggestingGroup)
def lts() -> None:
    """Check and show lts.conf, the configuration of LTSP's clients."""


@lts.command()
@click.argument("file", type=FILE, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def check(home: Home, file: Path | None, as_json: bool) -> None:
    """Check FILE (default: lts.conf beside farm.yaml).

    Exits with 3 if a line of it is not used.
    """
    path = file or home.config.with_name(LTS_FILE)
    conf = load_lts(path)
    found = by_state(each.key for each in conf.assignments)
    if as_json:
        show_json(
            {
                "schema": 1,
                "file": str(path),
                "format": _format(conf),
                "warnings": [remark._asdict() for remark in conf.remarks],
                "variables": {state or "unknown": found.get(state, []) for state in STATES},
            }
        )
    else:
        for remark in conf.remarks:
            out.print(remark_line(remark), style="red" if remark.lost else "yellow", markup=False, soft_wrap=True)
        for line in variable_lines(conf):
            out.print(line, markup=False, soft_wrap=True)
        sections = count(sum(bool(section.name) for section in conf.sections), "section")
        told = f"{_format(conf)}, {sections}, {count(len(conf.remarks), 'warning')}"
        out.print(f"{path}: {told}.", markup=False, soft_wrap=True)
    sys.exit(3 if any(remark.lost for remark in conf.remarks) else 0)


@lts.command()
@click.argument("server")
@click.argument("file", type=FILE, required=False)
@click.option("--boot-file", default="", help="File that clients boot, as DHCP names it: lts.conf may lie beside it.")
@click.option("--force", is_flag=True, help="Replace a file that there is.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def fetch(home: Home, server: str, file: Path | None, boot_file: str, force: bool, as_json: bool) -> None:
    """Fetch lts.conf from an LTSP server by TFTP, into FILE (default: lts.conf beside farm.yaml)."""
    path = file or home.config.with_name(LTS_FILE)
    found = _fetched(server, boot_file)
    if path.is_file() and not force and path.read_bytes() != found.content:
        raise FarmError(f"{path} is there already.", "The server has another one.", "Replace it: add --force")
    write_named(path, found.content)
    if as_json:
        facts = {"server": server, "path": found.path, "file": str(path), "bytes": len(found.content)}
        show_json({"schema": 1, **facts})
        return
    out.print(f"{path}: {len(found.content)} bytes from {server}, {found.path}.", markup=False, soft_wrap=True)
    err.print(hint("See what is wrong with it: farm lts check"), style="dim", markup=False, soft_wrap=True)


def _fetched(server: str, boot_file: str) -> FetchedLts:
    """What the server has. Raises FarmError when there is nothing."""
    if not HOST.fullmatch(server.lower()):
        raise UsageError(f"{printable(server)} is no server.", "A server is a host name or an IPv4 address.")
    find("curl")
    try:
        found = fetch_lts(server, boot_file)
    except OSError as error:
        why = f"{error}. TFTP is UDP, port 69."
        raise FarmError(
            f"{server} does not answer by TFTP.", why, "Copy the file by another way, such as scp."
        ) from None
    if found is None:
        raise FarmError(
            f"{server} has no lts.conf.",
            f"Asked by TFTP for: {', '.join(lts_paths(boot_file))}.",
            "Name the file that its clients boot: --boot-file PATH, or copy it by another way, such as scp.",
        )
    return found


def _format(conf: LtsConf) -> str:
    return "LTSP 23" if conf.ltsp23 else "LTSP 5"


@lts.command()
@click.argument("machine")
@click.option("--file", type=FILE, help="File to read, instead of lts.conf beside farm.yaml.")
@click.option("--passwords", is_flag=True, help="Show passwords, instead of dots.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def show(home: Home, machine: str, file: Path | None, passwords: bool, as_json: bool) -> None:
    """Show what lts.conf says for MACHINE (its name, address or MAC), and from which line each value comes."""
    path = file or home.config.with_name(LTS_FILE)
    conf = load_lts(path)
    known = known_machine(home, machine)
    rows = [_row(each, passwords) for _, each in sorted(values(conf, known).items())]
    if as_json:
        show_json({"schema": 1, "file": str(path), "machine": known._asdict(), "values": rows})
        return
    told = ", ".join(f"{what} {text or 'unknown'}" for what, text in known._asdict().items())
    err.print(f"{told}.", style="dim", markup=False, soft_wrap=True)
    settings = [_setting(row) for row in rows]
    width = min(48, max(map(len, settings), default=0))
    for setting, row in zip(settings, rows, strict=True):
        place = f"[{printable(row['section'])}] {printable(row['file'])}:{row['line']}"
        out.print(f"{setting:<{width}}  {place}, {row['state']}", markup=False, soft_wrap=True)
    if not rows:
        err.print(f"{path} says nothing for this machine.", markup=False, soft_wrap=True)


def _setting(row: dict[str, Any]) -> str:
    key = printable(row["key"], 64)
    return f"{key} is not set" if row["value"] is None else f"{key}={printable(row['value'], 200)}"


def _row(each: Assignment, passwords: bool) -> dict[str, Any]:
    known = variable(each.key)
    text = plain(each.written) if passwords else shown(each.key, each.written)
    return {
        "key": each.key,
        "value": None if is_unset(each) else text,
        "hidden": text != plain(each.written),
        "section": each.section,
        "file": each.file,
        "line": each.line,
        "state": known.state if known else "unknown",
    }


def known_machine(home: Home, machine: str) -> KnownMachine:
    """What farm.yaml and the leases say of a machine; only what was typed of one of which they say nothing.

    Raises UsageError for what can be no machine.
    """
    typed = machine.lower()
    mac = typed.replace("-", ":")
    wanted = mac if MAC.fullmatch(mac) else typed
    if not any(form.fullmatch(wanted) for form in (MAC, ADDRESS, NAME)):
        raise UsageError(f"{printable(machine)} is no machine.", "A machine is a name, an IPv4 address or a MAC.")
    found = (each for each in _machines(home) if wanted in each)
    by_form = KnownMachine(
        name=own_name(wanted) if MAC.fullmatch(wanted) else "" if ADDRESS.fullmatch(wanted) else wanted,
        address=wanted if ADDRESS.fullmatch(wanted) else "",
        mac=wanted if MAC.fullmatch(wanted) else "",
    )
    return next(found, by_form)


def _machines(home: Home) -> list[KnownMachine]:
    """The machines of the running farm or of farm.yaml, and others that have an address."""
    instance = Instance.known(home)
    config: Config = instance.config if instance else load_or_default(home, virtual=True)
    try:
        leases = (home.state / "dhcp.leases").read_text(errors="replace")
    except OSError:
        leases = ""
    lent = addresses(parse_leases(leases), time.time())
    listed = [KnownMachine(each.name, each.address or lent.get(each.mac, ""), each.mac) for each in config.listed]
    macs = {each.mac for each in listed}
    return [*listed, *(KnownMachine(own_name(mac), address, mac) for mac, address in lent.items() if mac not in macs)]


@lts.command(hidden=True)
@click.argument("file", type=FILE, default=Path("docs/lts-conf.md"))
def docs(file: Path) -> None:
    """Write the table of variables into FILE."""
    write_named(file, with_lts_table(file.read_text()).encode())
