"""The scheduler's control port (the port after its own): ask which nodes and jobs it has, send nodes away.

Nothing there is authenticated, and names are what daemons say of themselves: lines that cannot be understood are left
out.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Iterable
from typing import Literal, Self, cast

from msgspec import Struct

from farm.errors import FarmError
from farm.printable import printable
from farm.scheduler.channel import ProtocolError
from farm.scheduler.connection import SCHEDULER_SILENCE_SECONDS, SchedulerLostError, connect, poking, reason

MAX_REPLY = 16 << 20
"""Bytes: more than 100,000 jobs."""
HELLO = "200-ICECC "
DONE = "200 done"
LONGEST_IDLE = 30.0
"""Seconds; the scheduler drops a connection after 36."""
MAX_WORD = 255
MAX_NAMED_BLOCKS = 8
"""Blocked nodes that an error lists."""
MAX_REPEATED = 64
"""Daemons of one name or address that are sent away at once."""

JobState = Literal["PEND", "WAIT", "COMP"]


class ListedNode(Struct, frozen=True):
    """A daemon that is logged in."""

    name: str
    address: str
    port: int
    platform: str
    speed: float
    """Output bytes per user millisecond; 0: never measured."""
    jobs: int
    max_jobs: int
    load: int
    """0–1000; at 1000 it gets no job."""
    installing: int | None = None
    """Seconds since it began to receive an environment."""


class ListedJob(Struct, frozen=True):
    """A job in the scheduler's hands: pending (no node yet), waiting for its node, or compiling."""

    id: int
    state: JobState
    submitter: str
    node: str | None
    file: str


NODE_LINE = re.compile(
    r" (?P<name>.*) \((?P<address>[^ ()]*):(?P<port>\d{1,5})\) \[(?P<platform>[^\]]*)\]"
    r" speed=(?P<speed>\d{1,20}\.\d\d) jobs=(?P<jobs>\d{1,9})/(?P<max>\d{1,9}) load=(?P<load>\d{1,9})"
    r"(?: busy installing since (?P<installing>\d{1,9}) s)?",
    re.ASCII,
)
JOB = re.compile(
    r" +(?P<id>\d{1,10}) (?P<state>PEND|WAIT|COMP) sub:(?P<submitter>.*?) on:(?P<node>.*?) (?P<file>.*)", re.ASCII
)


def parse_nodes(lines: Iterable[str]) -> list[ListedNode]:
    """The nodes in the reply to ``listcs``; the jobs listed under each are left to ``listjobs``."""
    return [
        ListedNode(
            name=match["name"],
            address=match["address"],
            port=int(match["port"]),
            platform=match["platform"],
            speed=float(match["speed"]),
            jobs=int(match["jobs"]),
            max_jobs=int(match["max"]),
            load=int(match["load"]),
            installing=int(match["installing"]) if match["installing"] else None,
        )
        for match in map(NODE_LINE.fullmatch, lines)
        if match
    ]


def parse_jobs(lines: Iterable[str]) -> list[ListedJob]:
    """The jobs in the reply to ``listjobs``."""
    return [
        ListedJob(
            id=int(match["id"]),
            state=cast(JobState, match["state"]),
            submitter=match["submitter"],
            node=None if match["node"] == "<unknown>" else match["node"],
            file=match["file"],
        )
        for match in map(JOB.fullmatch, lines)
        if match
    ]


def parse_blocks(lines: Iterable[str]) -> list[str]:
    """The names and addresses in the reply to ``listblocks``, each once."""
    return list(dict.fromkeys(line.strip() for line in lines))


class Control:
    """A connection to the control port of the scheduler at ``port`` (its own), made when first needed and kept.

    Kept, since every new one makes the scheduler look away from log-ins for a second; made anew when it was lost or has
    been idle for too long. Close it, or use it with ``async with``. Calls at the same time wait for one another.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._turn = asyncio.Lock()
        self._connection = contextlib.AsyncExitStack()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._last_used = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection; the next question makes another."""
        self._streams = None
        await self._connection.aclose()

    async def ask(self, *words: str) -> list[str]:
        """Give a command; the lines it replies.

        Raises SchedulerLostError, ProtocolError when what replies is no icecream scheduler, or FarmError for a word
        that the scheduler would not read as one.
        """
        for word in words:
            check_word(word)
        async with self._turn:
            kept = self._streams is not None
            if kept and asyncio.get_running_loop().time() - self._last_used > LONGEST_IDLE:
                await self.close()
                kept = False
            try:
                return await self._ask(words)
            except SchedulerLostError:
                if not kept:
                    raise
            return await self._ask(words)  # it had been lost before

    async def ask_last(self, *words: str) -> list[str]:
        """`ask`, and end the connection. The scheduler holds replies back for 0.2 s, unless it is told to quit."""
        for word in words:
            check_word(word)
        async with self._turn:
            await self.close()
            return await self._ask(words, last=True)

    async def _ask(self, words: Iterable[str], *, last: bool = False) -> list[str]:
        whole = False
        try:
            async with asyncio.timeout(SCHEDULER_SILENCE_SECONDS):
                # The daemons' names are in the reply, so one of them could contain the line that ends it. What nobody
                # can guess does: the error about a command that does not exist.
                mark = f"end-{secrets.token_hex(8)}"
                goodbye = "quit\n" if last else ""
                question = f"{' '.join(words)}\n{mark}\n{goodbye}".encode()
                if self._streams:
                    reader, writer = self._streams
                    writer.write(question)
                else:
                    reader = await self._connect(question)
                lines = await _lines(reader, f"Invalid command '{mark}'")
                if await _line(reader) != DONE or not lines or lines.pop() != DONE:
                    raise ProtocolError("A reply on the control port has no end.")
                whole = not last
        except TimeoutError:
            raise SchedulerLostError(
                self.host, self.port + 1, f"No reply within {SCHEDULER_SILENCE_SECONDS:.0f} s."
            ) from None
        except asyncio.IncompleteReadError:
            raise SchedulerLostError(self.host, self.port + 1, "The scheduler closed the connection.") from None
        except OSError as error:
            raise SchedulerLostError(self.host, self.port + 1, reason(error)) from error
        finally:
            if not whole:
                await self.close()  # what was still to come must not be taken for the next reply
        self._last_used = asyncio.get_running_loop().time()
        return lines

    async def _connect(self, question: bytes) -> asyncio.StreamReader:
        """Connect and ask at once, without waiting to be greeted."""
        reader, writer = await self._connection.enter_async_context(connect(self.host, self.port + 1))
        writer.write(question)
        async with poking(self.host, self.port):
            hello = await _line(reader)
        if not hello.startswith(HELLO):
            raise ProtocolError("The program on the control port is not an icecream scheduler.")
        await _line(reader)  # how to use it
        self._streams = reader, writer
        return reader


