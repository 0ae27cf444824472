"""Who may ask farmd what, and how it says no.

Over the Unix socket everyone on this machine may ask, and root and farmd's own user may give orders. Over TCP the token
lets in, and orders are taken only if farm.yaml says so.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import socket
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from farm.api.answers import Failure, Refused
from farm.daemon.door import user
from farm.errors import FarmError
from farm.home import Home, write_atomic
from farm.scheduler.channel import ProtocolError
from farm.scheduler.connection import SchedulerLostError

log = logging.getLogger("farmd")

OPEN_PATHS = frozenset(("/healthz",))
"""What anyone may ask over TCP."""
BROKEN_REQUESTS = (HttpProcessingError, web.RequestPayloadError, aiohttp.ClientPayloadError, ConnectionError)
"""What becomes of a request that makes no sense, or whose sender leaves in the middle of it."""


class ApiError(FarmError):
    """A request that fails; ``status``: of HTTP."""

    def __init__(self, status: int, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.status = status


def token_path(home: Home) -> Path:
    """Where the token is kept, readable by root (or whoever runs farmd) alone."""
    return home.state / "api-token"


def token(home: Home) -> str:
    """The token, made when there is none. Raises OSError."""
    path = token_path(home)
    try:
        found = path.read_text().strip()
    except FileNotFoundError:
        found = ""
    if not found:
        found = secrets.token_urlsafe(32)
        write_atomic(path, found + "\n", mode=0o600)
    return found


def _wanted(home: Home) -> bytes:
    """The token. Raises ApiError when there is none, and none can be written."""
    try:
        return token(home).encode()
    except OSError as error:
        raise ApiError(
            503, "There is no token.", f"{error.strerror or error}: {token_path(home)}", f"Look: df -h {home.state}"
        ) from None


def caller(request: web.Request) -> int | None:
    """The user id of who asks over the Unix socket; None for TCP. Raises ConnectionResetError when they are gone."""
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    if connection is None:
        raise ConnectionResetError
    if connection.family != socket.AF_UNIX:
        return None
    return user(connection)


def may_order(uid: int | None, *, orders: bool) -> None:
    """See that who asks may also give orders; ``orders``: api.orders of farm.yaml. Raises ApiError."""
    if uid is None and not orders:
        raise ApiError(
            403,
            "Orders are not accepted over the network.",
            "",
            "Set api.orders: true in farm.yaml, then: sudo farm up",
        )
    if uid is not None and uid not in (0, os.getuid()):
        raise ApiError(
            403,
            "You are not allowed to give orders to nodes.",
            f"User id {uid} is neither root nor farmd's user.",
            "Try again with sudo.",
        )


def admit(home: Home) -> Middleware:
    """A middleware that lets in whoever is on this machine, and over TCP whoever has the token."""

    @web.middleware
    async def admitting(request: web.Request, handler: Handler) -> web.StreamResponse:
        if caller(request) is None and request.path not in OPEN_PATHS:
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            # Read anew each time, so that deleting the file locks out who has the old one.
            sent = given.strip().encode(errors="surrogateescape")  # headers may hold any bytes
            if scheme.lower() != "bearer" or not hmac.compare_digest(sent, _wanted(home)):
                raise ApiError(
                    401,
                    "The token is missing or wrong.",
                    "",
                    f"Send the header Authorization: Bearer TOKEN; it is in {token_path(home)}.",
                )
        return await handler(request)

    return admitting


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into an answer that says what, why and what mends it."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {key: value for key, value in error.headers.items() if key == "Allow"}
        return refusal(
            error.status,
            FarmError(f"{error.reason}.", f"{request.method} {request.path[:200]}", "See docs/api.md."),
            headers,
        )
    except ApiError as error:
        return refusal(error.status, error, {"WWW-Authenticate": "Bearer"} if error.status == 401 else {})
    except (SchedulerLostError, ProtocolError) as error:
        return refusal(502, error)
    except FarmError as error:
        return refusal(409, error)
    except ConnectionError:
        raise
    except BROKEN_REQUESTS:
        return refusal(400, FarmError("Invalid request.", "The body cannot be read.", "See docs/api.md."))
    except Exception:
        log.exception("%s %.200r failed", request.method, request.path)
        return refusal(500, FarmError("Internal error in farmd.", "Details are in its log.", "See: farm logs farmd"))


def refusal(status: int, error: FarmError, headers: dict[str, str] | None = None) -> web.Response:
    """An error as an answer."""
    body = msgspec.json.encode(Refused(Failure(error.what, error.why, error.fix)))
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
