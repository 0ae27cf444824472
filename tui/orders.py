"""What a farm's own nodes can be told beyond the scheduler's orders: drain, reboot, off, and which image they boot."""

from __future__ import annotations

import sys
from collections.abc import Callable

from farm import command
from farm.attach import Action
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.nodes.power import POWER_WORDS, PowerOrder, power
from farm.serve.images import switch_image
from farm.view.status import NodeStatus


def orders(home: Home) -> dict[Action, Callable[[NodeStatus], str]]:
    """A function for each; they block, say what was done, and raise FarmError."""

    def by_ssh(order: PowerOrder) -> Callable[[NodeStatus], str]:
        word, does = POWER_WORDS[order]

        def tell(node: NodeStatus) -> str:
            if not node.mac or not node.address:
                raise FarmError(
                    f"{node.name} cannot {word} on order.", "The node is not a machine of this farm, or is off.", ""
                )
            power(home, Instance.load(home), node.address, order, node.mac)
            return f"{node.name} {does}."

        return tell

    def drain(node: NodeStatus) -> str:
        # It takes minutes, must not end with the dashboard, and in a virtual lab runs inside the lab's network.
        command.start([sys.executable, "-P", "-m", "farm", *home.options, "node", "drain", node.key])
        return f"{node.name} is being drained: it will be shown as blocked when its jobs have ended."

    return {"drain": drain, "reboot": by_ssh("reboot"), "off": by_ssh("off")}


def switch(home: Home, image: str) -> str:
    """Choose the image for next boots of its kind; returns it. Raises FarmError."""
    return switch_image(home, lambda store: store.use(image))
