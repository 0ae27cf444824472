"""Every part of a lab is killed, stopped, cut off or filled while a build runs: the build ends well, `farm status`
names what is wrong, and `farm up` heals it.

FARM_CHAOS_ROUNDS says how often each is tried (once); FARM_CHAOS_TABLE names a file that gets a line a round.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Lab
from tests.slow.chaos import KINDS, NODES, Build, Kind, wait_until_named

ROUNDS = int(os.environ.get("FARM_CHAOS_ROUNDS", "1"))
HOME_MEGABYTES = 1536


def compiles(node: dict[str, Any]) -> bool:
    host = node["compile"] and node["compile"]["host"]
    return bool(host and host["jobs_running"])


@pytest.fixture(scope="module")
def chaos_lab() -> Iterator[Lab]:
    """A booted lab of two nodes whose home is a small disk of its own, so that it can be filled."""
    home = Path(tempfile.mkdtemp(prefix="farm-chaos-", dir="/var/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={HOME_MEGABYTES}m,mode=755", "chaos", home], check=True)
    name = f"c{os.getpid()}"
    (home / "farm.yaml").write_text(f"name: {name}\nvirtual: {{memory: 1024}}\n")
    lab = Lab(home, name)
    try:
        lab.farm("image", "build")
        lab.farm("up", "--virtual", "2")
        yield lab
    finally:
        lab.farm("down", "--force", check=False)
        subprocess.run(["umount", home], check=True)
        shutil.rmtree(home)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_a_build_outlives_it_status_names_it_and_up_heals_it(
    chaos_lab: Lab, tmp_path: Path, kind: Kind, attempt: int
) -> None:
    lab = chaos_lab
    before = lab.wait("all is well", lambda status: not status["problems"] and len(lab.ready()) == len(NODES))
    build = Build(lab, tmp_path / "build")
    try:
        lab.wait("it compiles", lambda status: any(map(compiles, status["nodes"])))
        with kind.strike(lab):
            named = wait_until_named(lab, kind, before)
        began = time.monotonic()
        healed = lab.farm("up", "--virtual", "2", check=False)
        seconds = time.monotonic() - began
    finally:
        lost, wrong = build.end()
    row = {"kind": kind.name, "round": attempt, "lost": lost, "wrong": wrong, "named_s": named, "up": healed.returncode}
    row["up_s"] = round(seconds, 1)
    if table := os.environ.get("FARM_CHAOS_TABLE"):
        with open(table, "a") as file:
            file.write(json.dumps(row) + "\n")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert (lost, wrong) == (0, 0), build.log.read_text()[-4000:]
    assert named is not None, lab.status()["problems"]
    lab.wait("all is well again", lambda status: not status["problems"] and len(lab.ready()) == len(NODES))


def test_down_under_a_build_leaves_it_alone(chaos_lab: Lab, tmp_path: Path) -> None:
    lab = chaos_lab
    lab.wait("all is well", lambda status: not status["problems"] and len(lab.ready()) == len(NODES))
    build = Build(lab, tmp_path / "build")
    try:
        lab.wait("it compiles", lambda status: any(map(compiles, status["nodes"])))
        refused = lab.farm("down", check=False)
        assert refused.returncode == 1
        assert "make" in refused.stderr
        assert "--force" in refused.stderr
        assert lab.ready() == NODES
    finally:
        assert build.end() == (0, 0)
