"""A machine on which icecream works and which has joined nothing: the scheduler that its iceccd uses, found out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psutil
from msgspec import Struct

from farm.errors import FarmError
from farm.node.ports import SCHEDULER_PORT
from farm.printable import printable
from farm.scheduler import discovery
from farm.workstation import local_iceccd
from farm.workstation.local_iceccd import IceccdOptions, LocalIceccd
from farm.workstation.membership import Membership

CONNECTIONS = Path("/proc/net/tcp")
ESTABLISHED = "01"
"""State of a connection (include/net/tcp_states.h)."""
NETNAME_SECONDS = 1.0


class Connection(Struct, frozen=True):
    """A TCP connection of this machine to another, or to itself; ``user`` is the number of whose it is."""

    host: str
    port: int
    user: int


def membership(environment: Mapping[str, str]) -> Membership | None:
    """Where icecc's jobs go as this machine is set up; None when no iceccd answers where icecc looks for one.

    Its scheduler is empty when the iceccd is connected to none, and none that it would take answers.
    """
    daemon, _ = local_iceccd.find(environment)
    if daemon is None:
        return None
    host, port, netname = asyncio.run(_scheduler(daemon))
    return Membership(
        farm=netname or host,
        netname=netname,
        scheduler=host,
        port=port,
        submitter=daemon.login,
        socket=daemon.where,
        how="icecream",
    )


async def _scheduler(daemon: LocalIceccd) -> tuple[str, int, str]:
    """Address, port and netname of a daemon's scheduler: as it was told, is connected, or would find one itself."""
    options = daemon.options or IceccdOptions()
    host, port = options.address
    if not host:
        users = _users(daemon.pid)
        host = next((each.host for each in connections() if each.port == port and each.user in users), "")
    if not host:
        return await _as_it_would(daemon)
    with contextlib.suppress(FarmError):  # a name that has no address today; who connects is told so
        host = await discovery.address_of(host)
        if answers := await discovery.discover(port, NETNAME_SECONDS, host):
            return host, port, printable(answers[0].netname)
    return host, port, options.netname


async def _as_it_would(daemon: LocalIceccd) -> tuple[str, int, str]:
    """The scheduler that it would choose by broadcast; its address is empty when there is none."""
    options = daemon.options
    netname = options.effective_netname if options else None
    try:
        chosen = discovery.choose(await discovery.discover(), netname)
    except FarmError:
        return "", SCHEDULER_PORT, netname or local_iceccd.DEFAULT_NETNAME
    return chosen.address, chosen.port, printable(chosen.netname)


def _users(pid: int) -> frozenset[int]:
    """The users with whose rights a process runs; none when that cannot be seen."""
    with contextlib.suppress(psutil.Error, ValueError):
        return frozenset(psutil.Process(pid).uids()) if pid else frozenset()
    return frozenset()


def connections() -> list[Connection]:
    """The TCP connections that are open, by IPv4, which anyone may read."""
    try:
        return list(parse_connections(CONNECTIONS.read_text().splitlines()[1:]))
    except OSError:
        return []


def parse_connections(lines: Iterable[str]) -> Iterator[Connection]:
    """The open ones of a table of connections (proc(5), net/tcp); an address is in the machine's byte order."""
    for words in map(str.split, lines):
        with contextlib.suppress(ValueError, IndexError, struct.error):
            address, _, port = words[2].partition(":")
            if words[3] == ESTABLISHED:
                host = socket.inet_ntoa(struct.pack("=I", int(address, 16)))
                yield Connection(host, int(port, 16), int(words[7]))
