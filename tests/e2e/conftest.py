"""A virtual lab that really boots, driven by the commands a user types."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.clean_machine import clean_machine

__all__ = ["clean_machine"]


def environment(home: Path) -> dict[str, str]:
    """For `farm --home HOME`: the images of e2e tests are kept from run to run where FARM_TEST_IMAGES says."""
    return {**os.environ, "FARM_IMAGES": os.environ.get("FARM_TEST_IMAGES", str(home / "images"))}


@dataclass
class Lab:
    """A farm with a home of its own; its images come from the shared store."""

    home: Path
    name: str

    def argv(self, *words: str | Path) -> list[str]:
        """The command `farm WORDS` for this lab."""
        return [sys.executable, "-m", "farm", "--home", str(self.home), *map(str, words)]

    def farm(self, *words: str | Path, check: bool = True, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run `farm WORDS` for this lab; fails the test with its output when it fails and ``check`` is set."""
        argv = self.argv(*words)
        done = subprocess.run(
            argv, env=environment(self.home), capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
        )
        if check:
            assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        """What `farm status --json` says."""
        status: dict[str, Any] = json.loads(self.farm("status", "--json", check=False).stdout)
        return status

    def status_if_up(self) -> dict[str, Any] | None:
        """What `farm status --json` says; None when the farm is not up."""
        said = self.farm("status", "--json", check=False).stdout
        return json.loads(said) if said.startswith("{") else None

    @cached_property
    def image(self) -> str:
        """The version that tests run; it is built, unless the store has it, when this is asked for the first time."""
        return str(json.loads(self.farm("image", "build", "--json").stdout)["version"])

    def choose_image(self) -> None:
        """Let next boots get the version that tests run."""
        version = self.image
        if json.loads(self.farm("image", "list", "--json").stdout)["current"] != version:
            self.farm("image", "use", version)

    def images(self) -> int:
        """How many versions the store holds."""
        return len(json.loads(self.farm("image", "list", "--json").stdout)["images"])

    def services(self) -> dict[str, dict[str, Any]]:
        return {service["name"]: service for service in self.status()["services"]}

    def nodes_by_name(self) -> dict[str, dict[str, Any]]:
        return {node["name"]: node for node in self.status()["nodes"]}

    def wait_for_boot(self, name: str, powered: float) -> None:
        """Wait until a node is ready after a boot later than the one that began at ``powered`` (Unix time)."""

        def booted(status: dict[str, Any]) -> bool:
            node = next(node for node in status["nodes"] if node["name"] == name)
            return node["stage"] == "ready" and node["stages"].get("powered", 0) > powered

        self.wait(f"{name} is ready after another boot", booted)

    def wait(self, what: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 240) -> dict[str, Any]:
        """Ask for the status until something holds; fails the test when it never does."""
        deadline = time.monotonic() + seconds
        while True:
            status = self.status()
            if holds(status):
                return status
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{json.dumps(status, indent=1)}"
            time.sleep(0.5)

    def ready(self) -> list[str]:
        return sorted(node["name"] for node in self.status()["nodes"] if node["stage"] == "ready")

    def compile(self, folder: Path, count: int) -> dict[str, Any]:
        """Compile ``count`` C files through `farm run`, link and run them; returns its record of where it was done."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        names = [f"part{n}" for n in range(count)]
        for number, name in enumerate(names):
            (folder / f"{name}.c").write_text(f"int {name}(void) {{ return {number}; }}\n")
        calls = " + ".join(f"{name}()" for name in names)
        declarations = "\n".join(f"int {name}(void);" for name in names)
        (folder / "main.c").write_text(
            f'#include <stdio.h>\n{declarations}\nint main(void) {{ printf("%d\\n", {calls}); }}\n'
        )
        objects = " ".join(f"{name}.o" for name in ["main", *names])
        (folder / "Makefile").write_text(f"all: {objects}\n\t$(CC) -o all {objects}\n")
        self.farm("run", "--require-remote", "--json", folder / "run.json", "--", "make", "-s", "-C", folder, "-j6")
        said = subprocess.run([folder / "all"], capture_output=True, text=True, check=True).stdout
        assert int(said) == sum(range(count))
        record: dict[str, Any] = json.loads((folder / "run.json").read_text())
        return record

    def leftovers(self) -> list[str]:
        """Whatever of this lab is still on the machine."""
        left = [line for line in _output("ip", "netns", "list").splitlines() if self.namespace in line]
        left += [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.home) in line]
        for argv in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = argv.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.home) in line and int(argv.parent.name) != os.getpid():
                left.append(line)
        left += [str(path) for path in (self.home / "run").glob("*")]
        return left

    @property
    def images_folder(self) -> Path:
        """Where its image versions are."""
        return Path(environment(self.home)["FARM_IMAGES"])

    @property
    def namespace(self) -> str:
        return f"farm-{self.name}"


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab that is not up yet, and is taken down at the end whatever happened; its second machine boots over NBD."""
    home = Path(tempfile.mkdtemp(prefix="farm-e2e-", dir="/var/tmp"))
    name = f"t{os.getpid()}"
    (home / "farm.yaml").write_text(
        f"name: {name}\nvirtual: {{memory: 1024}}\n"
        'machines: [{mac: "52:54:00:fa:00:02", name: virtual-2, root: nbd}]\n'
    )
    lab = Lab(home, name)
    try:
        yield lab
    finally:
        lab.farm("down", "--force", check=False)
        shutil.rmtree(home)
