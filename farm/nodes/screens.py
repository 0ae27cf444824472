"""The screens of machines at which people log in: a message on one, and the end of the session there."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from farm.errors import NOT_JSON, FarmError
from farm.home import Home
from farm.instance import Instance
from farm.nodes import ssh
from farm.printable import printable
from farm.view.status import NodeStatus

ScreenOrder = Literal["message", "logout"]
MAX_MESSAGE = 500
"""Characters of a message."""
PATIENCE = 60.0
"""Seconds that a machine has, which may be busy."""


class _Answer(Struct, frozen=True):
    users: Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(max_length=16)]
    error: Annotated[str, Meta(max_length=1024)]


def check_text(text: str) -> None:
    """Raises FarmError when it is no message: empty, too long, or with characters that are none."""
    if not text.strip():
        raise FarmError("The message is empty.", "", "Say what is to be shown: farm node message NODE 'TEXT'")
    if len(text) > MAX_MESSAGE:
        raise FarmError(
            "The message is too long.", f"Its length is {len(text)} characters.", f"At most {MAX_MESSAGE} fit."
        )
    if not text.isprintable():
        raise FarmError("The message has control characters.", "Line breaks are among them.", "Leave them out.")


def require_screen(node: NodeStatus) -> None:
    """Raises FarmError for a machine that has no screen of ours, or is not there."""
    if node.session is None:
        raise FarmError(
            f"{node.name} has no screen.",
            "Nobody logs in there: its image has not the role session.",
            "List the machines that have one: farm session list",
        )
    if not node.verified or node.telemetry is None:
        raise FarmError(
            f"{node.name} is not there.", f"Its stage is {node.stage}.", f"Look: farm node show {node.name}"
        )


def order(home: Home, instance: Instance, node: NodeStatus, what: ScreenOrder, text: str = "") -> list[str]:
    """Have a machine show a message, or end its session; returns who is, or was, logged in there. Raises FarmError."""
    require_screen(node)
    words = ["/usr/bin/python3", "-I", "-m", "farm.node", what]
    said = ssh.run(home, instance, node.address, words, PATIENCE, json.dumps({"text": text}))
    try:
        # What ssh and other programs there have to say comes in other lines.
        answer = msgspec.json.decode(next((line for line in said.splitlines() if line[:1] == "{"), ""), type=_Answer)
    except NOT_JSON:
        why = printable(said.strip(), 300)
        raise FarmError(f"{node.name} did not understand.", why, f"Look: farm node ssh {node.name}") from None
    if answer.error:
        log = f"Look at its log: farm node ssh {node.name} journalctl -u lightdm"
        raise FarmError(f"{node.name} has not done it.", printable(answer.error, 300), log)
    users = [printable(user) for user in answer.users]
    if what == "logout" and not users:
        raise FarmError(f"Nobody is logged in at {node.name}.", "", "Who is logged in where: farm session list")
    return users