def check_word(word: str) -> None:
    """See that the scheduler reads it as one word of one command. Raises FarmError.

    It splits commands at blanks, and lines at characters below the blank, of which it takes all beyond ASCII to be one.
    """
    if not word or len(word) > MAX_WORD or not all("!" <= letter <= "~" for letter in word):
        raise FarmError(
            f"The scheduler does not accept {printable(word)!r}.",
            f"Names must have 1 to {MAX_WORD} ASCII characters without blanks.",
            "Use the node's IP address instead: farm node list",
        )


async def ask(host: str, port: int, *words: str) -> list[str]:
    """`Control.ask` over a connection for this once."""
    async with Control(host, port) as control:
        return await control.ask_last(*words)


async def list_nodes(host: str, port: int) -> list[ListedNode]:
    """The daemons logged in to the scheduler at ``port`` (its own, not the control port). Raises like `Control.ask`."""
    return parse_nodes(await ask(host, port, "listcs"))


async def list_jobs(host: str, port: int) -> list[ListedJob]:
    """The jobs it has in hand, in the order they came. Raises like `Control.ask`."""
    return parse_jobs(await ask(host, port, "listjobs"))


async def list_blocks(host: str, port: int) -> list[str]:
    """The names and addresses whose log-in it refuses. Raises like `Control.ask`."""
    return parse_blocks(await ask(host, port, "listblocks"))


async def list_all(control: Control) -> tuple[list[ListedNode], list[str]]:
    """The daemons that are logged in, and what is blocked. Raises like `Control.ask`."""
    return parse_nodes(await control.ask("listcs")), parse_blocks(await control.ask("listblocks"))


async def kick(host: str, port: int, name: str) -> None:
    """Close the connections of the daemons with that node name or address; within a minute they log in again.

    What happens to jobs: see `block`. Raises FarmError when there are none, else like `Control.ask`.
    """
    check_word(name)
    async with Control(host, port) as control:
        await control.ask("removecs", *[name] * await _count(control, name))


async def block(host: str, port: int, name: str) -> None:
    """Kick the daemons with that node name or address, and refuse their log-in until `unblock` or the scheduler's end.

    Jobs that a daemon has begun go on, and their submitters get the results, but the scheduler forgets them and tells
    monitors that they ended with 255. Jobs that wait on it, or that its own users wait for, are compiled by their
    submitters. To block what is blocked changes nothing. Raises like `kick`.
    """
    check_word(name)
    async with Control(host, port) as control:
        if name in parse_blocks(await control.ask("listblocks")):
            return
        count = await _count(control, name)
        await control.ask("blockcs", name)  # removes one, and a second mention would block twice
        if count > 1:
            await control.ask("removecs", *[name] * (count - 1))


async def unblock(host: str, port: int, name: str) -> None:
    """Take back `block`; ``name`` is what was blocked, to the letter. Raises FarmError when it is not blocked."""
    check_word(name)
    async with Control(host, port) as control:
        blocked = [line.strip() for line in await control.ask("listblocks")]
        if name not in blocked:
            names = ", ".join(map(printable, blocked[:MAX_NAMED_BLOCKS]))
            why = f"Blocked: {names}." if names else "Nothing is blocked."
            raise FarmError(f"{name} is not blocked.", why, "List the nodes: farm node list")
        await control.ask(
            "unblockcs", *[name] * min(blocked.count(name), MAX_REPEATED)
        )  # it may be there more than once


async def _count(control: Control, name: str) -> int:
    """How many daemons the name or address means; the scheduler itself passes over unknown ones without a word.

    Addresses are looked for in every line: a name or platform may have broken its daemon's in two.
    """
    lines = await control.ask("listcs")
    count = sum(name == node.name for node in parse_nodes(lines))
    count += sum(f"({name}:" in line for line in lines)
    if not count:
        raise FarmError(
            f"The scheduler has no node {name}.",
            "No daemon with that name or IP address is logged in.",
            "List the nodes: farm node list",
        )
    return min(count, MAX_REPEATED)


async def _lines(reader: asyncio.StreamReader, last: str) -> list[str]:
    """Lines up to the one that says ``last``, without it."""
    lines: list[str] = []
    left = MAX_REPLY
    while (line := await _line(reader)) != last:
        left -= len(line) + 1
        if left < 0:
            raise ProtocolError("A reply on the control port has no end.")
        lines.append(line)
    return lines


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        raw = await reader.readuntil()
    except asyncio.LimitOverrunError:
        raise ProtocolError("A line on the control port has no end.") from None
    return raw.decode(errors="replace").rstrip("\r\n")
