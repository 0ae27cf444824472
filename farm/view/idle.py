"""Why a machine does nothing: the first reason that holds, the most fundamental first; its roles say most of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from farm.errors.hints import hint
from farm.view.roles import Idle, away, load
from farm.view.status import NodeStatus, Overview

NO_ROLE = Idle("no-role", "The machine has no role: its image gives it nothing to do.")


def idle_reason(node: NodeStatus, nodes: Iterable[NodeStatus], overview: Overview, time: float) -> Idle | None:
    """Why ``node`` does nothing at Unix ``time``, in the first of its roles; None when it does something in any.

    ``nodes``: all of them, submitters too.
    """
    reasons = [load(role).idle(node, nodes, overview, time) for role in node.roles]
    found = None if None in reasons else reasons[0] if reasons else away(node, time) or NO_ROLE
    return found and replace(found, mend=_mend(found.mend, overview))


def _mend(text: str, overview: Overview) -> str:
    """What to do, as it is typed: a scheduler without a farm is named, and its log is not to be seen from here."""
    if overview.farm:
        return hint(text)
    at = overview.scheduler.address
    if "farm logs" in text:
        return "Look at icecc-scheduler's log on its machine."
    return re.sub(r"\bfarm node (show|unblock)\b", rf"farm node \1 --scheduler {at}", text)
