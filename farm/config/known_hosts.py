"""ssh_known_hosts beside farm.yaml: the host keys of servers other than this one that thin clients may log in to.

The grammar is OpenSSH's (sshd(8)), with names in clear text: thin clients are told keys by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from farm.node.session.session_settings import HOST_KEY, MAX_HOST_KEYS, MAX_KNOWN, valid_host_and_port
from farm.printable import printable

KNOWN_FILE = "ssh_known_hosts"
"""Its name beside farm.yaml."""
MAX_FILE = 256 * 1024
MAX_TOLD = 8 * 1024
"""Bytes as JSON: with all else a machine is told they stay within what it takes."""


class KnownHosts(NamedTuple):
    """What such a file says."""

    keys: dict[str, list[str]]
    """By host, or by ``[host]:port``."""
    flaws: list[str]
    """What is noticeable about it, a line for each."""


def read_known_hosts(path: Path) -> KnownHosts:
    """Read it; nothing is known where there is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return KnownHosts({}, [])
    except OSError as error:
        return KnownHosts({}, [f"{path} cannot be read: {error.strerror}."])
    if len(content) > MAX_FILE:
        return KnownHosts({}, [f"{path} is not used, as it has more than {MAX_FILE} bytes."])
    return parse_known_hosts(content.decode(errors="replace"), path.name)


def parse_known_hosts(text: str, name: str = KNOWN_FILE) -> KnownHosts:
    """What is told of a file's text."""
    keys: dict[str, list[str]] = {}
    flaws = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if flaw := _flaw(words):
            flaws.append(f"{name}:{number}: {flaw}")
            continue
        key = " ".join(words[1:3])
        for host in _names(words[0]):
            more = {**keys, host: list(dict.fromkeys([*keys.get(host, []), key]))}
            if len(more[host]) > MAX_HOST_KEYS or len(more) > MAX_KNOWN or len(json.dumps(more)) > MAX_TOLD:
                flaws.append(f"{name}:{number}: machines are not told this key of {host}, as the file is too long.")
            else:
                keys = more
    return KnownHosts(keys, flaws)


def _flaw(words: list[str]) -> str:
    if words[0].startswith("@"):
        return f"{printable(words[0], 40)} is not supported; give the server's own key."
    if words[0].startswith("|"):
        return "the host's name is hashed; write it in clear text, as ssh-keyscan without -H does."
    wrong = next((host for host in _names(words[0]) if not valid_host_and_port(host)), None)
    if wrong is not None:
        return f"{printable(wrong, 64)} is no host name, IPv4 address or [host]:port."
    if not HOST_KEY.fullmatch(" ".join(words[1:3])):
        return "no valid key follows the host's name."
    return ""


def _names(field: str) -> Iterator[str]:
    for name in field.lower().split(","):
        yield name.removesuffix(":22").strip("[]") if name.endswith("]:22") else name
