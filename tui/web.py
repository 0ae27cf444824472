"""The dashboard in a browser: textual-serve on the loopback interface, behind a word that only its starter knows.

textual-serve asks nobody who they are. Without more, each user of this machine could open the dashboard, and so could
the pages of any web site that the starter visits: a browser lets them connect to 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import WSCloseCode, web
from textual_serve.app_service import AppService
from textual_serve.server import Server

from farm.errors import FarmError

LOOPBACK = "127.0.0.1"
COOKIE = "farm-top"
PAGE_CLOSE_SECONDS = 5.0
"""Seconds that a dashboard has to end when its page is closed."""
POLICY = (
    "default-src 'self' 'unsafe-inline'; connect-src 'self' ws://{host}; img-src 'self' data:; frame-ancestors 'none'"
)
"""textual-serve's page asks Google for a font: nobody shall learn of us, nor a lab without the Internet wait for it."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site(Server):
    """Runs ``command`` for each browser that knows the token."""

    def __init__(self, command: str, port: int, say: Callable[[str], None]) -> None:
        # Without exec its shell would be what is killed.
        super().__init__(
            f"exec {command}", host=LOOPBACK, port=port, title="farm top", public_url=f"http://{LOOPBACK}:{port}"
        )
        self.token = secrets.token_urlsafe(24)
        self._say = say
        self._open: set[web.WebSocketResponse] = set()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """What a browser is to open."""
        return f"{self.public_url}/?token={self.token}"

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The token once in the address, then in a cookie that other sites' requests do not carry."""
        given = request.query.get("token") or request.cookies.get(COOKIE, "")
        if request.host != f"{LOOPBACK}:{self.port}" or not hmac.compare_digest(given.encode(), self.token.encode()):
            return web.Response(status=403, text="Open the address that farm top --web printed.\n")
        if "token" in request.query:
            answer = web.HTTPFound("/")
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="Strict")
            raise answer
        answered = await handler(request)
        answered.headers["Content-Security-Policy"] = POLICY.format(host=request.host)
        return answered

    async def on_startup(self, app: web.Application) -> None:
        """Nothing: the address is said when it can be opened."""

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        self._open.add(websocket)
        try:
            await super()._process_messages(websocket, app_service)
        finally:
            self._open.discard(websocket)
            ending = asyncio.create_task(_end(app_service))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def on_shutdown(self, app: web.Application) -> None:
        """Close the pages, which ends their dashboards: aiohttp would give them a minute to do so themselves."""
        await asyncio.gather(*(each.close(code=WSCloseCode.GOING_AWAY) for each in self._open))

    def run(self) -> None:
        """Serve until Ctrl-C. Raises OSError when the port cannot be had."""
        web.run_app(
            self._make_app(),
            host=self.host,
            port=self.port,
            access_log=None,
            print=lambda *_: self._say(self.address),
        )


async def _end(app_service: AppService) -> None:
    """Kill a dashboard that does not end with its page.

    One that is told to end while it begins and is resized may lay itself out for ever, in two sizes by turns, and take
    ever more memory (Textual 8.2: `Screen._refresh_layout` posts a resize for each that it carries out late).
    """
    process = app_service._process
    if process is None:
        return
    try:
        async with asyncio.timeout(PAGE_CLOSE_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def serve(command: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. ``say`` gets the address. Raises FarmError when the port is taken."""
    try:
        Site(command, port, say).run()
    except OSError as error:
        raise FarmError(
            f"Port {port} of {LOOPBACK} cannot be used.",
            f"{error.strerror or error}.",
            "Use another one: farm top --web --port N",
        ) from error
