"""A stick at a thin client beside scp: 64 MB each way between the machine and its server, on one connection.

Once as a lab is wired, and once without any wire, where only the processors limit both.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.stick_room import AS_SESSION, StickRoom, stick_room

ROUNDS = 9
MEGABYTES = 64
LAB_NETWORK = ("tbf", "rate", "1gbit", "burst", "256kb", "latency", "5ms")
"""Of tc(8): Gigabit Ethernet, as most labs have it."""
PLACE = "/srv"
SCP = ("scp", "-q", "-F", "none", "-o", "ControlPath=/run/farm/login/ctl")


class Copied(NamedTuple):
    """Megabytes per second of one round, by way of the stick and by scp."""

    stick: float
    scp: float


@dataclass(frozen=True)
class Sticks:
    """What was read from the medium by the server, and written to it, round by round."""

    read: list[Copied]
    written: list[Copied]


def ratio(rounds: list[Copied]) -> float:
    """How fast the stick is beside scp: the median of pairs, as the computer may have other things to do."""
    return statistics.median(each.stick / each.scp for each in rounds)


def measure(network: tuple[str, ...] = ()) -> Sticks:
    """Takes about half a minute. ``network``: what limits both directions, by tc(8); empty: nothing."""
    with stick_room() as room:
        for machine in (room.logins.client.machine, room.logins.server.machine):
            if network:
                limited = ["tc", "-n", machine.namespace.name, "qdisc", "add", "dev", "lab0", "root", *network]
                subprocess.run(limited, check=True)
        for name in ("stick", "beside"):
            room.make(name, label="STICK", megabytes=4 * MEGABYTES)
        room.log_in()
        room.as_user("sh", "-c", f"head -c {MEGABYTES}M /dev/urandom > /tmp/big")
        read, written = [], []
        for _ in range(ROUNDS):
            stick, scp = _stick(room), _scp(room)
            for taken, one, other in zip((read, written), stick, scp, strict=True):
                taken.append(Copied(MEGABYTES / one, MEGABYTES / other))
    return Sticks(read, written)


def _stick(room: StickRoom) -> tuple[float, float]:
    """Seconds to read and to write; plugged in again in between, so that the server has nothing of it in memory."""
    device = room.plug_in("stick")
    room.wait_for_folders("STICK")
    written = _seconds(room, "cp /tmp/big ~/USB/STICK/big")
    room.put_away(device, "STICK")
    room.unplug(device)
    device = room.plug_in("stick")
    room.wait_for_folders("STICK")
    read = _seconds(room, "cp ~/USB/STICK/big /tmp/again")
    room.put_away(device, "STICK")
    room.unplug(device)
    return read, written


def _scp(room: StickRoom) -> tuple[float, float]:
    """The same by scp, from and to a file system of the same kind, which is mounted again in between."""
    client = room.logins.client.machine
    with _mounted(room):
        started = time.monotonic()
        client.run(*AS_SESSION, *SCP, "server:/tmp/big", f"{PLACE}/big")
        written = time.monotonic() - started
    with _mounted(room):
        started = time.monotonic()
        client.run(*AS_SESSION, *SCP, f"{PLACE}/big", "server:/tmp/again")
        return time.monotonic() - started, written


@contextlib.contextmanager
def _mounted(room: StickRoom) -> Iterator[None]:
    """The file system that scp copies to, at the machine."""
    client = room.logins.client.machine
    client.run("mount", "-o", "loop", "/tmp/beside.img", PLACE)
    client.run("chown", "farm-session:", PLACE)
    try:
        yield
    finally:
        client.run("umount", PLACE)


def _seconds(room: StickRoom, command: str) -> float:
    started = time.monotonic()
    room.as_user("sh", "-c", command)
    return time.monotonic() - started
