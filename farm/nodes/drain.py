"""Draining a daemon: it gets no new jobs, those it has end, then it is blocked.

icecream has no such order. Blocking cuts a daemon off, and what it has not begun is lost to it. A full disk, at which
it reports load 1000, stops new jobs, but then it begins none of those that wait for a slot on it either. What does
work: once a minute the scheduler tries whether it can connect to each daemon, and gives no jobs to one that does not
answer within 5 s (scheduler/compileserver.cpp, startInConnectionTest). So its own attempts, and nobody else's, are
dropped on this server; to refuse them would not do, since it takes that for success. Submitters still reach the daemon:
what it was given is compiled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import psutil

from farm import command
from farm.config import Config
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.nodes.blocking import give, name_for_scheduler
from farm.nodes.pending import noted
from farm.nodes.power import POWER_WORDS, PowerOrder, power
from farm.printable import printable
from farm.scheduler.control import Control, ListedNode, parse_blocks, parse_nodes
from farm.view.status import NodeStatus
from farm.view.wording import count, duration
from farm.virtual.namespace import exec_prefix, inside
from farm.watch.events import Ordered

Then = Literal["block", PowerOrder]
"""What follows when a node's jobs have ended."""
Report = Callable[[str, str], None]
"""Takes the node's name and what is being done."""

DRAIN_SECONDS = 600.0
"""Seconds that a node has to end its jobs."""
DRAIN_POLL_SECONDS = 0.5
NOTICE_SECONDS = 70.0
"""The scheduler tries a daemon once a minute, waits for 5 s, and tries again after 2 s: the first has failed then."""
GRACE = 60
"""Seconds after which the kernel forgets a gate that nobody opened (`kill -9`), beyond the patience."""
CALLED_OFF = "The node was unblocked meanwhile, and gets jobs again when the scheduler next tries to reach it"
DRAINING, ATTEMPTS = "draining", "attempts"


def drain_table(config: Config) -> str:
    """The name of the table that keeps the scheduler from nodes which are to end their jobs."""
    return f"farmdrain_{config.name.replace('-', '_')}"


