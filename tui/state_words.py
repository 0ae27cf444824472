"""States as a sign and a word, so that no colour is needed; the same in every view."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import lru_cache

from farm.view.idle import idle_reason
from farm.view.live import Live
from farm.view.roles import Idle, stage_word
from farm.view.status import NodeStatus
from farm.watch.events import Stage
from tui.widgets.lines import Tone

STAGES: dict[Stage, tuple[str, Tone | None]] = {
    Stage.OFF: ("○", "muted"),
    Stage.POWERED: ("◔", "accent"),
    Stage.LOADER: ("◔", "accent"),
    Stage.KERNEL: ("◑", "accent"),
    Stage.ROOT: ("◑", "accent"),
    Stage.AGENT: ("◕", "accent"),
    Stage.REGISTERED: ("◕", "accent"),
    Stage.READY: ("●", None),
    Stage.LOST: ("✖", "bad"),
}
"""How far a boot has come: the fuller, the further."""
ORDERED: dict[str, tuple[str, Tone | None]] = {
    "drain": ("◒ drains", "accent"),
    "reboot": ("↻ reboots", "accent"),
    "off": ("○ off", "muted"),
}
"""What a node was told says more than that it is ready still, or lost already."""
IN_ORDER = (
    *("off", "draining", "rebooting", "switching-off", "booting", "nobody-there", "no-remote", "in-use", "no-slots"),
    *("installing", "nothing-queued", "next"),
)
"""Reasons to be idle at which nobody has to look."""
LOGS_IN = (Stage.AGENT, Stage.REGISTERED, Stage.READY)
BUSY, IDLE, BOOTING, OFFLINE, SUBMITS = "busy", "idle", "booting", "offline", "submits only"
STATES = (BUSY, IDLE, BOOTING, OFFLINE, SUBMITS)


def stage_words(node: NodeStatus) -> tuple[str, Tone | None]:
    """A node's stage; that it is blocked says more, unless it could not log in anyway."""
    if node.blocked and (not node.mac or node.stage in LOGS_IN):
        return "⊘ blocked", "bad"
    if node.doing in ORDERED:
        return ORDERED[node.doing]
    glyph, tone = STAGES[node.stage]
    return f"{glyph} {stage_word(node)}", tone


def state(node: NodeStatus) -> str:
    """What a node does, in one of STATES."""
    host = node.host
    if host is not None and not node.mac and not host.slots:
        return SUBMITS
    if host is not None and host.online:
        return BUSY if host.jobs_running else IDLE
    if node.stage is Stage.READY:
        return BUSY if node.users else IDLE
    return OFFLINE if node.stage in (Stage.OFF, Stage.LOST) else BOOTING


class Reasons:
    """Why nodes are idle at one moment: what the question needs of all nodes is gathered once, not for each."""

    def __init__(self, live: Live, now: float) -> None:
        self._live = live
        self._now = now
        self._known: dict[str, Idle | None] = {}
        self._others = list(_that_matter(live.nodes.values()))

    def of(self, node: NodeStatus) -> Idle | None:
        """The reason; None when it works, or nothing is known."""
        if node.key not in self._known:
            overview = self._live.overview
            reason = None if overview is None else idle_reason(node, [node, *self._others], overview, self._now)
            self._known[node.key] = reason
        return self._known[node.key]


def _that_matter(nodes: Iterable[NodeStatus]) -> Iterable[NodeStatus]:
    """Those who wait for a node, and one that speaks the newest protocol."""
    newest: NodeStatus | None = None
    protocol = 0
    for node in nodes:
        host = node.host
        if host is None or not host.online:
            continue
        if host.protocol > protocol:
            newest, protocol = node, host.protocol
        if host.jobs_pending:
            yield node
    if newest is not None and newest.host is not None and not newest.host.jobs_pending:
        yield newest


@lru_cache(maxsize=8192)
def natural(name: str) -> tuple[str | int, ...]:
    """Sorts pc9 before pc10."""
    return tuple(int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]{1,18})", name.casefold())))


def clock(moment: float) -> str:
    """A Unix time as the hour here; empty for 0."""
    return time.strftime("%H:%M:%S", time.localtime(moment)) if moment else ""
