"""A farm of ours, watched through farmd's socket: a thin client that needs no root, and no farm.yaml."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from farm.api.answers import Builds, Done, Images, NodeHours, Readings, Refused
from farm.attach import Action, Lost
from farm.errors import NOT_JSON, FarmError
from farm.history.build_records import Build, BuildDetail, NodeHour
from farm.home import Home
from farm.node.retry import pauses
from farm.nodes.blocking import ORDERS
from farm.view.live import Update, decode
from farm.view.status import NodeStatus, Status
from farm.watch.state import Reading

SHORTEST_RETRY = 0.5
LONGEST_RETRY = 5.0
SILENCE_SECONDS = 10.0
"""farmd says something twice a second; after such a silence it hangs."""
TIMEOUT = aiohttp.ClientTimeout(total=15.0)
"""For a question; an order to the scheduler may take some seconds."""
MAX_MESSAGE = 256 << 20
"""Bytes; a snapshot of a scheduler with all that the state may hold is smaller."""

Answer = TypeVar("Answer")
Orders = Mapping[Action, Callable[[NodeStatus], str]]
"""What can be done to nodes besides what farmd does; run in threads."""


class Farmd:
    """The farm of a home. ``orders`` and ``switch`` (takes and returns a version) do what farmd does not."""

    def __init__(self, home: Home, orders: Orders | None = None, switch: Callable[[str], str] | None = None) -> None:
        self.home = home
        self.title = "farm"
        self._orders = orders or {}
        self._switch = switch
        self.actions: frozenset[Action] = frozenset((*ORDERS, *self._orders))

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.UnixConnector(str(self.home.farmd_socket))
        async with aiohttp.ClientSession("http://localhost", connector=connector, timeout=TIMEOUT) as session:
            yield session

    async def updates(self) -> AsyncGenerator[Update | Lost, None]:
        """farmd's snapshot, then its deltas; after a loss the same again as soon as it answers."""
        waits = pauses(SHORTEST_RETRY, LONGEST_RETRY)
        while True:
            try:
                async with contextlib.aclosing(self._watch()) as watch:
                    async for update in watch:
                        waits = pauses(SHORTEST_RETRY, LONGEST_RETRY)
                        yield update
                why = "It closed the connection."
            except TimeoutError:
                why = f"It has said nothing for {SILENCE_SECONDS:.0f} s."
            except (OSError, aiohttp.ClientError) as error:
                why = _reason(error)
            except NOT_JSON as error:
                why = f"It is of another version: {error}"
            retry = next(waits)
            yield Lost(why, retry)
            await asyncio.sleep(retry)

    async def _watch(self) -> AsyncGenerator[Update, None]:
        """One connection's messages; ends when farmd ends it."""
        async with self._session() as session:
            connecting = session.ws_connect("/ws", max_msg_size=MAX_MESSAGE, compress=0)
            async with asyncio.timeout(SILENCE_SECONDS):
                socket = await connecting
            async with socket:
                while True:
                    message = await socket.receive(timeout=SILENCE_SECONDS)
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        return
                    update = decode(message.data)
                    if update.overview is not None:
                        self.title = f"farm {update.overview.farm}"
                    yield update

    async def _ask(self, path: str, kind: type[Answer], method: str = "GET") -> Answer:
        """farmd's answer to a request. Raises FarmError."""
        try:
            async with self._session() as session, session.request(method, path) as response:
                body = await response.read()
                if response.status != 200:
                    error = msgspec.json.decode(body, type=Refused).error
                    raise FarmError(error.what, error.why, error.mend)
                return msgspec.json.decode(body, type=kind)
        except TimeoutError:
            raise FarmError(
                "farmd does not answer.",
                f"It has said nothing for {TIMEOUT.total:.0f} s.",
                "See what it does: farm logs farmd",
            ) from None
        except (OSError, aiohttp.ClientError) as error:
            raise FarmError(
                "farmd does not answer.",
                f"{self.home.farmd_socket}: {_reason(error)}",
                "See whether it runs: farm status",
            ) from error
        except NOT_JSON as error:
            raise FarmError(
                "farmd's answer cannot be understood.",
                f"It is of another version: {error}",
                "Start it anew: sudo farm up",
            ) from error

    async def status(self) -> Status:
        """All at one moment."""
        return await self._ask("/status", Status)

    async def readings(self, key: str) -> list[Reading]:
        """The last quarter of an hour."""
        return (await self._ask(f"/nodes/{quote(key, safe='')}/readings", Readings)).readings

    async def builds(self, limit: int = 100, submitter: str | None = None, since: float | None = None) -> list[Build]:
        """Of the farm's history."""
        query = {"limit": f"{limit}"}
        if submitter is not None:
            query["submitter"] = submitter
        if since is not None:
            query["since"] = f"{max(0, math.floor(since))}"
        return (await self._ask(f"/builds?{urlencode(query)}", Builds)).builds

    async def build(self, id: int) -> BuildDetail:
        """One of them."""
        return await self._ask(f"/builds/{id}", BuildDetail)

    async def node_hours(self, hours: int = 24) -> list[NodeHour]:
        """Of the farm's history."""
        return (await self._ask(f"/nodes/hours?hours={hours}", NodeHours)).hours

    async def act(self, action: Action, node: NodeStatus) -> str:
        """Let farmd block, unblock or kick; what else was given is done here."""
        if action in ORDERS:
            return (await self._ask(f"/nodes/{quote(node.key, safe='')}/{action}", Done, "POST")).done
        if action not in self._orders:
            raise FarmError(
                f"{node.name} cannot be told to {action} from here.", "", f"Try: farm node {action} {node.name}"
            )
        return await asyncio.to_thread(self._orders[action], node)

    async def switch_image(self, version: str) -> str:
        """In the store, and in the farm that is up."""
        if self._switch is None:
            raise FarmError("The image cannot be switched from here.", "", f"Try: sudo farm image use {version}")
        chosen = await asyncio.to_thread(self._switch, version)
        return f"Next boots get {chosen}."

    async def images(self) -> list[str]:
        """Those in the store."""
        return [image.version for image in (await self._ask("/images", Images)).images]


def _reason(error: Exception) -> str:
    """Why there is no answer, in words."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
