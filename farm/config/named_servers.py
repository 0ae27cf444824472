"""The servers that lts.conf names for log-ins, and whether machines are told their host keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from farm.config.known_hosts import KNOWN_FILE, read_known_hosts
from farm.config.lts_file import LTS_FILE, load_lts
from farm.errors import FarmError
from farm.node.lts.parts import Assignment
from farm.node.lts.precedence import is_unset
from farm.node.session.lts_values import LtsValues
from farm.node.session.pam.server_choice import NAMED_UNATTENDED, OWN
from farm.node.session.session_settings import valid_host
from farm.printable import printable

VARIABLES = frozenset(variable for variables in NAMED_UNATTENDED.values() for variable in variables)


class NamedServers(NamedTuple):
    """What is noticeable about the servers that lts.conf names."""

    without_key: list[str]
    """Hosts of which machines are told no host key: they send no password there."""
    lines: list[str]
    """All that is noticeable, a line for each, with the file and the line that it is about."""


def look_at_servers(folder: Path, own: str) -> NamedServers:
    """Look at lts.conf and ssh_known_hosts in the folder of farm.yaml; ``own``: this computer's address."""
    known = read_known_hosts(folder / KNOWN_FILE)
    hosts = {own, OWN, *known.keys, *(name.strip("[]").partition("]:")[0] for name in known.keys)}
    without_key: list[str] = []
    lines = list(known.flaws)
    for each, host in _named(folder / LTS_FILE):
        if not valid_host(host):
            lines.append(f"{each.file}:{each.line}: {printable(host, 64)} is no host name or IPv4 address.")
        elif host not in hosts:
            lines.append(f"{each.file}:{each.line}: machines are not told the host key of {host}, named by {each.key}.")
            without_key.append(host)
    return NamedServers(list(dict.fromkeys(without_key)), lines)


def fix_of(without_key: str) -> str:
    """The command that adds a server's host keys."""
    return f"ssh-keyscan {without_key} >> {KNOWN_FILE}"


def _named(path: Path) -> Iterator[tuple[Assignment, str]]:
    """Each host that the file names, with the line; none where the file cannot be read, which others tell."""
    try:
        assignments = load_lts(path).assignments
    except FarmError:
        return
    for each in assignments:
        if each.key in VARIABLES and not is_unset(each):
            yield from ((each, host.lower()) for host in LtsValues({each.key: each.written}).words(each.key))
