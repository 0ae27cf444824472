"""What nodes measure: which of them is asked when, and the question."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

import aiohttp
from msgspec import Struct
from msgspec.structs import replace

from farm.errors import NOT_JSON
from farm.watch.events import Stage, TelemetryLost, TelemetrySeen
from farm.watch.node_telemetry import RolesTold, Telemetry, parse
from farm.watch.scheduler_source import Look, Publish
from farm.watch.state import Question, questions

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
_Where = tuple[str, str]
"""A node's MAC address and IP address."""
MAX_SURE = 48
"""Nodes asked at a time of those that have answered the last question."""
MAX_UNSURE = 16
"""Of the others: a switched-off room takes no place from those, nor a large farm from a node that is new in it."""


class _Turn(Struct, frozen=True):
    """How a node has answered at one address in one boot."""

    boot: tuple[str, float]
    due: float = 0.0
    """Monotonic time of the next question."""
    answered: bool = False
    """Whether the node answered the last question."""
    failures: int = 0
    """Questions in a row that the node has not answered."""


class Turns:
    """Which questions are put when: those that are answered have places of their own, the others too.

    Times: monotonic.
    """

    def __init__(self) -> None:
        self._turns: dict[_Where, _Turn] = {}
        self._asked: set[_Where] = set()

    def take(self, questions: Iterable[Question], now: float) -> list[Question]:
        """What to ask now; each is asked once at a time, until `ended` is told how that went."""
        turns: dict[_Where, _Turn] = {}
        due: list[tuple[tuple[int, float], Question]] = []
        for question in questions:
            where = _where(question)
            turn = self._turns.get(where)
            turn = turns[where] = turn if turn and turn.boot == question.boot else _Turn(question.boot)
            if turn.due <= now and where not in self._asked:
                due.append(((min(turn.failures, FAILURES), turn.due), question))
        self._turns = turns
        places = {True: MAX_SURE, False: MAX_UNSURE}
        for where in self._asked:
            places[self._answered(where)] -= 1
        taken: list[Question] = []
        for _, question in sorted(due, key=lambda each: each[0]):
            sure = turns[_where(question)].answered
            if places[sure] > 0:
                places[sure] -= 1
                self._asked.add(_where(question))
                taken.append(question)
        return taken

    def ended(self, question: Question, answered: bool, now: float) -> int:
        """A question has ended; how often in a row it was not answered."""
        where = _where(question)
        self._asked.discard(where)
        turn = self._turns.get(where)
        if turn is None or turn.boot != question.boot:
            return 0
        turn = replace(turn, answered=answered, failures=0 if answered else turn.failures + 1)
        if _comes_up(question, turn) or 0 < turn.failures < FAILURES:
            pause = BOOTING_POLL_SECONDS
        else:
            pause = STEADY_POLL_SECONDS if answered else SILENT_SECONDS
        self._turns[where] = replace(turn, due=now + pause)
        return turn.failures

    def _answered(self, where: _Where) -> bool:
        return where in self._turns and self._turns[where].answered


def _where(question: Question) -> _Where:
    return question.node.mac, question.address


def _comes_up(question: Question, turn: _Turn) -> bool:
    return question.node.stage in (Stage.AGENT, Stage.REGISTERED) and turn.failures < BOOT_FAILURES


async def poll(look: Look, publish: Publish) -> None:
    """Ask the nodes that run how they do: every few seconds, and every second while one is coming up."""
    turns = Turns()

    async def ask(session: aiohttp.ClientSession, question: Question) -> None:
        node, told = question.node, None
        try:
            told = await fetch(session, question.address, node.port)
            if told is not None:
                publish(TelemetrySeen(node.mac, question.address, told[0], time.time(), told[1]))
        except Exception as error:
            # One node's answer must not end the questions to all others, whatever a library makes of it.
            log.warning("The telemetry of %s cannot be taken: %r", node.mac, error)
        failures = turns.ended(question, told is not None, time.monotonic())
        if failures < FAILURES or question.address != node.address or node.silent:
            return
        if node.telemetry is not None or node.host is not None:
            publish(TelemetryLost(node.mac, time.time()))

    # auto_decompress: an agent compresses nothing, and a few bytes could become very many.
    session = aiohttp.ClientSession(timeout=POLL_TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
    async with session, asyncio.TaskGroup() as group:
        while True:
            for question in turns.take(questions(look()), time.monotonic()):
                group.create_task(ask(session, question))
            await asyncio.sleep(TURN_SECONDS)


async def fetch(session: aiohttp.ClientSession, address: str, port: int) -> tuple[Telemetry, RolesTold] | None:
    """A node's telemetry, or None when it does not answer, or not with that."""
    data = b""
    try:
        async with session.get(f"http://{address}:{port}/status.json", allow_redirects=False) as answer:
            async for chunk in answer.content.iter_chunked(16384):
                data += chunk
                if len(data) > MAX_TELEMETRY:
                    return None
            return parse(data) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, *NOT_JSON):
        return None
