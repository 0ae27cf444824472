"""The one registry of what keys do: it feeds the keys themselves, the footer, the command palette and the help."""

from __future__ import annotations

from msgspec import Struct
from textual.binding import Binding

from farm.attach import Action
from farm.printable import printable
from farm.view.status import NodeStatus


class NodeAction(Struct, frozen=True):
    """Something that can be done to a node."""

    action: Action
    key: str
    title: str
    effect: str
    """A sentence about what will happen; ``{name}`` is the node's."""

    @property
    def binding(self) -> Binding:
        """Its key, which works wherever there is a node under the cursor."""
        tip = self.effect.format(name="the node")
        tip = tip[0].upper() + tip[1:]
        return Binding(
            self.key, f"node('{self.action}')", f"{self.title} node", show=False, tooltip=tip, id=f"node.{self.action}"
        )


NODE_ACTIONS: dict[Action, NodeAction] = {
    each.action: each
    for each in (
        NodeAction("block", "b", "Block", "The scheduler sends {name} away, and refuses its log-in from then on."),
        NodeAction("unblock", "u", "Unblock", "{name} can log in to the scheduler again; a drain is cancelled."),
        NodeAction("kick", "K", "Kick", "The scheduler sends {name} away; its daemon logs in again by itself."),
        NodeAction("drain", "D", "Drain", "{name} finishes its jobs and gets no more."),
        NodeAction("reboot", "R", "Reboot", "{name} reboots, with the image for next boots."),
        NodeAction("off", "O", "Power off", "{name} is powered off."),
    )
}
"""All of them, in the order of how much they disturb."""


def warning(node: NodeStatus, action: Action) -> str:
    """What becomes of running jobs and of users who are logged in; empty when all just goes on."""
    if node.users and action in ("reboot", "off"):
        names = ", ".join(printable(user.name) for user in node.users)
        return f"{names} is logged in there, and loses what is not saved."
    running = node.host.jobs_running if node.host else 0
    if not running or action in ("unblock", "drain"):
        return ""
    jobs = "Its running job" if running == 1 else f"Its {running} running jobs"
    if action in ("block", "kick"):
        return f"{jobs} will finish there and reach the submitters; the scheduler counts them as failed."
    return f"{jobs} will be lost; the submitters compile them themselves."


def objection(node: NodeStatus, action: Action) -> str:
    """Why something cannot be done to a node; empty when it can, as far as is known."""
    online = node.host is not None and node.host.online
    if action in ("reboot", "off"):
        if not node.mac:
            return "The daemon is not a machine of this farm."
        return "" if node.address else "The node has not been seen yet: it is off."
    if action == "drain":
        if node.blocked:
            return "The node is already blocked, and gets no jobs."
        return "" if online else "The node is not logged in to the scheduler, so there are no jobs to wait for."
    if action == "kick":
        return "" if online else "The node is not logged in to the scheduler."
    return ""


SHELL: tuple[Binding, ...] = (
    Binding(
        "question_mark",
        "help",
        "Help",
        key_display="?",
        tooltip="What this shows, and the keys that work here",
        id="top.help",
    ),
    *(
        Binding(
            f"{number}", f"view({number - 1})", title, show=False, tooltip=f"The tab {title}", id=f"top.view{number}"
        )
        for number, title in enumerate(
            ("Overview", "Nodes", "Jobs", "Timeline", "Builds", "Boot", "Scheduler", "Sessions", "Submitters"), 1
        )
    ),
    Binding("H", "turn(-1)", "Previous tab", show=False, tooltip="Go to the previous tab", id="top.before"),
    Binding("L", "turn(1)", "Next tab", show=False, tooltip="Go to the next tab", id="top.next"),
    Binding("a", "node_menu", "Actions", tooltip="Actions for the node under the cursor", id="node.menu"),
    Binding("y", "copy", "Copy", show=False, tooltip="Copy the name under the cursor", id="top.copy"),
    Binding("p", "pause", "Pause", tooltip="Pause the display, or continue; nothing is lost meanwhile", id="top.pause"),
    *(each.binding for each in NODE_ACTIONS.values()),
    Binding("i", "image", "Image", show=False, tooltip="Choose the image for next boots", id="top.image"),
    Binding("t", "change_theme", "Theme", show=False, tooltip="Choose a colour theme", id="top.theme"),
    Binding("f12", "screenshot", "Screenshot", show=False, tooltip="Save the screen as SVG", id="top.screenshot"),
    Binding("q", "quit", "Quit", tooltip="Exit; the farm continues", id="top.quit"),
    Binding("ctrl+p", "command_palette", "Commands", tooltip="Find a command by name", id="top.palette"),
)
"""Keys that work in every view."""
