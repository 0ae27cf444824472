"""The scheduler's control port (the port after its own): ask which nodes and jobs it has.

Nothing there is authenticated, and names are what daemons say of themselves: lines that cannot be understood are left
out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Literal, cast

from msgspec import Struct

from farm.scheduler.connection import PATIENCE, SchedulerLostError, connect, poking
from farm.scheduler.protocol import ProtocolError

MAX_REPLY = 16 << 20
"""Bytes: more than 100,000 jobs."""
HELLO = "200-ICECC "
DONE = "200 done"

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


NODE = re.compile(
    r" (?P<name>.*) \((?P<address>[^ ()]*):(?P<port>\d{1,5})\) \[(?P<platform>[^\]]*)\]"
    r" speed=(?P<speed>\d{1,20}\.\d\d) jobs=(?P<jobs>\d{1,9})/(?P<max>\d{1,9}) load=(?P<load>\d{1,9})"
    r"(?: busy installing since (?P<installing>\d{1,9}) s)?"
)
JOB = re.compile(r" +(?P<id>\d{1,10}) (?P<state>PEND|WAIT|COMP) sub:(?P<submitter>.*?) on:(?P<node>.*?) (?P<file>.*)")


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
        for match in map(NODE.fullmatch, lines)
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


async def list_nodes(host: str, port: int) -> list[ListedNode]:
    """The daemons logged in to the scheduler at ``port`` (its own, not the control port). Raises like `ask`."""
    return parse_nodes(await ask(host, port, "listcs"))


async def list_jobs(host: str, port: int) -> list[ListedJob]:
    """The jobs it has in hand, in the order they came. Raises like `ask`."""
    return parse_jobs(await ask(host, port, "listjobs"))


async def ask(host: str, port: int, *words: str) -> list[str]:
    """Give the scheduler at ``port`` a command on its control port; the lines it replies.

    Raises SchedulerLostError, or ProtocolError when what replies is no icecream scheduler.
    """
    try:
        async with asyncio.timeout(PATIENCE), connect(host, port + 1) as (reader, writer):
            async with poking(host, port):
                hello = await _line(reader)
            if not hello.startswith(HELLO):
                raise ProtocolError("What answers on the control port is no icecream scheduler.")
            await _line(reader)  # how to use it
            writer.write(" ".join(words).encode() + b"\n")
            return await _lines(reader, DONE)
    except TimeoutError:
        raise SchedulerLostError(host, port + 1, f"No reply within {PATIENCE:.0f} s.") from None
    except asyncio.IncompleteReadError:
        raise SchedulerLostError(host, port + 1, "It closed the connection.") from None
    except OSError as error:
        raise SchedulerLostError(host, port + 1, error.strerror or str(error)) from error


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
