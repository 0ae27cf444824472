"""64 readers of one root at once, by each road: whether one starves, and what it costs the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from farm.export import EXPORTS
from tests.bench import aoe
from tests.bench.roads.serving import SERVER, Serving, serving
from tests.bench.roads.streams import PIECE, STREAMS, Stream, read_together
from tests.lab import Namespace, namespaces
from tests.server import VERSION
from tests.storm.aoe_disk import IN_FLIGHT, MAX_WINDOW

READERS = 64
SECONDS = 4.0


@dataclass(frozen=True)
class Crowd:
    """``total``: megabytes per second of all readers; ``slowest``: of one, ÷ the mean; the server's, per gigabyte."""

    total: float
    slowest: float
    seconds: float
    """Of its processor time."""
    megabytes: float
    """Of its memory."""


def measure(image: Path, mtu: int) -> dict[str, Crowd]:
    """Of a version (``image``: its folder), by road."""
    with namespaces(f"{SERVER}/24", "10.96.0.2/24") as (place, readers):
        for each in (place, readers):
            each.run("ip", "link", "set", each.interface, "mtu", str(mtu))
        with serving(place, image, mtu) as served:
            return {road: _measure(served, readers, road, mtu) for road in EXPORTS}


def _measure(served: Serving, readers: Namespace, road: str, mtu: int) -> Crowd:
    before = served.process(road)
    got = _read(served, readers, road, mtu)
    after = served.process(road)
    mean = sum(got) / len(got)
    return Crowd(
        total=sum(got) / SECONDS / 1e6,
        slowest=min(got) / mean,
        seconds=(after.seconds - before.seconds) / (sum(got) / 1e9),
        megabytes=after.megabytes,
    )


def _read(served: Serving, readers: Namespace, road: str, mtu: int) -> list[float]:
    """Bytes of each reader."""
    size = served.root.stat().st_size
    if road in STREAMS:
        return readers.call(lambda: list(map(float, read_together(_streams(served, road), size, SECONDS))))
    frames = min(MAX_WINDOW, IN_FLIGHT // (aoe.sectors(mtu) * 512))
    place = served.server.place
    found = aoe.read_together(place, readers, size, mtu, readers=READERS, outstanding=frames, seconds=SECONDS)
    return [rate * SECONDS * 1e6 for rate in found.rates]


def _streams(served: Serving, road: str) -> list[Stream]:
    """Connections, of which the first has shown that it reads what is served."""
    streams = [STREAMS[road](SERVER, VERSION) for _ in range(READERS)]
    with served.root.open("rb") as file:
        file.seek(PIECE)
        if streams[0].read(PIECE) != file.read(PIECE):
            raise ValueError(f"{road}: wrong bytes")
    return streams
