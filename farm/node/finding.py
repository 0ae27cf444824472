"""What a check of this node finds, as plain data: the node's doctor and `farm doctor` both show it."""

from __future__ import annotations

import socket

CONNECT_SECONDS = 3.0
"""What answers at all does so within this time."""


def finding(code: str, ok: bool, seen: str, mend: str = "") -> dict[str, object]:
    """One result: ``mend`` is the command to try, and says nothing when all is well."""
    return {"code": code, "ok": ok, "seen": seen, "mend": "" if ok else mend}


def why_silent(host: str, port: int) -> str:
    """Why there is no TCP connection to a port; empty when there is one."""
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS):
            return ""
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"
