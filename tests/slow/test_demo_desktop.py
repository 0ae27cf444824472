"""The demonstration of a thin client, as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from farm.virtual.screen import read

TOP = Path(__file__).parents[2]
NAMESPACE = Path("/run/netns/farm-desktop")


def test_the_demonstration_leaves_two_pictures_and_nothing_else(tmp_path: Path) -> None:
    environment = {**os.environ, "COLUMNS": "200"}
    if images := os.environ.get("FARM_TEST_IMAGES"):
        environment["FARM_IMAGES"] = images
    argv = [TOP / "script" / "demo", "desktop", tmp_path / "pictures"]
    done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    greeter, session = ((tmp_path / "pictures" / name).read_bytes() for name in ("greeter.png", "session.png"))
    assert (1024, 768) == (read(greeter).width, read(greeter).height)
    assert greeter != session
    listed = [line.split() for line in done.stdout.splitlines() if line.startswith("virtual-1 ")]
    assert any("session" in words for words in listed), done.stdout
    assert not NAMESPACE.exists()
    assert "visitor:" not in Path("/etc/passwd").read_text()
