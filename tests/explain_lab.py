"""A farm on which compiler calls are explained: a scheduler and a submitter in one namespace, a node in the other."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from farm.config import FIRST_KIND, Config
from farm.home import Home
from farm.instance import Instance
from farm.scheduler.control import list_nodes
from farm.virtual.namespace import icecc_folder, namespace_path
from farm.workstation.explain.explained_calls import needs_scheduler, tell
from farm.workstation.explain.one_call import Explained, explain_call
from farm.workstation.membership import of_server
from tests.lab import CLONE_NEWNET, PATIENCE, Namespace, namespaces, until

DROPPED = ("CC", "CXX", "SUDO_UID", "XDG_STATE_HOME")


@dataclass(frozen=True)
class Farm:
    """A scheduler and a submitter in one namespace, a node in the other, and the record of a running farm."""

    home: Home
    server: Namespace
    node: Namespace
    sources: Path

    def write(self, files: Mapping[str, str]) -> None:
        """Put files among the sources."""
        for name, text in files.items():
            (self.sources / name).write_text(text)

    def start(self, *argv: str, **environment: str) -> subprocess.Popen[str]:
        return self.cli("explain", *argv, **environment)

    def cli(self, *argv: str, **environment: str) -> subprocess.Popen[str]:
        """The command line itself."""
        full = [sys.executable, "-c", "from farm.cli import main; main()", "--home", str(self.home.directory), *argv]
        kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
        told = {**kept, "HOME": str(self.sources), **environment}
        return subprocess.Popen(
            full, cwd=self.sources, env=told, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def say(self, *argv: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*argv, **environment)
        out, told = process.communicate(timeout=5 * PATIENCE)
        return process.returncode, out, told

    def explain(self, *argv: str, **environment: str) -> dict[str, Any]:
        _, out, told = self.say("--json", "--evidence", "--", *argv, **environment)
        assert out, told
        found: dict[str, Any] = json.loads(out)
        return found

    def run(self, *argv: str, **environment: str) -> Explained:
        """What `farm explain` finds out of a command, from this process, which is quicker: it must stand in sources."""
        folder = icecc_folder(self.home)
        socket = environment.get("ICECC_TEST_SOCKET", f"{folder}/iceccd.socket")
        member = replace(of_server(Instance.load(self.home)), how="user", socket=socket)
        base = {name: value for name, value in os.environ.items() if name not in DROPPED}
        base |= {"HOME": str(self.sources), **environment}

        with standing_in(self.server), Path(os.devnull).open("w") as nowhere:
            found = explain_call(argv, member, base, stdout=nowhere, stderr=nowhere)
            asked = member if needs_scheduler(found.calls) else None
            return replace(found, calls=tell(found.calls, asked, found.settings).calls)

    def wait_until_ready(self, *names: str) -> None:
        def ready() -> bool:
            listed = self.server.gather(list_nodes(self.server.address, 8765))
            return {node.name for node in listed if node.load < 1000} >= set(names)

        until(ready, "no node gets jobs")

    @property
    def name(self) -> str:
        """Of the submitter."""
        return Instance.load(self.home).config.submitter

    def submitter(self, *options: str) -> subprocess.Popen[bytes]:
        """Start the daemon that submits jobs; without options it has two slots for jobs of its own."""
        options = ("--no-remote", *(options or ("-m", "2")))
        return self.server.iceccd(self.name, self.server.address, *options, icecc_folder=icecc_folder(self.home))


@contextlib.contextmanager
def standing_in(namespace: Namespace) -> Iterator[None]:
    """This thread is in a namespace; what runs a command as `farm run` does must be the main one."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home, namespace_path(namespace.name).open() as there:
        assert libc.setns(there.fileno(), CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), CLONE_NEWNET) == 0


@contextlib.contextmanager
def explain_lab(server_address: str, node_address: str) -> Iterator[Farm]:
    """The scheduler runs; daemons do not yet."""
    with namespaces(f"{server_address}/24", f"{node_address}/24") as (server, node):
        home = Home.at(server.folder / "home")
        home.create()
        config = Config(name="test", address=f"{server_address}/24")
        Instance(config=config, interface="lab0", images={FIRST_KIND: "test"}, started=0.0, namespace=server.name).save(
            home
        )
        sources = server.folder / "sources"
        sources.mkdir(mode=0o777)
        sources.chmod(0o777)
        server.scheduler()
        yield Farm(home, server, node, sources)
