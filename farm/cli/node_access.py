"""`farm node ssh|console|reboot|off`: getting at a node, and its power."""

from __future__ import annotations

import os
from collections.abc import Sequence

import rich_click as click

from farm.cli.node import find_node
from farm.cli.output import err, out
from farm.cli.server_only import server_instance
from farm.cli.status import load
from farm.command import find
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance, VirtualMachine
from farm.nodes import ssh
from farm.nodes.power import AT_ONCE, PAUSE, POWER_WORDS, PowerOrder, batches, for_each, power, who_sits_there
from farm.view.status import NodeStatus
from farm.view.wording import count
from farm.virtual.qemu import console_socket

ESCAPE = "0x1d"
"""Ctrl-]: leaves the console, as in telnet."""


names_argument = click.argument("names", metavar="[NODE...]", nargs=-1)
all_option = click.option("--all", "everyone", is_flag=True, help="All nodes that are on, instead of named ones.")
force_option = click.option(
    "--force", is_flag=True, help="Include nodes that run jobs or sessions; these are lost there."
)


def reachable(home: Home, name: str) -> NodeStatus:
    """A node that has an address; raises FarmError when it has none yet."""
    found = find_node(load(home), name)
    if not found.address:
        raise FarmError(
            f"{name} has no address yet.", f"Its stage is {found.stage}.", "Watch the boot: farm status --watch"
        )
    return found


def require_idle(nodes: Sequence[NodeStatus], order: PowerOrder) -> None:
    """Raises FarmError that names the nodes which run jobs, or at which users are logged in: those would be lost."""
    if seats := who_sits_there(nodes):
        names = " ".join(node.name for node in nodes if node.users)
        raise FarmError(
            f"Users are logged in: {'; '.join(seats)}.",
            "What they have not saved would be lost.",
            f"Ask them to log out: sudo farm node message {names} 'Please log out.' Or end their sessions: "
            f"sudo farm node {order} --force {names}",
        )
    busy = [(node.name, node.host.jobs_running) for node in nodes if node.host and node.host.jobs_running]
    if busy:
        told = ", ".join(f"{name} {count(jobs, 'job')}" for name, jobs in busy)
        names = " ".join(name for name, _ in busy)
        raise FarmError(
            f"Jobs are running: {told}.",
            "These jobs would be lost there, and the submitters would compile them again.",
            f"Let them end first: sudo farm node drain --then {order} {names}. Or lose them: "
            f"sudo farm node {order} --force {names}",
        )


@click.command(name="ssh")
@click.argument("name", metavar="NODE")
@click.argument("command", nargs=-1)
@click.pass_obj
def ssh_(home: Home, name: str, command: tuple[str, ...]) -> None:
    """Open a root shell on NODE, or run COMMAND there, with the farm's own key."""
    instance = server_instance(home, "farm node ssh")
    argv = ssh.argv(home, instance, reachable(home, name).address, list(command))
    os.execv(find(argv[0]), argv)


@click.command()
@names_argument
@all_option
@force_option
@click.option(
    "--at-once",
    type=click.IntRange(min=1, max=500),
    default=AT_ONCE,
    show_default=True,
    help="Number of nodes that reboot together.",
)
@click.option(
    "--pause",
    type=click.FloatRange(min=0),
    default=PAUSE,
    show_default=True,
    help="Seconds before the next ones reboot.",
)
@click.pass_obj
def reboot(home: Home, names: tuple[str, ...], everyone: bool, force: bool, at_once: int, pause: float) -> None:
    """Reboot nodes that run neither jobs nor sessions, some at a time; they boot the image for next boots."""
    _order(home, names, everyone, "reboot", force, at_once, pause)


@click.command()
@names_argument
@all_option
@force_option
@click.pass_obj
def off(home: Home, names: tuple[str, ...], everyone: bool, force: bool) -> None:
    """Power off nodes that run neither jobs nor sessions."""
    _order(home, names, everyone, "off", force, AT_ONCE, 0.0)


def _order(
    home: Home, names: Sequence[str], everyone: bool, order: PowerOrder, force: bool, at_once: int, pause: float
) -> None:
    if everyone == bool(names):
        raise click.UsageError("Name nodes, or give --all.")
    instance = server_instance(home, f"farm node {order}")
    status = load(home)
    nodes = (
        [node for node in status.nodes if node.verified] if everyone else [find_node(status, name) for name in names]
    )
    if not force:
        require_idle(nodes, order)

    def act(name: str) -> None:
        node = reachable(home, name)
        if not force:  # it may have got jobs, or a user, while others were told
            require_idle([node], order)
        power(home, instance, node.address, order, node.mac)
        out.print(f"{name} {POWER_WORDS[order][1]}.", markup=False)

    def wait(left: int) -> None:
        if pause:
            err.print(f"{count(left, 'node')} to go; the next in {pause:g} s.", markup=False)

    for_each(batches([node.name for node in nodes] if everyone else names, at_once, pause, wait), act)


@click.command()
@click.argument("name", metavar="NODE")
@click.pass_obj
def console(home: Home, name: str) -> None:
    """Open the serial console of a virtual machine; leave it with Ctrl-]."""
    server_instance(home, "farm node console")
    machine, _ = virtual_machine(home, name, "console")
    socket = console_socket(home, machine.name)
    if not socket.exists():
        raise FarmError(f"{machine.name} is off.", f"{socket} does not exist.", "Start it: sudo farm up")
    log = home.logs / f"{machine.name}.console.log"
    err.print(f"Console of {machine.name}; leave it with Ctrl-]. Earlier output is in {log}.", markup=False)
    os.execv(find("socat"), ["socat", f"STDIO,raw,echo=0,escape={ESCAPE}", f"UNIX-CONNECT:{socket}"])


def virtual_machine(home: Home, name: str, part: str) -> tuple[VirtualMachine, int]:
    """A machine of the virtual lab, and its number, from 1; raises FarmError when there is none of that name.

    ``part``: what of it is wanted, for the error of a real lab.
    """
    machines = Instance.load(home).machines
    if not machines:
        raise FarmError(
            f"Only virtual machines have a {part} here.",
            "Screen and keyboard of a PC are where it stands.",
            "Try: farm node ssh NODE",
        )
    mac = next((m.mac for m in machines if name in (m.name, m.mac)), None) or find_node(load(home), name).mac
    for number, machine in enumerate(machines, 1):
        if machine.mac == mac:
            return machine, number
    known = ", ".join(m.name for m in machines)
    raise FarmError(
        f"{name} is not a virtual machine of this farm.", f"There are: {known}.", "List nodes: farm node list"
    )