class Gate:
    """Drops the scheduler's connections to one daemon, on this server alone; nft forgets it after ``seconds``."""

    def __init__(self, instance: Instance, address: str, port: int, seconds: float) -> None:
        self._scheduler = instance.config.scheduler.port
        self._prefix = exec_prefix(instance.namespace) if instance.namespace else []
        self._table = drain_table(instance.config)
        self._address, self._port = address, port
        self._seconds = round(seconds)
        self._before: set[int] = set()

    def close(self) -> None:
        """Drop them from now on. Raises FarmError."""
        element = f"{self._address} . {self._port}"
        script = f"""table inet {self._table} {{
  set {DRAINING} {{ type ipv4_addr . inet_service; flags timeout; }}
  set {ATTEMPTS} {{ type ipv4_addr . inet_service . inet_service; flags dynamic, timeout; timeout 1h; size 65535; }}
  chain output {{ type filter hook output priority 0; }}
}}
flush chain inet {self._table} output
add rule inet {self._table} output meta skuid {self._user()} ip daddr . tcp dport @{DRAINING} \\
  add @{ATTEMPTS} {{ ip daddr . tcp dport . tcp sport }} drop
add element inet {self._table} {DRAINING} {{ {element} }}
delete element inet {self._table} {DRAINING} {{ {element} }}
add element inet {self._table} {DRAINING} {{ {element} timeout {self._seconds}s }}
"""
        command.run([*self._prefix, "nft", "-f", "-"], stdin=script)
        self._before = self._attempts()

    def _user(self) -> int:
        """Whom the scheduler runs as: its connections are told from those of compilers by that."""
        for connection in psutil.net_connections("tcp4"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (self._scheduler,)
            if listens and connection.pid:
                with contextlib.suppress(psutil.NoSuchProcess):
                    uid: int = psutil.Process(connection.pid).uids().effective
                    return uid
        raise FarmError("The scheduler does not run on this server.", "", "Check: farm status")

    def shut_out(self) -> bool:
        """Whether the scheduler has tried in vain: it has when it tries again. Raises FarmError."""
        return len(self._attempts() - self._before) > 1

    def _attempts(self) -> set[int]:
        """The ports from which it has tried."""
        said = command.run([*self._prefix, "nft", "-j", "list", "set", "inet", self._table, ATTEMPTS]).stdout
        found = [each for entry in json.loads(said)["nftables"] for each in entry.get("set", {}).get("elem", [])]
        concatenated = [each["elem"]["val"]["concat"] for each in found]
        return {sport for address, port, sport in concatenated if (address, port) == (self._address, self._port)}

    def open(self) -> None:
        """Let them through again, also if it was not closed."""
        words = ["nft", "delete", "element", "inet", self._table, DRAINING, f"{{ {self._address} . {self._port} }}"]
        command.run([*self._prefix, *words], check=False)


async def drain_node(
    home: Home,
    instance: Instance,
    node: NodeStatus,
    report: Report,
    patience: float = DRAIN_SECONDS,
    then: Then = "block",
) -> str:
    """Let a daemon of this farm's scheduler end its jobs, then block it (or reboot it, or power it off).

    For root, and in a virtual lab from inside (`namespace.reenter`). The sentence returned says what was done. Raises
    FarmError, and when it does, or is cancelled, the daemon gets jobs again.
    """
    if instance.namespace is not None and not inside(instance.namespace):
        raise FarmError(
            "The virtual lab is a separate network.", "The scheduler can be reached only from inside the lab.", ""
        )
    config = instance.config
    async with Control(config.scheduler_host, config.scheduler.port) as scheduler:
        names = [each.name for each in parse_nodes(await scheduler.ask("listcs"))]
        # What is no machine of ours may have the name of one that is off.
        name = name_for_scheduler(node, names if node.mac else [*names, *names, node.name])
        if name in parse_blocks(await scheduler.ask("listblocks")):
            return f"{name} is blocked already."
        listed = await _listed(scheduler, node)
        if then != "block" and not node.mac:
            told = POWER_WORDS[then][0]
            raise FarmError(
                f"{name} cannot {told} on order.", "The daemon is not a node of this farm.", "Drain it without --then."
            )
        gates = [Gate(instance, each.address, each.port, patience + GRACE) for each in listed]
        order = Ordered(node.mac or node.key, "drain", time.time(), os.getpid())
        async with contextlib.AsyncExitStack() as closed:
            for gate in gates:
                await closed.enter_async_context(_closed(gate))
            with noted(home, order) as struck:
                await _in_time(_until_idle(scheduler, node, gates, report, struck), patience, name)
                return await _afterwards(home, instance, node, name, then)


@contextlib.asynccontextmanager
async def _closed(gate: Gate) -> AsyncIterator[None]:
    closing = asyncio.create_task(asyncio.to_thread(gate.close))
    try:
        await asyncio.shield(closing)
        yield
    finally:
        await asyncio.wait([closing])
        await asyncio.to_thread(gate.open)


async def _in_time(idle: Awaitable[None], patience: float, name: str) -> None:
    try:
        async with asyncio.timeout(patience):
            await idle
    except TimeoutError:
        raise FarmError(
            f"{name} still has jobs after {duration(patience)}.",
            "The node was not blocked, and gets jobs again when the scheduler next tries to reach it, which can take "
            "as long again.",
            f"Wait longer (--timeout), or end its jobs: farm node block {name}",
        ) from None


async def _listed(scheduler: Control, node: NodeStatus) -> list[ListedNode]:
    """Its daemons as the scheduler lists them, of several of one name and address the busiest. Raises FarmError."""
    keys = [login.key for login in node.logins] or [(node.name, node.address)]
    listed = sorted(parse_nodes(await scheduler.ask("listcs")), key=lambda each: each.jobs)
    by_key = {(printable(each.name), each.address): each for each in listed}
    found = [by_key[key] for key in keys if key in by_key]
    if not found:
        raise FarmError(
            f"{node.name} is not logged in to the scheduler.",
            "So there are no jobs to wait for.",
            "List the nodes: farm node list",
        )
    return found


async def _until_idle(
    scheduler: Control, node: NodeStatus, gates: list[Gate], report: Report, struck: Callable[[], bool]
) -> None:
    """Wait until the scheduler gives it no more jobs and it has none left. Raises FarmError when it is called off."""
    shut_out = False
    while True:
        jobs = sum(each.jobs for each in await _listed(scheduler, node))
        if struck():
            raise FarmError(f"{node.name} is no longer drained.", f"{CALLED_OFF}.", "")
        if shut_out and not jobs:
            return
        left = f"{count(jobs, 'job')} left"
        report(node.name, left if shut_out else f"{left}; the scheduler notices within {NOTICE_SECONDS:.0f} s")
        await asyncio.sleep(DRAIN_POLL_SECONDS)
        shut_out = shut_out or all([await asyncio.to_thread(gate.shut_out) for gate in gates])


async def _afterwards(home: Home, instance: Instance, node: NodeStatus, name: str, then: Then) -> str:
    """Block it; before it is rebooted or powered off too, so that nothing comes in between."""
    config = instance.config
    await give("block", config.scheduler_host, config.scheduler.port, name)
    if then == "block":
        return f"{name} has finished its jobs and is blocked until it is unblocked."
    told, does = POWER_WORDS[then]
    try:
        await asyncio.to_thread(power, home, instance, node.address, then, node.mac)
    except FarmError as error:
        raise FarmError(
            f"{name} has finished its jobs and is blocked, but cannot {told}: {error.what}",
            error.why,
            f"Unblock it: farm node unblock {name}",
        ) from error
    await give("unblock", config.scheduler_host, config.scheduler.port, name)
    return f"{name} has finished its jobs and {does}."
