"""`farm up` and `farm down`."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence

import rich_click as click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from farm.cli.output import Drawing, draws, err, out, step_display
from farm.errors import FarmError, PartialError
from farm.errors.hints import hint
from farm.home import Home
from farm.instance import Instance
from farm.view.status import NodeStatus
from farm.view.wording import count
from farm.watch.events import Stage


@click.command()
@click.option(
    "--virtual",
    type=click.IntRange(0, 250),
    metavar="N",
    help="Bring up a virtual lab with N QEMU machines.",
)
@click.option("--nic", type=click.Choice(["virtio", "e1000"]), help="Network adapter of the virtual machines.")
@click.option(
    "--foreground", is_flag=True, help="Keep running, and take the farm down at SIGTERM or Ctrl-C (for systemd)."
)
@click.option("--no-wait", is_flag=True, help="Do not wait for the virtual machines to boot.")
@click.option(
    "--patience",
    type=click.IntRange(1),
    default=600,
    show_default=True,
    help="Seconds to wait for the virtual machines.",
)
@click.option("--force", is_flag=True, help="Proceed even if this disturbs running builds or jobs.")
@click.pass_obj
def up(
    home: Home, virtual: int | None, nic: str | None, foreground: bool, no_wait: bool, patience: int, force: bool
) -> None:
    """Bring the farm up, or apply changes of farm.yaml to a running farm."""
    from farm.image.kinds import build_command
    from farm.serve.down import bring_down
    from farm.serve.images import outdated_images
    from farm.serve.preflight import require_root, require_server_package
    from farm.serve.up import Request, bring_up

    require_root("farm up")
    require_server_package()
    if foreground:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with step_display() as report:
            instance = bring_up(home, Request(virtual, nic, force, wait=foreground), report)
        if instance.machines and not no_wait:
            wait_for_nodes(home, {machine.mac for machine in instance.machines}, patience)
        show_summary(home, instance)
        for name in outdated_images(home, instance):
            which = "the image" if len(instance.images) == 1 else f"the image {instance.images[name]}"
            text = f"The inputs of {which} have changed since it was built. Build it: {build_command(name)}"
            out.print(hint(text), soft_wrap=True)
        if foreground:
            stay(home)
    except KeyboardInterrupt:
        if not foreground:
            raise
        with step_display() as report:
            bring_down(home, report, keep_nodes=True, builds="end")


@click.command()
@click.option("--keep-nodes", is_flag=True, help="Leave the nodes on; they stand still until the farm is up again.")
@click.option("--wait", is_flag=True, help="Wait for builds that run in a virtual lab.")
@click.option("--force", is_flag=True, help="End builds that run in a virtual lab, and sessions of users.")
@click.pass_obj
def down(home: Home, keep_nodes: bool, wait: bool, force: bool) -> None:
    """Take the farm down: drain it, power the nodes off, and remove everything it set up.

    Builds that run in a virtual lab would end with it, and so would sessions of users at machines that are powered
    off: if there are any, they are listed and nothing is done, unless --wait (for builds) or --force is given.
    There are no questions, so scripts see the same.
    """
    from farm.serve.down import bring_down
    from farm.serve.preflight import require_root

    require_root("farm down")
    with step_display() as report:
        bring_down(home, report, keep_nodes=keep_nodes, builds="end" if force else "wait" if wait else "refuse")
    out.print("The farm is down.")


def wait_for_nodes(home: Home, macs: set[str], patience: float) -> None:
    """Show nodes by stage until all are ready; raises PartialError when some are not within ``patience`` seconds."""
    from farm.cli.status import nodes_table

    started = time.monotonic()
    shown: dict[str, Stage] = {}
    with Drawing(console=err, refresh_per_second=4, transient=True, auto_refresh=draws(err)) as live:
        while True:
            elapsed = time.monotonic() - started
            nodes = [node for node in nodes_or_none(home) if node.mac in macs]
            if draws(err):
                title = Text(f"Waiting for {count(len(macs), 'node')}  {elapsed:.0f} s", style="bold")
                live.update(Group(title, nodes_table(nodes)))
            else:
                _print_changes(shown, nodes, elapsed)
            missing = macs - {node.mac for node in nodes if node.stage is Stage.READY}
            if not missing:
                return
            if elapsed > patience:
                raise PartialError(
                    f"{len(macs) - len(missing)} of {count(len(macs), 'node')} ready after {patience:.0f} s.",
                    f"Not ready: {', '.join(sorted(missing))}.",
                    "See where they hang: farm node list, farm node console NODE",
                )
            time.sleep(0.5)


def nodes_or_none(home: Home) -> Sequence[NodeStatus]:
    """What farmd knows of the nodes; nothing while it does not answer."""
    from farm.api.client import fetch_status

    try:
        return fetch_status(home).nodes
    except FarmError:
        return []


def _print_changes(shown: dict[str, Stage], nodes: Sequence[NodeStatus], elapsed: float) -> None:
    for node in nodes:
        if shown.get(node.mac) != node.stage:
            shown[node.mac] = node.stage
            err.print(Text(f"{elapsed:7.1f} s  {node.name}: {node.stage}"))


def show_summary(home: Home, instance: Instance) -> None:
    """One screen: what is up, and what to type next."""
    from farm.cli.status import nodes_table

    config, farm = instance.config, " ".join(["farm", *home.options])
    where = (
        f"virtual lab of {count(len(instance.machines), 'machine')}"
        if instance.namespace
        else f"lab on {instance.interface}"
    )
    image = ", ".join(instance.images.values())
    out.print(f"\n[bold]The farm {config.name} is up[/]: {where}, image {image}, server {config.server}")
    nodes = nodes_or_none(home)
    if nodes:
        out.print(nodes_table(nodes))
    elif instance.namespace is None:
        out.print("Now switch the PCs on and let their firmware boot from the network.")
    sudo = "sudo " if instance.namespace else ""
    hints = Table(box=None, show_header=False, padding=(0, 2))
    hints.add_row(f"{farm} status --watch", "watch it")
    if "compile" in instance.roles:
        hints.add_row(f"{sudo}{farm} run -- make -j12", "compile on it")
    if instance.has_sessions and instance.machines:
        hints.add_row(f"sudo {farm} node screen {instance.machines[0].name} --vnc", "sit down at one")
    hints.add_row(f"sudo {farm} down", "take it down")
    out.print(hints)


def stay(home: Home) -> None:
    """Wait until the farm is taken down by another command; raises FarmError when supervisord ends without that."""
    from farm.supervisor import Supervisor

    supervisor = Supervisor(home)
    while supervisor.pid is not None:
        time.sleep(0.5)
    # Another `farm down` ends supervisord first and forgets the farm a moment later.
    for _ in range(20):
        if not Instance.path(home).exists():
            return
        time.sleep(0.5)
    log = f"Its log is {home.logs}/supervisord.log."
    raise FarmError("The farm's supervisord ended.", log, "Start again: sudo farm up")
