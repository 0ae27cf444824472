"""`farm init` and `farm config`: write, check and show farm.yaml."""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Interface
from pathlib import Path

import msgspec
import rich_click as click
import yaml

from farm.cli.lazy import SuggestingGroup
from farm.cli.output import err, out, show_json
from farm.config import Config, to_yaml_dict
from farm.config.documents import SCHEMA_FILE, commented, documentation, schema, starting_values
from farm.config.file import kiwi_warnings, load, load_or_default, parse
from farm.config.interfaces import Interface, check_interface, free_address, interfaces, pick, rivals
from farm.config.kiwi_clients import FOLDER, read_clients
from farm.config.lts_file import LTS_FILE, lts_lines
from farm.config.named_servers import fix_of, look_at_servers
from farm.config.routing import routes
from farm.config.rules import server_problems
from farm.errors import ConfigError
from farm.home import Home, write_atomic
from farm.image.recipe import require_descriptions
from farm.view.wording import count

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--interface", metavar="NAME", help="Network interface of the lab (default: the only suitable one).")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.option("--stdout", is_flag=True, help="Print the file instead of writing it.")
@click.pass_obj
def init(home: Home, interface: str | None, force: bool, stdout: bool) -> None:
    """Examine this machine and write a farm.yaml with a comment for every key."""
    path = home.config
    command = " ".join(["farm", *home.options])
    if not stdout and not force and os.path.lexists(path):
        raise ConfigError(
            f"{path} already exists.",
            "The file is overwritten only with --force.",
            f"Overwrite it: {command} init --force. Or print the new file: {command} init --stdout",
        )
    found = interfaces()
    chosen = pick(found, interface)
    server = server_address(chosen, found)
    text = commented(starting_values(chosen.name, server), schema=os.path.exists(path.with_name(SCHEMA_FILE)))
    parse(text, str(path))
    if stdout:
        out.file.write(text)
        return
    _write(path, text)
    _report(path, chosen, server, command)


def _write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text)
    except OSError as error:
        mend = "Try again with sudo." if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{path} cannot be written.", f"{error.strerror}.", mend) from None


def server_address(chosen: Interface, found: list[Interface]) -> IPv4Interface:
    """An address that the interface has, if a lab fits in its network, else one in a network that nobody uses."""
    known = routes()
    for address in chosen.addresses:
        fits = not address.is_link_local and not list(server_problems(address))
        if fits and not rivals(address.network, chosen.name, found, known):
            return address
    return free_address(found, known)


def _report(path: Path, chosen: Interface, server: IPv4Interface, command: str) -> None:
    err.print(f"{path} written: lab on {chosen.name}, server address {server}.", markup=False)
    if server not in chosen.addresses:
        err.print(f"{chosen.name} does not have that address yet: `farm up` adds it.", markup=False)
    if chosen.uplink:
        err.print(
            f"The default route goes through {chosen.name}: make sure that no other DHCP server answers there.",
            style="yellow",
            markup=False,
        )
    err.print(f"Read it, then: sudo {command} up", markup=False)


@click.group(cls=SuggestingGroup)
def config() -> None:
    """Check and show farm.yaml."""


@config.command()
@click.argument("file", type=FILE, required=False)
@click.option("--virtual", is_flag=True, help="Check for the virtual lab: the interface does not have to exist.")
@click.pass_obj
def check(home: Home, file: Path | None, virtual: bool) -> None:
    """Check FILE (default: this farm's farm.yaml)."""
    path = file or home.config
    loaded = load(path, home.options)
    require_descriptions(loaded, path.parent)
    if not virtual:
        check_interface(loaded, path)
    servers = look_at_servers(path.parent, loaded.server)
    for line in [*map(str, kiwi_warnings(path)), *lts_lines(path.with_name(LTS_FILE)), *servers.lines]:
        err.print(line, style="yellow", markup=False, soft_wrap=True)
    if servers.without_key:
        fix = f"Add each key, and compare its fingerprint with the server's own: {fix_of(servers.without_key[0])}"
        err.print(fix, markup=False, soft_wrap=True)
    out.print(f"{path} is valid: {summary(loaded)}.", markup=False, soft_wrap=True)


def summary(loaded: Config) -> str:
    """A configuration in one line."""
    interface = f", interface {loaded.interface}" if loaded.interface else ""
    return (
        f"name {loaded.name}{interface}, server {loaded.address}, "
        f"nodes from {loaded.dhcp.first} to {loaded.dhcp.last}, {count(len(loaded.listed), 'machine')} listed"
    )


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print the configuration as JSON.")
@click.option("--virtual", is_flag=True, help="Show the configuration of the virtual lab.")
@click.pass_obj
def show(home: Home, as_json: bool, virtual: bool) -> None:
    """Print the effective configuration, including defaults."""
    plain = to_yaml_dict(load_or_default(home, virtual))
    if as_json:
        show_json(plain)
    else:
        out.file.write(yaml.safe_dump(plain, sort_keys=False))


@config.command()
@click.argument("machine", required=False, metavar="[MAC]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def kiwi(home: Home, machine: str | None, as_json: bool) -> None:
    """Show what KIWI's client files (kiwi/config.*) set here, and what of them is not supported.

    MAC: only the file of this machine, or else config.default.
    """
    folder = home.config.parent / FOLDER
    clients = read_clients(folder)
    if machine:
        mac = machine.lower().replace("-", ":").replace(".", ":")
        clients = [each for each in clients if each.mac == mac] or [each for each in clients if each.mac is None]
    lines = [line for each in clients for line in each.lines]
    used = kiwi_warnings(home.config)
    names = {each.file for each in clients}
    lines += [line for line in used if line not in lines and line.file in names]
    if as_json:
        show_json(
            {
                "schema": 1,
                "folder": str(folder),
                "clients": msgspec.to_builtins(clients),
                "warnings": msgspec.to_builtins([line for line in lines if line.warning]),
            }
        )
        return
    for line in lines:
        out.print(str(line), style="yellow" if line.warning else "", markup=False, soft_wrap=True)
    if not clients:
        err.print(f"There is no client file in {folder}.", markup=False, soft_wrap=True)


@config.command(name="schema")
def show_schema() -> None:
    """Print farm.yaml's JSON schema, for editors."""
    out.file.write(json.dumps(schema(), indent=2) + "\n")


@config.command(hidden=True)
@click.argument("file", type=FILE, default=Path("docs/configuration.md"))
def docs(file: Path) -> None:
    """Write the reference of farm.yaml to FILE."""
    _write(file, documentation())
