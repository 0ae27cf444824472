"""A room of PCs that are switched on at once, at a server whose link is limited: how long, by what the link allows."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from farm.config import Config, DhcpConfig, ImageConfig
from farm.config.values import RootName
from tests.storm.room import Sizes, Storm, room

EXPORTS: tuple[RootName, ...] = ("aoe", "nbd")
NODES = 500
SHARE = 100
"""All sizes are this part of a real boot's, so that a storm takes half a minute."""
SIZES = Sizes(kernel=8_000_000 // SHARE, initrd=14_000_000 // SHARE, root=1 << 20, read=36_000_000 // SHARE)
MEGABITS = 100
"""A second, by the link; two processors can serve, and play, several times as much."""


@dataclass(frozen=True)
class Measured:
    """One storm. ``bound``: seconds that the link needs for the files' bytes alone; ``slowest``: ÷ mean."""

    nodes: int
    booted: int
    seconds: float
    bound: float
    slowest: float
    again: int
    """Questions, requests and frames that had to be sent again."""
    shares: dict[str, float]
    """Of a core, by service."""


def measure(export: RootName, *, nodes: int = NODES, megabits: int = MEGABITS, mtu: int = 1500) -> Measured:
    """Switch a room on that reads its roots by this export."""
    config = Config(
        interface="lab0",
        address="10.97.0.1/20",
        dhcp=DhcpConfig(first="10.97.8.0", last="10.97.11.255"),
        image=ImageConfig(root=export),
    )
    with room(config, "10.97.8.0/22", SIZES, mtu=mtu) as lab:
        lab.limit(f"{megabits}mbit")
        return _judge(lab.play(nodes, mtu=mtu), megabits)


def _judge(storm: Storm, megabits: int) -> Measured:
    seconds = max(storm.seconds, default=0.0)
    return Measured(
        nodes=len(storm.told),
        booted=len(storm.booted),
        seconds=seconds,
        bound=sum(each.fetched for each in storm.told) * 8 / (megabits * 1e6),
        slowest=seconds / statistics.mean(storm.seconds or [1.0]),
        again=sum(each.again for each in storm.told),
        shares={name: used / seconds for name, used in storm.processor.items() if seconds},
    )
