"""The one registry of what keys do: it feeds the keys themselves, the footer, the command palette and the help."""

from __future__ import annotations

from msgspec import Struct
from textual.binding import Binding

from farm.attach import Action
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
        NodeAction("block", "b", "Block", "{name} is sent away by the scheduler, and its log-in refused from then on."),
        NodeAction("unblock", "u", "Unblock", "{name} may log in to the scheduler again; a drain is ended."),
        NodeAction("kick", "K", "Kick", "{name} is sent away by the scheduler; its daemon logs in again by itself."),
        NodeAction("drain", "D", "Drain", "{name} finishes the jobs that it has and is given no more."),
        NodeAction("reboot", "R", "Reboot", "{name} is started anew, with the image that next boots get."),
        NodeAction("off", "O", "Power off", "{name} is powered off."),
    )
}
"""All of them, in the order of how much they disturb."""


def warning(node: NodeStatus, action: Action) -> str:
    """What becomes of running jobs; empty when they just go on."""
    running = node.host.jobs_running if node.host else 0
    if not running or action in ("unblock", "drain"):
        return ""
    jobs = "The job that it runs" if running == 1 else f"The {running} jobs that it runs"
    if action in ("block", "kick"):
        return f"{jobs} will still end there and reach the submitters; the scheduler calls them failed."
    return f"{jobs} will be lost; the submitters compile them themselves."


def objection(node: NodeStatus, action: Action) -> str:
    """Why something cannot be done to a node; empty when it can, as far as is known."""
    online = node.host is not None and node.host.online
    if action in ("reboot", "off"):
        if not node.mac:
            return "It is no machine of this farm."
        return "" if node.address else "It has not been seen yet: it is off."
    if action == "drain":
        if node.blocked:
            return "It is blocked already: it gets no jobs."
        return "" if online else "It is not logged in to the scheduler, so it has no jobs that could end."
    if action == "kick":
        return "" if online else "It is not logged in to the scheduler."
    return ""


SHELL: tuple[Binding, ...] = (
    Binding(
        "question_mark", "help", "Help", key_display="?", tooltip="All keys, and what this view shows", id="top.help"
    ),
    *(
        Binding(
            f"{number}", f"view({number - 1})", title, show=False, tooltip=f"The tab {title}", id=f"top.view{number}"
        )
        for number, title in enumerate(("Overview", "Nodes", "Jobs", "Timeline", "Builds", "Boot", "Scheduler"), 1)
    ),
    Binding("left,left_square_bracket", "turn(-1)", "Tab before", show=False, tooltip="Go back", id="top.before"),
    Binding("right,right_square_bracket", "turn(1)", "Next tab", show=False, tooltip="Go on", id="top.next"),
    Binding("a", "node_menu", "Actions", tooltip="What can be done to the node under the cursor", id="node.menu"),
    Binding("p", "pause", "Pause", tooltip="Hold the picture, or go on; nothing is lost meanwhile", id="top.pause"),
    *(each.binding for each in NODE_ACTIONS.values()),
    Binding("i", "image", "Image", show=False, tooltip="Choose the image that next boots get", id="top.image"),
    Binding("t", "change_theme", "Theme", show=False, tooltip="Choose the colours", id="top.theme"),
    Binding("f12", "screenshot", "Screenshot", show=False, tooltip="Save the screen as SVG", id="top.screenshot"),
    Binding("q", "quit", "Quit", tooltip="Leave; the farm goes on", id="top.quit"),
    Binding("ctrl+p", "command_palette", "Commands", tooltip="Find a command by its name", id="top.palette"),
)
"""Keys that work in every view."""
