"""The role session, as it is shown: whether the log-in is on the screen, and who is logged in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from farm.view.roles import Idle, RoleView, away
from farm.view.session_words import failing
from farm.view.status import NodeStatus, Overview, SessionStatus
from farm.watch.events import Stage
from farm.watch.state import Farm, Node


class SessionView(RoleView):
    """All of it is the agent's word."""

    advice: ClassVar[Mapping[Stage, tuple[str, str]]] = {
        Stage.AGENT: ("no greeter on its screen", "check lightdm: farm node ssh {name} systemctl status lightdm")
    }

    marks: ClassVar[tuple[str, ...]] = ("greeter", "session")

    def section(self, farm: Farm, node: Node, *, has: bool) -> SessionStatus | None:
        """What its agent says, as long as that counts."""
        if not has:
            return None
        told = node.told if node.verified and node.telemetry is not None else None
        return SessionStatus(None if told is None else told.session)

    def idle(self, node: NodeStatus, nodes: Iterable[NodeStatus], overview: Overview, time: float) -> Idle | None:
        """Why nobody works at it."""
        if node.users:
            return None
        if reason := away(node, time):
            return reason
        told = node.session.agent if node.session else None
        if told and (why := failing(told.log_ins, time)):
            return Idle("log-ins-fail", f"Log-ins fail: {why.sentence}", why.fix(node.name))
        return Idle("nobody-there", "Nobody is logged in; the greeter is on the screen.")

    def behind(self, node: NodeStatus) -> bool:
        """Its agent does not say that the greeter is up."""
        return node.session is None or node.session.agent is None or not node.session.agent.ready

    def word(self, node: NodeStatus) -> str:
        """Whether somebody is logged in."""
        return "session" if node.users else "greeter"


VIEW = SessionView()
