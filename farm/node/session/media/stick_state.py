"""Where the parts that show sticks leave word for each other: which session is there, and how each stick is doing."""

from __future__ import annotations

import glob
import json
from typing import Any, Literal

from farm.node.files import read
from farm.node.session.ssh_client.ssh_command import FOLDER

SESSION = f"{FOLDER}/sticks"
"""A file of the session user: there while a session wants sticks, and another one in each."""
STATES = "/run/farm/sticks"
"""A file of root's for each stick, which all can read."""
MAX_STICKS = 32

State = Literal["waiting", "shown", "put away", "refused", "failed"]
"""Nobody is logged in; in the user's home; it can be unplugged; not to be shown; not to be used, with the reason."""


def state_file(device: str) -> str:
    """Of the stick with this kernel name."""
    return f"{STATES}/{device}.json"


def all_states() -> list[dict[str, Any]]:
    """What is told of each stick, by kernel names."""
    texts = [read(file) for file in sorted(glob.glob(f"{STATES}/*.json"))[:MAX_STICKS]]
    return [json.loads(text) for text in texts if text]
