"""Asking farmd."""

from __future__ import annotations

import http.client

import msgspec

from farm.errors import NOT_JSON, FarmError
from farm.home import Home
from farm.unix_http import UnixHTTPConnection
from farm.view.status import Status

TIMEOUT = 5.0


def fetch_status(home: Home) -> Status:
    """What farmd knows; raises FarmError when it does not answer, or not what this version understands."""
    connection = UnixHTTPConnection(home.farmd_socket, TIMEOUT)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"HTTP status {answer.status}")
        return msgspec.json.decode(data, type=Status)
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
