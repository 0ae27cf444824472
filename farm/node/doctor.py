"""`python3 -m farm.node doctor`: whether this node is fit to compile; `farm doctor` shows the same on a node."""

from __future__ import annotations

import json
import os
import pwd
import socket
import sys
import time
from typing import Any

from farm.node.contract import PORT
from farm.node.environments import FOLDER, ROOM_PER_SLOT
from farm.node.ports import ICECCD_PORT, SCHEDULER_PORT

CONNECT_SECONDS = 3.0
LONG_AGO = 1_700_000_000
"""Before this software was written: a clock that says so has lost its time."""

Finding = dict[str, Any]
"""code, ok, seen, mend."""


def examine(root: str = "/", folder: str = FOLDER, port: int = ICECCD_PORT) -> list[Finding]:
    """All checks, in their order."""
    try:
        with open(os.path.join(root, "run/farm/node.json"), encoding="utf-8") as file:
            node: dict[str, Any] = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        return [_finding("node-configured", False, str(error), "systemctl restart farm-node-configure")]
    return [
        _finding("node-configured", True, f"{node.get('name')} of farm {node.get('farm')}"),
        _iceccd(port),
        _owner(folder),
        _room(folder, int(node.get("slots") or 0)),
        _scheduler(_setting(os.path.join(root, "run/farm/iceccd.env"), "FARM_SCHEDULER")),
        _clock(),
    ]


def _finding(code: str, ok: bool, seen: str, mend: str = "") -> Finding:
    return {"code": code, "ok": ok, "seen": seen, "mend": "" if ok else mend}


def _iceccd(port: int) -> Finding:
    why = _connect("127.0.0.1", port)
    seen = why or f"It answers at TCP port {port}."
    return _finding("node-iceccd", not why, seen, "systemctl restart iceccd; journalctl -u iceccd")


def _owner(folder: str) -> Finding:
    try:
        owner = pwd.getpwuid(os.stat(folder).st_uid).pw_name
    except (OSError, KeyError) as error:
        return _finding("node-folder", False, str(error), f"install -d -o icecc {folder}")
    return _finding("node-folder", owner == "icecc", f"{folder} belongs to {owner}.", f"chown icecc {folder}")


def _room(folder: str, slots: int) -> Finding:
    wanted = ROOM_PER_SLOT * ((slots or os.cpu_count() or 1) + 1)
    try:
        stat = os.statvfs(folder)
    except OSError as error:
        return _finding("node-space", False, str(error), f"install -d -o icecc {folder}")
    free = stat.f_bavail * stat.f_frsize
    seen = f"{free >> 20} MiB are free in {folder}, {wanted >> 20} are wanted."
    return _finding("node-space", free >= wanted, seen, "reboot, or give it more RAM or fewer slots")


def _scheduler(address: str) -> Finding:
    host, _, port = address.partition(":")
    why = _connect(host, int(port) if PORT.fullmatch(port) else SCHEDULER_PORT) if host else "No scheduler is known."
    return _finding("node-scheduler", not why, why or f"{address} answers.", "farm status on the server")


def _setting(path: str, name: str) -> str:
    """What `configure` has told iceccd (NAME=VALUE lines); empty when it has not."""
    try:
        with open(path, encoding="utf-8") as file:
            pairs = [line.strip().partition("=") for line in file]
    except OSError:
        return ""
    return next((value.strip("\"'") for key, _, value in pairs if key == name), "")


def _connect(host: str, port: int) -> str:
    """Why there is no connection; empty when there is one."""
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS):
            return ""
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"


def _clock() -> Finding:
    now = time.time()
    return _finding("node-clock", now > LONG_AGO, time.strftime("It is %Y-%m-%d %H:%M:%S.", time.gmtime(now)), "reboot")


def main(root: str) -> int:
    """Print what was found; 3 when something is wrong."""
    findings = examine(root)
    for each in findings:
        mark = "ok  " if each["ok"] else "FAIL"
        sys.stdout.write(f"{mark} {each['code']}: {each['seen']}\n")
        if each["mend"]:
            sys.stdout.write(f"     mend: {each['mend']}\n")
    return 0 if all(each["ok"] for each in findings) else 3
