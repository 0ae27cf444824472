"""An image build that is cut off leaves nothing mounted, nothing running, and no half version."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from farm.image.store import Store
from tests.lab import until


def mentions(folder: Path) -> list[str]:
    """Mounts and processes, of any mount namespace, that have to do with a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        for file in ("cmdline", "mounts"):
            try:
                text = (process / file).read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            found += [line for line in text.splitlines() if str(folder) in line]
    return found


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_build_that_was_cut_off(tmp_path: Path, sign: signal.Signals) -> None:
    log = tmp_path / "log" / "image-build.log"
    images = tmp_path / "images"
    with subprocess.Popen(
        [sys.executable, "-m", "farm", "--home", str(tmp_path), "image", "build"],
        env={**os.environ, "FARM_IMAGES": str(images)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as build:
        try:
            until(
                lambda: log.exists() and "Installing system" in log.read_text(errors="replace"), "KIWI got nowhere", 120
            )
            assert mentions(images), "it works below that folder"
        finally:
            build.send_signal(sign)
    assert build.returncode in (130, -signal.SIGKILL)

    deadline = time.monotonic() + 10
    while mentions(images) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert mentions(images) == []
    assert Store(images).list() == []
