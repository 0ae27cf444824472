"""TFTP servers on a network."""

from __future__ import annotations

import contextlib
import socket
import time

from farm.errors import FarmError

TFTP_PORT = 69
READ = b"\0\1boot/start.ipxe\0octet\0"
_ANSWERS = (b"\0\3", b"\0\5", b"\0\6")
"""Data, error, options (RFC 1350, RFC 2347)."""
_MOST = 64
_ERROR = b"\0\5\0\0stop\0"
"""Ends a transfer that nobody wants."""


def find_tftp_servers(broadcast: str, seconds: float = 2.0) -> set[str]:
    """Addresses of those that answer a read request to a broadcast address, be it that there is no such file.

    Servers may leave broadcasts alone (dnsmasq does not): who does not answer may be there yet. Raises FarmError.
    """
    found: set[str] = set()
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            sock.sendto(READ, (broadcast, TFTP_PORT))
        except OSError as error:
            raise FarmError(
                "Could not ask for TFTP servers.", f"{broadcast}: {error.strerror}.", "Check it: ip addr show"
            ) from error
        with contextlib.suppress(TimeoutError):
            while len(found) < _MOST and time.monotonic() < end:
                sock.settimeout(max(0.01, end - time.monotonic()))
                data, sender = sock.recvfrom(2048)
                if data[:2] in _ANSWERS:
                    found.add(sender[0])
                    sock.sendto(_ERROR, sender)
    return found
