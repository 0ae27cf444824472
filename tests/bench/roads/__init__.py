"""The roads by which a node gets its root, side by side in one run: boots, reads, crowds, killed servers, verity."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from farm.export import EXPORTS
from farm.home import Home
from farm.image.store import Store
from tests.bench import boot
from tests.bench.roads import crowd, one_node
from tests.bench.roads.serving import add_version

MTUS = (1500, 9000)
PAIRS = 3
"""Boots with the check of each block, and without."""


@dataclass(frozen=True)
class Roads:
    """All that one run found in frames of one size; ``ready``: seconds from power-on, by road."""

    mtu: int
    ready: Mapping[str, float]
    node: one_node.OneNode
    crowd: Mapping[str, crowd.Crowd]


@dataclass(frozen=True)
class Verity:
    """Seconds from power-on until nodes were registered, in turns: roots that they checked, and believed."""

    checked: list[float]
    believed: list[float]

    @property
    def cost(self) -> float:
        """What the check adds, as a part of a boot: the median of pairs."""
        return statistics.median(a / b for a, b in zip(self.checked, self.believed, strict=True)) - 1


def measure() -> tuple[list[Roads], Verity]:
    """Takes about twelve minutes on a quiet machine, without building the image."""
    with TemporaryDirectory(prefix="farm-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        image = _image(folder)
        found = [
            Roads(mtu, _ready(folder, image, mtu), one_node.measure(image, mtu), crowd.measure(image, mtu))
            for mtu in MTUS
        ]
        return found, _verity(folder, image)


def _image(folder: Path) -> Path:
    """The folder of the version that a build gives, which the usual store may have."""
    farm = [sys.executable, "-m", "farm", "--home", str(folder)]
    said = subprocess.run([*farm, "image", "build", "--json"], check=True, capture_output=True).stdout
    store = Store(Home.at(folder).images)
    return store.path(json.loads(said)["version"])


def _store(folder: Path, image: Path, *, verified: bool = True) -> Path:
    """A store with this version alone, chosen for all boots."""
    path = folder / ("checked" if verified else "believed")
    if not path.exists():
        store = Store(path)
        add_version(store, image, "1", verified=verified)
        store.use("1")
    return path


def _ready(folder: Path, image: Path, mtu: int) -> dict[str, float]:
    images = _store(folder, image)
    return {road: _boot(folder, images, mtu, road).stages["ready"] for road in EXPORTS}


def _verity(folder: Path, image: Path) -> Verity:
    checked, believed = _store(folder, image), _store(folder, image, verified=False)
    turns = [[_boot(folder, images).stages["registered"] for images in (checked, believed)] for _ in range(PAIRS)]
    return Verity([first for first, _ in turns], [second for _, second in turns])


def _boot(folder: Path, images: Path, mtu: int = 9000, root: str = "aoe") -> boot.Boot:
    with TemporaryDirectory(prefix="home-", dir=folder) as home:
        return boot.measure(Path(home), mtu=mtu, root=root, images=images)
