"""Why a session did not come about, for the next one who stands at the greeter: a session can not speak with it."""

from __future__ import annotations

import contextlib
import os

from farm.node.files import write
from farm.node.session.ssh_client.ssh_command import FOLDER, RUN

LEFT = f"{FOLDER}/notice"
"""Written by the session."""
KEPT = f"{RUN}/notice"
"""The same text after the session's files are gone."""
MAX_BYTES = 600
ENDED = "Your session here was ended, as you have logged in at another machine."
LOST = "Your session has ended, as the connection to the server was lost: it was stopped, or the network failed."


def leave(text: str) -> None:
    """Called in the session; one whose log-in is gone has no place for it any more."""
    if os.path.isdir(FOLDER):
        write(LEFT, text)


def keep() -> None:
    """Called as root when a session ends; what lies there may be anything."""
    if text := read_left(LEFT):
        write(KEPT, text)


def put(text: str) -> None:
    """The same, called as root."""
    write(KEPT, text)


def take() -> str:
    """The text, once; empty when there is none."""
    text = read_left(KEPT)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(KEPT)
    return text


def read_left(path: str) -> str:
    """What lies in a file that a session can write, as one line; empty when nothing does. No link is followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with open(descriptor, "rb") as file:
        text = file.read(MAX_BYTES).decode(errors="replace")
    return "".join(each if each.isprintable() else " " for each in text).strip()
