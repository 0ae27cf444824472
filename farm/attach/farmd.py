"""A farm of ours, watched through farmd's socket: a thin client that needs no root, and no farm.yaml."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

import aiohttp

from farm.api import client
from farm.api.client import Answer, ApiQuestion
from farm.attach import Action, Lost
from farm.errors import NOT_JSON, FarmError
from farm.history.build_records import Build, BuildDetail, NodeHour
from farm.history.log_in_records import LogInRecord
from farm.home import Home
from farm.node.retry import pauses
from farm.nodes.blocking import ORDERS
from farm.view.live import Update, decode
from farm.view.status import NodeStatus, Status
from farm.watch.state import Reading

SHORTEST_FARMD_RETRY = 0.5
LONGEST_FARMD_RETRY = 5.0
SILENCE_SECONDS = 10.0
"""farmd says something twice a second; after such a silence it hangs."""
QUESTION_TIMEOUT = aiohttp.ClientTimeout(total=client.ORDER_TIMEOUT)

Orders = Mapping[Action, Callable[[NodeStatus], str]]
"""What can be done to nodes besides what farmd does; run in threads."""


class Farmd:
    """The farm of a home. ``orders`` and ``switch`` (takes and returns an image) do what farmd does not."""

    is_farm = True

    def __init__(self, home: Home, orders: Orders | None = None, switch: Callable[[str], str] | None = None) -> None:
        self.home = home
        self.title = "farm"
        self._orders = orders or {}
        self._switch = switch
        self.actions: frozenset[Action] = frozenset((*ORDERS, *self._orders))

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.UnixConnector(str(self.home.farmd_socket))
        async with aiohttp.ClientSession("http://localhost", connector=connector, timeout=QUESTION_TIMEOUT) as session:
            yield session

    async def updates(self) -> AsyncGenerator[Update | Lost, None]:
        """farmd's snapshot, then its deltas; after a loss the same again as soon as it answers."""
        waits = pauses(SHORTEST_FARMD_RETRY, LONGEST_FARMD_RETRY)
        while True:
            try:
                async with contextlib.aclosing(self._watch()) as watch:
                    async for update in watch:
                        waits = pauses(SHORTEST_FARMD_RETRY, LONGEST_FARMD_RETRY)
                        yield update
                why = "farmd closed the connection."
            except TimeoutError:
                why = client.silence(SILENCE_SECONDS)
            except (OSError, aiohttp.ClientError) as error:
                why = _reason(error)
            except NOT_JSON as error:
                why = f"farmd has another version: {error}"
            retry = next(waits)
            yield Lost(why, retry)
            await asyncio.sleep(retry)

    async def _watch(self) -> AsyncGenerator[Update, None]:
        """One connection's messages; ends when farmd ends it."""
        async with self._session() as session:
            connecting = session.ws_connect("/ws", max_msg_size=client.MAX_ANSWER, compress=0)
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

    async def _ask(self, question: ApiQuestion[Answer]) -> Answer:
        """farmd's answer. Raises FarmError."""
        where, data = str(self.home.farmd_socket), question.body or None
        try:
            async with (
                self._session() as session,
                session.request(question.method, question.path, data=data) as response,
            ):
                status, body = response.status, await response.read()
        except TimeoutError:
            raise client.no_answer(where, client.silence(QUESTION_TIMEOUT.total or 0)) from None
        except (OSError, aiohttp.ClientError) as error:
            raise client.no_answer(where, _reason(error)) from error
        return question.answer(status, body)

    async def status(self) -> Status:
        """All at one moment."""
        return await self._ask(client.STATUS)

    async def readings(self, key: str) -> list[Reading]:
        """The last quarter of an hour."""
        return (await self._ask(client.readings(key))).readings

    async def builds(self, limit: int = 100, submitter: str | None = None, since: float | None = None) -> list[Build]:
        """Of the farm's history."""
        return (await self._ask(client.builds(limit, submitter, since))).builds

    async def build(self, id: int) -> BuildDetail:
        """The build of this number, with its files and nodes. Raises FarmError when farmd does not know it."""
        return await self._ask(client.build(id))

    async def node_hours(self, hours: int = 24) -> list[NodeHour]:
        """Of the farm's history."""
        return (await self._ask(client.node_hours(hours))).hours

    async def log_ins(self, limit: int = 100, since: float = 0.0) -> list[LogInRecord]:
        """Of the farm's history."""
        return (await self._ask(client.log_ins(limit, since))).log_ins

    async def act(self, action: Action, node: NodeStatus) -> str:
        """Let farmd block, unblock or kick; what else was given is done here."""
        if action in ORDERS:
            return (await self._ask(client.order(node.key, action))).done
        if action not in self._orders:
            raise FarmError(
                f"The order {action} is not available for {node.name} here.", "", f"Try: farm node {action} {node.name}"
            )
        return await asyncio.to_thread(self._orders[action], node)

    async def switch_image(self, image: str) -> str:
        """In the store, and in the farm that is up."""
        if self._switch is None:
            raise FarmError("The image cannot be chosen here.", "", f"Try: sudo farm image use {image}")
        chosen = await asyncio.to_thread(self._switch, image)
        return f"Next boots get {chosen}."

    async def images(self) -> list[str]:
        """Those in the store."""
        return [each.image for each in (await self._ask(client.IMAGES)).images]


def _reason(error: Exception) -> str:
    """Why there is no answer, in words."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
