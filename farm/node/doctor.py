"""`python3 -m farm.node doctor`: whether this node is fit for its roles; `farm doctor` shows the same on a node."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from farm.node.finding import finding
from farm.node.roles import load

LONG_AGO = 1_700_000_000
"""Before this software was written: a clock that says so has lost its time."""

Finding = dict[str, Any]
"""code, ok, seen, mend."""


def examine(root: str = "/") -> list[Finding]:
    """All checks, in their order: the machine's settings, what each of its roles needs, its clock."""
    try:
        with open(os.path.join(root, "run/farm/node.json"), encoding="utf-8") as file:
            node: dict[str, Any] = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        return [finding("node-configured", False, str(error), "systemctl restart farm-node-configure")]
    roles: dict[str, Any] = node.get("roles", {})
    return [
        finding("node-configured", True, f"{node.get('name')} of farm {node.get('farm')}"),
        *(each for role, settings in roles.items() for each in load(role).examine(root, settings)),
        _clock(),
    ]


def _clock() -> Finding:
    now = time.time()
    return finding(
        "node-clock", now > LONG_AGO, time.strftime("The clock shows %Y-%m-%d %H:%M:%S.", time.gmtime(now)), "reboot"
    )


def main(root: str) -> int:
    """Print what was found; 3 when something is wrong."""
    findings = examine(root)
    for each in findings:
        mark = "ok  " if each["ok"] else "FAIL"
        sys.stdout.write(f"{mark} {each['code']}: {each['seen']}\n")
        if each["mend"]:
            sys.stdout.write(f"     mend: {each['mend']}\n")
    return 0 if all(each["ok"] for each in findings) else 3
