"""Telling farmd what this machine builds, so that the farm's history has a name for it."""

from __future__ import annotations

import contextlib
import http.client
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from farm.history.builds import MAX_TAG
from farm.unix_http import UnixHTTPConnection
from farm.workstation.explain.last_run import legible
from farm.workstation.membership import Membership

TAGGING_SECONDS = 2.0
MAX_DEFAULT = 80
TOKEN = "FARM_API_TOKEN"
API_PORT = 8070


def default_tag(argv: Sequence[str]) -> str:
    """A command line, shortened."""
    line = " ".join(legible(shlex.join(argv)).split())
    return line if len(line) <= MAX_DEFAULT else line[: MAX_DEFAULT - 1] + "…"


def tag_build(membership: Membership, socket: Path, text: str, environment: Mapping[str, str]) -> bool:
    """Name the build; whether that worked. It does not where farmd is out of reach, or wants a token that is not there.

    ``socket``: farmd's, used on the server; elsewhere it is asked over the network, with the token in FARM_API_TOKEN.
    """
    headers = {"Content-Type": "application/json"}
    if membership.how == "server":
        connection: http.client.HTTPConnection = UnixHTTPConnection(socket, TAGGING_SECONDS)
    elif membership.api and environment.get(TOKEN):
        address = urlsplit(membership.api if "//" in membership.api else f"//{membership.api}")
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(address.hostname or "", address.port or API_PORT, timeout=TAGGING_SECONDS)
        headers["Authorization"] = f"Bearer {environment[TOKEN]}"
    else:
        return False
    body = msgspec.json.encode({"submitter": membership.submitter, "text": legible(text)[:MAX_TAG]})
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        connection.request("POST", "/builds/tag", body, headers)
        return connection.getresponse().status == 200
    return False
