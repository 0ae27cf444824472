"""A farm that a developer's machine submits to, for tests of `farm run` and what comes with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from farm.config import FIRST_KIND, Config
from farm.home import Home
from farm.instance import Instance
from farm.scheduler.control import list_nodes
from farm.virtual.namespace import icecc_folder
from farm.watch.activity.daemons import from_list
from farm.workstation.env.variables import count_slots
from tests.lab import PATIENCE, Namespace, namespaces, until


@dataclass(frozen=True)
class Farm:
    """A scheduler and a submitter in one namespace, a node in the other, and the record of a running farm."""

    address: str
    """The server's."""
    home: Home
    scheduler: subprocess.Popen[bytes]
    server: Namespace
    node: Namespace
    sources: Path
    nodes: list[str] = field(default_factory=list)

    def run(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.argv(*argv),
            cwd=self.sources,
            env=self.environment(**environment),
            text=True,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    @property
    def state(self) -> Path:
        """Where users keep what was run last; everyone may write there."""
        return self.server.folder / "state"

    def argv(self, *argv: str) -> list[str]:
        """The command line, when every node gets jobs."""
        until(lambda: self.ready() >= len(self.nodes), "no node gets jobs")
        main = "from farm.cli import main; main()"
        return [sys.executable, "-c", main, "--home", str(self.home.directory), "run", *argv]

    def environment(self, **changes: str) -> dict[str, str]:
        dropped = ("CC", "CXX", "SUDO_UID", "CI")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return {**kept, "XDG_STATE_HOME": str(self.state), **changes}

    def ready(self) -> int:
        """Nodes that get jobs."""
        if not self.nodes:
            return 0
        listed = self.server.gather(list_nodes(self.address, 8765))
        return count_slots([from_list(each) for each in listed], self.submitter).nodes

    @property
    def submitter(self) -> str:
        return Instance.load(self.home).config.submitter


@contextlib.contextmanager
def farm_of_two(server_address: str, node_address: str) -> Iterator[Farm]:
    """The server with its submitter; the node is there, but runs nothing yet."""
    with namespaces(f"{server_address}/24", f"{node_address}/24") as (server, node):
        config = Config(name="test", address=f"{server_address}/24")
        home = Home.at(server.folder / "home")
        home.create()
        Instance(config=config, interface="lab0", images={FIRST_KIND: "test"}, started=0.0, namespace=server.name).save(
            home
        )
        sources, state = server.folder / "sources", server.folder / "state"
        for folder in (sources, state):
            folder.mkdir()
            folder.chmod(0o777)
        for n in range(4):
            (sources / f"part{n}.c").write_text(f'#include <stdio.h>\nint part{n}(void) {{ return puts("{n}"); }}\n')
        (sources / "broken.c").write_text("int broken(void) { return nothing; }\n")
        (sources / "Makefile").write_text("all: part0.o part1.o part2.o part3.o\n")
        scheduler = server.scheduler()
        server.iceccd(config.submitter, server_address, "--no-remote", "-m", "2", icecc_folder=icecc_folder(home))
        yield Farm(server_address, home, scheduler, server, node, sources)


def add_node(farm: Farm, name: str = "pc01") -> None:
    """Start the node's daemon, and wait until it gets jobs."""
    farm.node.iceccd(name, farm.address, "-m", "2")
    farm.nodes.append(name)
    until(lambda: farm.ready() == len(farm.nodes), "no node gets jobs")
