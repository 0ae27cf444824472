"""One emulated machine that reads its root by all roads in turn, checks blocks, and waits for killed servers."""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from farm.export import EXPORTS
from tests.bench import aoe
from tests.bench.roads.serving import SERVER, Serving, serving
from tests.e2e.guest import guest
from tests.lab import namespaces, until

ROUNDS = 3
SEQUENTIAL, RANDOM = 60, 8
"""Megabytes of each round."""
PATIENCE = 60
"""Seconds that a reader may stand still after its server was killed."""
FIRST = "aoe"
"""The road by which the machine boots; the others are opened then."""

SCRIPT = """
	{first}=$device
	{others}
	device=${first}
	. /scripts/farm-verity
	farm_verify {verity}
	verified=$device
	farm_read_ahead
	for round in {rounds}; do
		for road in {roads} verified; do
			eval device=\\$$road
			for order in sequential random; do
				case $order in random) much={random} ;; *) much={sequential} ;; esac
				echo "round $round $road $order $(/scripts/node_reads $order $much $device) end"
			done
		done
	done
	for road in {roads}; do
		eval device=\\$$road
		echo "stands $road begins"
		echo "stands $road $(/scripts/node_reads stand {patience} $device) end"
	done
	echo "all is read"
	sleep 1000
"""
OTHER = """. /scripts/farm-roads/{road}
	farm_road {argument}
	{road}=$device
"""


@dataclass(frozen=True)
class Reads:
    """Megabytes per second in sequence and in pieces of 16 KiB anywhere; seconds of processor time for the former."""

    sequential: float
    random: float
    worked: float


@dataclass(frozen=True)
class OneNode:
    """What it read by each road; ``verified``: by the first, with each block checked; ``stood``: seconds, by road."""

    roads: dict[str, Reads]
    verified: Reads
    stood: dict[str, float]


def measure(image: Path, mtu: int) -> OneNode:
    """Of a version (``image``: its folder), in frames of this size."""
    with TemporaryDirectory(prefix="farm-bench-") as name, namespaces(f"{SERVER}/24") as (place,):
        # vblade keeps what both are when it starts; a bridge's follow what is attached, unless they are set.
        place.run("ip", "link", "set", place.interface, "mtu", str(mtu), "address", aoe.mac(place))
        with serving(place, image, mtu) as served:
            return _measure(served, Path(name), image, mtu)


def _measure(served: Serving, folder: Path, image: Path, mtu: int) -> OneNode:
    program = folder / "node_reads"
    source = Path(__file__).with_name("node_reads.c")
    subprocess.run(["cc", "-O2", "-static", "-o", program, source], check=True)
    machine_is = {"root": served.argument(FIRST), "address": "10.96.0.9", "script": _script(served)}
    with guest(served.server.place, image, folder, **machine_is, programs=[program], mtu=mtu) as machine:
        for road in EXPORTS:
            machine.shows(f"stands {road} begins", seconds=600)
            killed = served.pid(road)
            os.kill(killed, signal.SIGKILL)
            until(lambda road=road, killed=killed: served.pid(road) not in (0, killed), f"{road} is not served")
        machine.shows("all is read")
        return _understand(machine.console)


def _script(served: Serving) -> str:
    """What the machine does."""
    assert served.manifest.verity, "an image whose blocks can be checked"
    others = [
        OTHER.format(road=road, argument=served.argument(road).partition(":")[2]) for road in EXPORTS if road != FIRST
    ]
    return SCRIPT.format(
        first=FIRST,
        others="\t".join(others),
        roads=" ".join(EXPORTS),
        verity=served.manifest.verity.argument,
        rounds=" ".join(map(str, range(ROUNDS))),
        sequential=SEQUENTIAL,
        random=RANDOM,
        patience=PATIENCE,
    )


def _understand(console: str) -> OneNode:
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for road, order, seconds, worked in re.findall(r"round \d (\w+) (\w+) read ([\d.]+) ([\d.]+) end", console):
        found.setdefault((road, order), []).append((float(seconds), float(worked)))
    stood = {road: float(seconds) for road, seconds in re.findall(r"stands (\w+) stood ([\d.]+) end", console)}
    return OneNode({road: _reads(found, road) for road in EXPORTS}, _reads(found, "verified"), stood)


def _reads(found: dict[tuple[str, str], list[tuple[float, float]]], road: str) -> Reads:
    """The medians of a road's rounds."""
    sequential, at_random = found[road, "sequential"], found[road, "random"]
    mebibyte = (1 << 20) / 1e6
    return Reads(
        SEQUENTIAL * mebibyte / statistics.median(seconds for seconds, _ in sequential),
        RANDOM * mebibyte / statistics.median(seconds for seconds, _ in at_random),
        statistics.median(worked for _, worked in sequential),
    )
