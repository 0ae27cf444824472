"""What a scheduler says, in short words, for tests of the state."""

from __future__ import annotations

from farm.scheduler import monitor, protocol
from farm.watch.events import SchedulerSaid


def stats(
    host: int,
    name: str = "pc01",
    address: str = "10.77.0.57",
    slots: int = 4,
    *,
    load: int = 0,
    no_remote: bool = False,
) -> protocol.NodeStats:
    """A daemon logs in, or tells how it does."""
    return protocol.NodeStats(host, name, address, slots, no_remote, "x86_64", 43, (), 1.5, load)


def done(job: int, exit: int = 0) -> protocol.JobDone:
    """A job took 100 ms, read 1000 bytes and wrote 2000."""
    return protocol.JobDone(job, exit, 100, 80, 10, 5, 400, 1000, 900, 2000, False)


def login(time: float, host: int = 1, name: str = "pc01", address: str = "10.77.0.57", slots: int = 4) -> SchedulerSaid:
    """A log-in, as an event of the farm."""
    return SchedulerSaid(stats(host, name, address, slots), time)


def logout(time: float, host: int = 1) -> SchedulerSaid:
    """Its end."""
    return SchedulerSaid(protocol.NodeOffline(host), time)


def up(time: float) -> SchedulerSaid:
    """The scheduler answers."""
    return SchedulerSaid(monitor.Connected("10.77.0.1", 8765, 43), time)


def down(time: float, why: str = "gone") -> SchedulerSaid:
    """It does not."""
    return SchedulerSaid(monitor.Disconnected(why, 1.0), time)
