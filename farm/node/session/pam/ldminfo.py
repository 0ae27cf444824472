"""What servers of LTSP say of themselves: how busy they are, and which sessions and languages they offer.

ldminfod says it to everybody who connects, in lines (``rating:0`` to ``100``, ``session-with-name:NAME:COMMAND``,
``session:COMMAND``, ``language:LOCALE``), and closes. What a network says is read by a process of the session user.
"""

from __future__ import annotations

import contextlib
import json
import pwd
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from threading import Thread
from typing import NamedTuple

from farm.node.ports import LDMINFO_PORT
from farm.node.session.pam.desktop_choice import LANGUAGE, SESSION
from farm.node.session.session_settings import SessionServer
from farm.node.session.ssh_client.ssh_command import SESSION_USER

SECONDS = 3.0
"""In which a server has said all: a log-in waits for it."""
MAX_INFO = 64 * 1024
MAX_SESSIONS, MAX_LANGUAGES = 32, 100
"""That a menu has place for."""
MAX_NAME = 60
"""Characters of a session's name."""
_SESSION = re.compile("session-with-name:([^:]+):(.+)")
_UNNAMED = re.compile("session:(.+)")
_LANGUAGE = re.compile("language:(.+)")
_RATING = re.compile(r"rating:\s*([0-9]{1,4})\s*", re.IGNORECASE)


class ServerInfo(NamedTuple):
    """What a server says, as far as it is valid; empty when it says nothing."""

    rating: int | None = None
    sessions: tuple[tuple[str, str], ...] = ()
    """Name and command of each."""
    languages: tuple[str, ...] = ()
    """Locales, the server's own first."""


def by_rating(servers: Sequence[SessionServer]) -> list[SessionServer]:
    """The servers, the best rated first; those that rate themselves not at all come last, in the order they had."""
    if len(servers) < 2:
        return list(servers)
    ratings = [-1 if each.rating is None else each.rating for each in server_infos([each.host for each in servers])]
    ranked = sorted(zip(ratings, servers, strict=True), key=lambda each: -each[0])
    return [server for _, server in ranked]


def server_infos(hosts: Sequence[str], seconds: float = SECONDS) -> list[ServerInfo]:
    """What each says, within so many seconds."""
    argv = ["/usr/bin/python3", "-I", "-m", __name__, str(seconds), *hosts]
    user = pwd.getpwnam(SESSION_USER)
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS + seconds,
            check=False,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        )
        found = [_checked(*json.loads(line)) for line in done.stdout.splitlines()]
    except (subprocess.TimeoutExpired, OSError, ValueError, TypeError):
        found = []
    return found if len(found) == len(hosts) else [ServerInfo()] * len(hosts)


def parse_info(info: bytes) -> ServerInfo:
    """Read what ldminfod said; without sessions that have names those without count, as for LDM."""
    lines = [line.strip() for line in info.decode(errors="replace").splitlines()]
    named = [(match[1], match[2]) for line in lines if (match := _SESSION.fullmatch(line))]
    unnamed = [(match[1], match[1]) for line in lines if (match := _UNNAMED.fullmatch(line))]
    languages = [match[1] for line in lines if (match := _LANGUAGE.fullmatch(line))]
    return _checked(rating(info), named or unnamed, languages)


def _checked(rated: object, sessions: Iterable[tuple[str, str]], languages: Iterable[str]) -> ServerInfo:
    by_command = {str(command): _name(str(name)) for name, command in sessions if SESSION.fullmatch(str(command))}
    return ServerInfo(
        rated if isinstance(rated, int) else None,
        tuple((name, command) for command, name in by_command.items() if name)[:MAX_SESSIONS],
        tuple(dict.fromkeys(each for each in languages if LANGUAGE.fullmatch(str(each))))[:MAX_LANGUAGES],
    )


def _name(text: str) -> str:
    """What a menu shows, and a desktop entry can have as it is."""
    return "".join(each for each in text if each.isprintable() and each != "\\")[:MAX_NAME].strip()


def rating(info: bytes) -> int | None:
    """What ldminfod said, as its server's rating; None when it gave none. The last one counts, as for LDM."""
    lines = info.decode(errors="replace").splitlines()
    found = [int(match[1]) for line in lines if (match := _RATING.fullmatch(line))]
    return found[-1] if found else None


def ask(host: str, port: int = LDMINFO_PORT, seconds: float = SECONDS) -> bytes:
    """All that a server's ldminfod says within so many seconds; nothing when it does not answer."""
    end = time.monotonic() + seconds
    said = b""
    with contextlib.suppress(OSError), socket.create_connection((host, port), seconds) as server:
        while (left := end - time.monotonic()) > 0 and len(said) < MAX_INFO:
            server.settimeout(left)
            piece = server.recv(MAX_INFO)
            if not piece:
                break
            said += piece
    return said


def main(seconds: str, *hosts: str) -> None:
    """Print what each says, a line of JSON for each."""
    end = time.monotonic() + float(seconds)
    said = dict.fromkeys(hosts, b"")

    def note(host: str) -> None:
        said[host] = ask(host, seconds=float(seconds))

    # Nobody waits for those that take longer: a name server that is silent holds a thread for half a minute.
    threads = [Thread(target=note, args=[host], daemon=True) for host in said]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    for host in hosts:
        sys.stdout.write(json.dumps(parse_info(said[host])) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
