"""Asking farmd."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections import Counter
from typing import TypeVar

import msgspec

from farm.api.answers import Jobs
from farm.errors import NOT_JSON, FarmError
from farm.home import Home
from farm.unix_http import UnixHTTPConnection
from farm.view.status import Status

TIMEOUT = 5.0
SEEN_SECONDS = 20.0
"""As long farmd may take to see what supervisord says."""
Answer = TypeVar("Answer")


def fetch_status(home: Home) -> Status:
    """What farmd knows; raises FarmError when it does not answer, or not what this version understands."""
    return _fetch(home, "/status", Status)


def jobs_by_submitter(home: Home) -> Counter[str]:
    """Jobs in flight, by the name of the machine that asked for them. Raises FarmError."""
    return Counter(job.submitter[0] for job in _fetch(home, "/jobs", Jobs).jobs)


def _fetch(home: Home, path: str, kind: type[Answer]) -> Answer:
    connection = UnixHTTPConnection(home.farmd_socket, TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"HTTP status {answer.status}")
        return msgspec.json.decode(data, type=kind)
    except (OSError, http.client.HTTPException) as error:
        raise FarmError(
            "farmd does not answer.", f"{home.farmd_socket}: {error}", "Look at its log: farm logs farmd"
        ) from error
    except NOT_JSON as error:
        raise FarmError(
            "farmd's answer cannot be understood.", f"It is of another version: {error}", "Start it anew: sudo farm up"
        ) from error
    finally:
        connection.close()


def wait_until_seen(home: Home) -> None:
    """Wait until farmd has seen that no service is starting any more, so that whoever asks it next is told so."""
    deadline = time.monotonic() + SEEN_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(FarmError):
            services = fetch_status(home).services
            if services and all(service.state != "STARTING" for service in services):
                return
        time.sleep(0.1)
