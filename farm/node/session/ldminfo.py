"""The rating that servers of LTSP give themselves: who is less busy comes first.

ldminfod says to everybody who connects what its server offers, in lines, and closes; of these ``rating:0`` to
``rating:100`` counts here. What a network says is read by a process of the session user.
"""

from __future__ import annotations

import contextlib
import pwd
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from farm.node.ports import LDMINFO_PORT
from farm.node.session.session_settings import MAX_SERVERS, SessionServer
from farm.node.session.ssh_command import SESSION_USER

SECONDS = 3.0
"""In which a server has said all: a log-in waits for it."""
MAX_INFO = 64 * 1024
_RATING = re.compile(r"rating:\s*([0-9]{1,4})\s*", re.IGNORECASE)


def by_rating(servers: Sequence[SessionServer]) -> list[SessionServer]:
    """The servers, the best rated first; those that rate themselves not at all come last, in the order they had."""
    if len(servers) < 2:
        return list(servers)
    argv = ["/usr/bin/python3", "-I", "-m", __name__, *(server.host for server in servers)]
    user = pwd.getpwnam(SESSION_USER)
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * SECONDS,
            check=False,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        )
    except (subprocess.TimeoutExpired, OSError):
        return list(servers)
    found = [int(line) if re.fullmatch("[0-9]{1,4}", line) else -1 for line in done.stdout.splitlines()]
    if len(found) != len(servers):
        return list(servers)
    ranked = sorted(zip(found, servers, strict=True), key=lambda each: -each[0])
    return [server for _, server in ranked]


def rating(info: bytes) -> int | None:
    """What ldminfod said, as its server's rating; None when it gave none. The last one counts, as for LDM."""
    lines = info.decode(errors="replace").splitlines()
    found = [int(match[1]) for line in lines if (match := _RATING.fullmatch(line))]
    return found[-1] if found else None


def ask(host: str, port: int = LDMINFO_PORT) -> bytes:
    """All that a server's ldminfod says within SECONDS; nothing when it does not answer."""
    end = time.monotonic() + SECONDS
    said = b""
    with contextlib.suppress(OSError), socket.create_connection((host, port), SECONDS) as server:
        while (left := end - time.monotonic()) > 0 and len(said) < MAX_INFO:
            server.settimeout(left)
            piece = server.recv(MAX_INFO)
            if not piece:
                break
            said += piece
    return said


def main(hosts: Sequence[str]) -> None:
    """Print the rating of each, a line for each; an empty line where there is none."""
    with ThreadPoolExecutor(MAX_SERVERS) as pool:
        for info in pool.map(ask, hosts):
            found = rating(info)
            sys.stdout.write("\n" if found is None else f"{found}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
