"""How long one node of a virtual lab takes from power-on until it compiles, stage by stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Boot:
    """``stages``: seconds since the QEMU process was started; ``megabytes``: all that the node pulled."""

    stages: dict[str, float]
    megabytes: float


def measure(folder: Path, *, mtu: int = 9000, root: str = "aoe", images: Path | None = None) -> Boot:
    """Bring a lab of one node up in ``folder``, note its stages, take it down again.

    ``root``: the road by which it reads its root; ``images``: the store, if not the usual one.
    """
    (folder / "farm.yaml").write_text(f"name: bench\nmtu: {mtu}\nimage: {{root: {root}}}\n")
    farm = [sys.executable, "-m", "farm", "--home", str(folder)]
    options: dict[str, Any] = {"check": True, "capture_output": True}
    if images is not None:
        options["env"] = {**os.environ, "FARM_IMAGES": str(images)}
    try:
        subprocess.run([*farm, "up", "--virtual", "1"], **options)
        status = json.loads(subprocess.run([*farm, "status", "--json"], **options).stdout)
    finally:
        subprocess.run([*farm, "down"], **options)
    started = next(service["since"] for service in status["services"] if service["machine"])
    (node,) = status["nodes"]
    return Boot({stage: at - started for stage, at in node["stages"].items()}, _pulled(node) / 1e6)


def _pulled(node: dict[str, Any]) -> float:
    """Bytes of kernel and initrd, and what came in by the boot NIC since (the root, read by AoE)."""
    received: float = node["telemetry"]["network"]["received"]
    return float(node["fetched"]) + received
