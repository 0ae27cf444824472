"""What nodes measure: which of them is asked when, and the question."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

import aiohttp
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farm.errors import NOT_JSON
from farm.watch.events import Stage, Telemetry, TelemetryLost, TelemetrySeen
from farm.watch.scheduler_source import Look, Publish
from farm.watch.state import Node

log = logging.getLogger("farmd")

TURN_SECONDS = 0.5
STEADY_POLL_SECONDS = 5.0
"""Between two questions to a node."""
BOOTING_POLL_SECONDS = 1.0
"""To one that is coming up, or has just failed to answer: a node whose cable is out is known as silent within 15 s."""
SILENT_SECONDS = 15.0
"""To one that has not answered FAILURES times in a row."""
FAILURES = 3
BOOT_FAILURES = 60
"""A node that has not answered so often is not coming up any more."""
POLL_TIMEOUT = aiohttp.ClientTimeout(total=4.0, sock_connect=1.5)
MAX_TELEMETRY = 64 * 1024
MAX_SURE = 48
"""Nodes asked at a time of those that have answered the last question."""
MAX_UNSURE = 16
"""Of the others: a switched-off room takes no place from those, nor a large farm from a node that is new in it."""


class _Turn(Struct, frozen=True):
    """How a node has answered in one boot."""

    boot: tuple[str, float]
    """Its address, and when the boot began."""
    due: float = 0.0
    """Monotonic time of the next question."""
    answered: bool = False
    """Whether the node answered the last question."""
    failures: int = 0
    """Questions in a row that the node has not answered."""


class Turns:
    """Which nodes are asked when: those that answer have places of their own, the others too. Times: monotonic."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self._asked: set[str] = set()

    def take(self, nodes: Iterable[Node], now: float) -> list[Node]:
        """The nodes to ask now; each is asked once at a time, until `ended` is told how that went."""
        turns: dict[str, _Turn] = {}
        due: list[tuple[tuple[int, float], Node]] = []
        for node in nodes:
            if not _answers(node):
                continue
            boot, turn = (node.address, node.started), self._turns.get(node.mac)
            turn = turns[node.mac] = turn if turn and turn.boot == boot else _Turn(boot)
            if turn.due <= now and node.mac not in self._asked:
                due.append(((min(turn.failures, FAILURES), turn.due), node))
        self._turns = turns
        places = {True: MAX_SURE, False: MAX_UNSURE}
        for mac in self._asked:
            places[self._answered(mac)] -= 1
        taken: list[Node] = []
        for _, node in sorted(due, key=lambda each: each[0]):
            sure = turns[node.mac].answered
            if places[sure] > 0:
                places[sure] -= 1
                self._asked.add(node.mac)
                taken.append(node)
        return taken

    def ended(self, node: Node, answered: bool, now: float) -> int:
        """A question to the node as it was then has ended; how often in a row it has not answered."""
        self._asked.discard(node.mac)
        turn = self._turns.get(node.mac)
        if turn is None or turn.boot != (node.address, node.started):
            return 0
        turn = replace(turn, answered=answered, failures=0 if answered else turn.failures + 1)
        if _comes_up(node, turn) or 0 < turn.failures < FAILURES:
            pause = BOOTING_POLL_SECONDS
        else:
            pause = STEADY_POLL_SECONDS if answered else SILENT_SECONDS
        self._turns[node.mac] = replace(turn, due=now + pause)
        return turn.failures

    def _answered(self, mac: str) -> bool:
        return mac in self._turns and self._turns[mac].answered


def _answers(node: Node) -> bool:
    """Its agent may be expected to run."""
    return bool(node.address) and (node.verified or node.host is not None or Stage.AGENT in node.stages)


def _comes_up(node: Node, turn: _Turn) -> bool:
    return node.stage in (Stage.AGENT, Stage.REGISTERED) and turn.failures < BOOT_FAILURES


async def poll(look: Look, publish: Publish) -> None:
    """Ask the nodes that run how they do: every few seconds, and every second while one is coming up."""
    turns = Turns()

    async def ask(session: aiohttp.ClientSession, node: Node) -> None:
        telemetry = None
        try:
            telemetry = await fetch(session, node.address, node.port)
            if telemetry is not None:
                publish(TelemetrySeen(node.mac, node.address, telemetry, time.time()))
        except Exception as error:
            # One node's answer must not end the questions to all others, whatever a library makes of it.
            log.warning("The telemetry of %s cannot be taken: %r", node.mac, error)
        failures = turns.ended(node, telemetry is not None, time.monotonic())
        if failures >= FAILURES and not node.silent and (node.telemetry is not None or node.host is not None):
            publish(TelemetryLost(node.mac, time.time()))

    # auto_decompress: an agent compresses nothing, and a few bytes could become very many.
    session = aiohttp.ClientSession(timeout=POLL_TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
    async with session, asyncio.TaskGroup() as group:
        while True:
            for node in turns.take(look().nodes.values(), time.monotonic()):
                group.create_task(ask(session, node))
            await asyncio.sleep(TURN_SECONDS)


async def fetch(session: aiohttp.ClientSession, address: str, port: int) -> Telemetry | None:
    """A node's telemetry, or None when it does not answer, or not with that."""
    data = b""
    try:
        async with session.get(f"http://{address}:{port}/status.json", allow_redirects=False) as answer:
            async for chunk in answer.content.iter_chunked(16384):
                data += chunk
                if len(data) > MAX_TELEMETRY:
                    return None
            return msgspec.json.decode(data, type=Telemetry) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, *NOT_JSON):
        return None
