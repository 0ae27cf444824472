"""The group `farm node`: all its commands, wherever they are written."""

from __future__ import annotations

import rich_click as click

from farm.cli import node as looking
from farm.cli import node_access, node_orders


@click.group()
def node() -> None:
    """List the nodes, look at one, tell it what to do."""


for each in (
    *(looking.list_nodes, looking.show),
    *(node_access.ssh_, node_access.console, node_access.reboot, node_access.off),
    *(node_orders.block, node_orders.unblock, node_orders.kick, node_orders.drain),
):
    node.add_command(each)
