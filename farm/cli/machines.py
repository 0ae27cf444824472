"""`farm machine`: what farm.yaml says of machines, listed and changed for one, a range or a group of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_args

import msgspec
import rich_click as click

from farm.cli.lazy import SuggestingGroup
from farm.cli.output import err, out, show_json
from farm.cli.status import plain_table
from farm.config import Config, Inherited, MachineConfig
from farm.config.edit import Values, with_machine
from farm.config.file import load, parse, read_text
from farm.config.machine_words import covers, is_pattern, range_names
from farm.config.origins import Origins, SettingOrigin
from farm.config.values import Mac
from farm.errors import ConfigError, FarmError, UsageError
from farm.errors.hints import hint
from farm.home import Home, write_atomic
from farm.printable import printable
from farm.view.wording import count, few

SCHEMA = 1
KEYS = [name for name in MachineConfig.__struct_fields__ if name not in ("mac", "name", "files")]
"""What of a machine has one value."""
INHERITED: tuple[Inherited, ...] = get_args(Inherited)


def _change(function: Callable[..., None]) -> Callable[..., None]:
    """What all commands take that write."""
    function = click.pass_obj(function)
    function = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)
    return click.option("--dry-run", is_flag=True, help="Show the changed lines, and write nothing.")(function)


@click.group(cls=SuggestingGroup)
def machine() -> None:
    """List the machines of farm.yaml, and change what it says of them.

    MACHINES is a name, a MAC address, a range (pc01..pc30), a pattern ("pc*"), a group, or several of these with
    commas between.
    """


@machine.command("list")
@click.argument("machines", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the machines as JSON.")
@click.pass_obj
def list_machines(home: Home, machines: str | None, as_json: bool) -> None:
    """List MACHINES (default: all): group, image, root, slots, and the line of farm.yaml that says so."""
    config = load(home.config, home.options)
    origins = Origins(home)
    rows = [_row(origins, each) for each in (select(machines, config) if machines else config.listed)]
    if as_json:
        show_json({"schema": SCHEMA, "file": str(home.config), "machines": rows})
        return
    table = plain_table("name", "MAC", "group", *INHERITED)
    table.columns[1].no_wrap = True
    for row in rows:
        table.add_row(row["name"], row["mac"], row["group"] or "-", *(_cell(row[key]) for key in INHERITED))
    if rows:
        out.print(table)
        err.print(f"VALUE:LINE of {home.config}; without a line: the default.", style="dim", markup=False)
    else:
        err.print(hint("farm.yaml lists no machine. Add one: sudo farm machine add MAC NAME"), markup=False)


def _cell(setting: dict[str, Any]) -> str:
    """The value, and the line of farm.yaml, or of another file that says so; none for a default."""
    at = msgspec.convert(setting, SettingOrigin).at.removeprefix("farm.yaml:")
    return f"{setting['value']}:{at}" if at else str(setting["value"])


def _row(origins: Origins, each: MachineConfig) -> dict[str, Any]:
    group = origins.group(each)
    row: dict[str, Any] = {"name": each.name, "mac": each.mac, "group": group.value if group else "", "boot": each.boot}
    for key in INHERITED:
        origin = origins.setting(each, key)
        row[key] = msgspec.to_builtins(origin)
    return row


@machine.command("set")
@click.argument("machines")
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
@_change
def set_(home: Home, machines: str, settings: Sequence[str], dry_run: bool, as_json: bool) -> None:
    """Set keys of MACHINES in farm.yaml: farm machine set pc01..pc30 image=thin-client."""
    config = load(home.config, home.options)
    values = _values(settings)
    _write(home, config, {each.mac: (each.name, values) for each in select(machines, config)}, dry_run, as_json)


@machine.command()
@click.argument("machines")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@_change
def unset(home: Home, machines: str, keys: Sequence[str], dry_run: bool, as_json: bool) -> None:
    """Remove keys of MACHINES from farm.yaml: what their group or all machines have then holds."""
    config = load(home.config, home.options)
    values = {_key(key): None for key in keys}
    _write(home, config, {each.mac: (each.name, values) for each in select(machines, config)}, dry_run, as_json)


@machine.command()
@click.argument("mac")
@click.argument("name")
@click.argument("settings", metavar="[KEY=VALUE]...", nargs=-1)
@_change
def add(home: Home, mac: str, name: str, settings: Sequence[str], dry_run: bool, as_json: bool) -> None:
    """Add a machine to farm.yaml, or give one a name that is there without."""
    config = load(home.config, home.options)
    address = mac.lower().replace("-", ":")
    try:
        msgspec.convert(address, Mac)
    except msgspec.ValidationError:
        fix = "`farm node list` shows those of machines that have booted."
        raise UsageError(f"{printable(mac)} is no MAC address.", "One has six pairs of hex digits.", fix) from None
    known = next((each for each in config.machines if each.mac == address), None)
    if known:
        fix = f"Change what else it has: farm machine set {known.name} KEY=VALUE"
        raise FarmError(f"{address} is in farm.yaml already, as {known.name}.", "", fix)
    _write(home, config, {address: (name, _values(settings))}, dry_run, as_json)


def select(words: str, config: Config) -> list[MachineConfig]:
    """The machines that are meant, in the order of farm.yaml. Raises FarmError when a word means none of them."""
    found: set[str] = set()
    for word in filter(None, (each.strip() for each in words.split(","))):
        meant = [each for each in config.listed if covers(word.lower() if ":" in word else word, each.mac, each.name)]
        missing = [name for name in range_names(word) if name not in {each.name for each in meant}]
        if not meant and word in config.groups:
            meant = members(word, config)
        if missing or not meant:
            raise _unknown(word, missing, config)
        found |= {each.mac for each in meant}
    if not found:
        raise UsageError("No machine is named.", "", 'Name some: pc01, pc01..pc30, "pc*", or a group.')
    return [each for each in config.listed if each.mac in found]


def members(group: str, config: Config) -> list[MachineConfig]:
    """The machines of a group."""
    words = config.groups[group].machines
    return [each for each in config.listed if any(covers(word, each.mac, each.name) for word in words)]


def _unknown(word: str, missing: Sequence[str], config: Config) -> FarmError:
    names = [each.name for each in config.listed]
    if word in config.groups:
        return FarmError(f"The group {word} has no machines.", "", "Add some to it in farm.yaml.")
    near = difflib.get_close_matches(word, [*names, *config.groups], n=1)
    told = few(missing) if missing else printable(word)
    what = f"No machine matches {told}." if is_pattern(word) else f"There is no machine {told} in farm.yaml."
    why = f"There are: {few(names, 16)}." if names else "No machine is listed."
    add_it = "Add it: sudo farm machine add MAC NAME"
    return FarmError(what, why, f"Did you mean {near[0]}?" if near else add_it)


def _key(key: str) -> str:
    if key in KEYS:
        return key
    near = difflib.get_close_matches(key, KEYS, n=1)
    fix = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(KEYS)}."
    raise UsageError(f"{printable(key)} is no key of a machine with one value.", "", fix)


def _values(settings: Iterable[str]) -> Values:
    """KEY=VALUE as text or number, by what the key holds."""
    found: dict[str, str | int | None] = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        _key(key)
        if not sign or not value:
            raise UsageError(f"{key} has no value.", "", f"Write {key}=VALUE, or: farm machine unset MACHINES {key}")
        try:
            plain = {"mac": "52:54:00:00:00:00", "name": "x", key: value}
            found[key] = getattr(msgspec.convert(plain, MachineConfig, strict=False), key)
        except msgspec.ValidationError:
            found[key] = value  # farm.yaml's own rules say what is wrong with it
    return found


def _write(home: Home, config: Config, changes: dict[str, tuple[str, Values]], dry_run: bool, as_json: bool) -> None:
    """Change the file, when it then says just that; raises ConfigError and leaves it else."""
    path = home.config.resolve()
    before = after = read_text(path)
    for mac, (name, values) in changes.items():
        after = with_machine(after, mac, name, values)
    try:
        found = parse(after, str(home.config))
    except ConfigError as error:
        raise ConfigError(error.what, f"{error.why}\n{path} is as it was.".strip(), error.fix) from None
    _require(found, config, changes)
    if not dry_run and after != before:
        try:
            write_atomic(path, after, path.stat().st_mode & 0o777)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written.", f"{error.strerror}.", "Try again with sudo.") from None
    _tell(home, before, after, [name for name, _ in changes.values()], dry_run, as_json)


def _require(found: Config, config: Config, changes: dict[str, tuple[str, Values]]) -> None:
    """The changed text must say what was to be changed, and all else as before."""
    wanted = {each.mac: each for each in config.machines}
    for mac, (name, values) in changes.items():
        own = wanted.get(mac) or MachineConfig(mac, name)
        plain = {**msgspec.to_builtins(own), **values}
        defaults = {key: getattr(MachineConfig(mac, name), key) for key in values if values[key] is None}
        wanted[mac] = msgspec.convert({**plain, **defaults}, MachineConfig)
    if found != msgspec.structs.replace(config, machines=list(wanted.values())):
        fix = "Change the lines of these machines by hand."
        raise ConfigError(
            "farm.yaml is written in a way that this command can not change.", "The file is as it was.", fix
        )


def _tell(home: Home, before: str, after: str, names: list[str], dry_run: bool, as_json: bool) -> None:
    lines = list(
        difflib.unified_diff(before.splitlines(), after.splitlines(), str(home.config), "changed", lineterm="", n=1)
    )
    written = bool(lines) and not dry_run
    if as_json:
        show_json({"schema": SCHEMA, "file": str(home.config), "machines": names, "written": written, "diff": lines})
        return
    if dry_run:
        for line in lines:
            out.print(line, markup=False, soft_wrap=True, highlight=False)
    told = f"{count(len(names), 'machine')}: {few(names)}."
    if not lines:
        err.print(f"{home.config} says so already. {told}", markup=False, soft_wrap=True)
    elif dry_run:
        err.print(f"Nothing is written. {told}", markup=False, soft_wrap=True)
    else:
        err.print(hint(f"{home.config} written. {told} Then: sudo farm up"), markup=False, soft_wrap=True)
