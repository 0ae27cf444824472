"""A fake daemon's connection to the scheduler: it logs in, passes on what comes, and comes back when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from random import Random

from msgspec import Struct

from farm.errors import FarmError
from farm.scheduler.channel import ProtocolError
from farm.scheduler.connection import SCHEDULER_SILENCE_SECONDS, SchedulerLostError
from farm.simulate import wire
from farm.simulate.plan import SimulatedHost

RETRY = (2.0, 5.0)
"""Seconds after which a daemon tries again; iceccd takes 20 to 57."""

LEAVE_PATIENCE = 5.0


class LoginPlace(Struct, frozen=True):
    """Where daemons log in, and from where."""

    scheduler: str
    port: int
    address: str | None
    """The daemon's own; None: whichever the system takes."""
    listen: int
    """The daemon's own port."""


class FakeDaemon(asyncio.Protocol):
    """One daemon over as many connections as that takes. What is sent is kept until ``flush``."""

    def __init__(self, host: SimulatedHost, place: LoginPlace, random: Random) -> None:
        self.host = host
        self.place = place
        self.logged_in = False
        self.wanted = True
        """It shall be there: without that, it does not come back."""
        self.key = ("", 0)
        """Address and port by which the scheduler names it."""
        self.on_message: Callable[[wire.Message], None] = _ignore
        self.on_login: Callable[[], None] = _nothing
        self.on_loss: Callable[[], None] = _nothing
        self._random = random
        self._session = wire.DaemonSession(host.name)
        self._transport: asyncio.Transport | None = None
        self._output: list[bytes] = []
        self._retry: asyncio.Task[None] | None = None
        self._accepted = asyncio.Event()
        self._gone = asyncio.Event()
        self._gone.set()

    async def connect(self) -> None:
        """Connect; the login follows by itself. Raises SchedulerLostError."""
        place = self.place
        try:
            async with asyncio.timeout(SCHEDULER_SILENCE_SECONDS):
                await asyncio.get_running_loop().create_connection(
                    lambda: self,
                    place.scheduler,
                    place.port,
                    family=socket.AF_INET,
                    local_addr=(place.address, 0) if place.address else None,
                )
        except TimeoutError:
            raise SchedulerLostError(
                place.scheduler, place.port, f"No connection within {SCHEDULER_SILENCE_SECONDS:.0f} s."
            ) from None
        except OSError as error:
            raise SchedulerLostError(place.scheduler, place.port, error.strerror or str(error)) from error

    def send(self, message: bytes) -> None:
        """Keep a message for ``flush``."""
        self._output.append(message)

    def flush(self) -> None:
        """Send what was kept, unless the connection is gone."""
        if self._transport is not None and self._output:
            self._transport.write(b"".join(self._output))
        self._output.clear()

    def close(self) -> None:
        """Send what was kept, and go."""
        self.wanted = False
        if self._retry is not None:
            self._retry.cancel()
        if self._transport is not None:
            self.flush()
            self._transport.close()
            self._lose()

    async def settle(self) -> None:
        """Wait until the scheduler has handled all that was sent; it may take a few seconds to, not more.

        Only a login is answered. A daemon repeats it to tell of new environments, so that is no offence.
        """
        if self._transport is None or not self.logged_in:
            return
        self._accepted.clear()
        self.send(self._login())
        self.flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_PATIENCE):
                await self._accepted.wait()

    async def leave(self) -> None:
        """Close for good, and wait until what was kept is sent."""
        self.on_loss = _nothing
        self.close()
        try:
            async with asyncio.timeout(LEAVE_PATIENCE):
                await self._gone.wait()
        except TimeoutError:
            if self._transport is not None:
                self._transport.abort()

    def come_back(self) -> None:
        """Log in again after ``close``."""
        self.wanted = True
        self._retry = asyncio.create_task(self._reconnect(0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet (asyncio calls this)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._gone.clear()
        self._session = wire.DaemonSession(self.host.name)
        self.key = (transport.get_extra_info("sockname")[0], self.place.listen)
        transport.write(self._session.greeting())
        if not self.wanted:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Handle what the scheduler says (asyncio calls this)."""
        assert self._transport is not None
        agreed = self._session.ready
        try:
            messages, answer = self._session.receive(data)
        except ProtocolError:
            self._transport.abort()
            return
        if answer:
            self._transport.write(answer)
        if self._session.ready and not agreed:
            self._transport.write(self._login())
        for message in messages:
            self._handle(message)

    def _login(self) -> bytes:
        return wire.login(self.host.name, self.place.listen, self.host.slots, no_remote=self.host.no_remote)

    def _handle(self, message: wire.Message) -> None:
        assert self._transport is not None
        match message:
            case wire.Accepted():
                self._accepted.set()
                if not self.logged_in:
                    self.logged_in = True
                    self.on_login()
            case wire.Asked(answer):
                self._transport.write(answer)
            case wire.Goodbye():
                self._transport.close()
            case _:
                self.on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell of it, and try again after a while (asyncio calls this)."""
        self._transport = None
        self._gone.set()
        self._lose()
        if self.wanted:
            self._retry = asyncio.create_task(self._reconnect(self._random.uniform(*RETRY)))

    def _lose(self) -> None:
        self._output.clear()
        if self.logged_in:
            self.logged_in = False
            self.on_loss()

    async def _reconnect(self, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            try:
                await self.connect()
            except SchedulerLostError:
                await asyncio.sleep(self._random.uniform(*RETRY))
            else:
                return


def _nothing() -> None:
    """Do nothing, for callers that need not hear when a fake daemon has ended."""


def _ignore(_message: wire.Message) -> None:
    """A node is told nothing of interest."""


async def listen(ports: Iterable[int]) -> list[asyncio.Server]:
    """Accept the scheduler's probes, by which it learns that a node can be reached. Raises FarmError.

    At all addresses: daemons with the same port share one socket.
    """
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []
    for port in ports:
        try:
            servers.append(await loop.create_server(asyncio.Protocol, "0.0.0.0", port, backlog=1024))
        except OSError as error:
            for server in servers:
                server.close()
            raise FarmError(
                "The simulated daemons cannot listen.",
                error.strerror or str(error),
                "Simulate without --scheduler, in a separate namespace.",
            ) from error
    return servers
