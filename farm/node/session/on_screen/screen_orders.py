"""What the server tells a machine to do at its screen, over ssh: `python3 -m farm.node message|logout`.

Standard input is JSON, and so is the answer; ``error`` is a sentence when it was not done.
"""

from __future__ import annotations

import json
import sys

MAX_INPUT = 8192


def main(order: str) -> int:
    """Carry out one of the two; returns the exit code."""
    # With psutil and GTK, which no boot needs.
    from farm.node.session.on_screen import log_out, message

    said = json.loads(sys.stdin.read(MAX_INPUT) or "{}")
    answer: dict[str, object] = {"users": [], "error": ""}
    try:
        if order == "message":
            answer["users"] = log_out.who()
            if not message.show(str(said["text"])):
                answer["error"] = "No X server runs there: its greeter is not up."
        else:
            answer["users"] = log_out.log_out()
    except (OSError, KeyError) as error:
        answer["error"] = f"The screen cannot be reached: {error}."
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0
