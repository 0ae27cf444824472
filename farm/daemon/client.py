"""Asking farmd."""

from __future__ import annotations

import http.client
import socket

import msgspec

from farm.daemon.status import Status
from farm.errors import FarmError
from farm.home import Home

TIMEOUT = 5.0


class _Connection(http.client.HTTPConnection):
    """HTTP over farmd's Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("farmd", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def fetch_status(home: Home) -> Status:
    """What farmd knows; raises FarmError when it does not answer, or not what this version understands."""
    connection = _Connection(str(home.farmd_socket))
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
    except msgspec.DecodeError as error:
        raise FarmError(
            "farmd's answer cannot be understood.", f"It is of another version: {error}", "Start it anew: sudo farm up"
        ) from error
    finally:
        connection.close()
