"""Draining a node between two namespaces, while a build keeps it busy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farm.config import FIRST_KIND, Config
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.nodes import pending
from farm.nodes.drain import drain_node, drain_table
from farm.scheduler.control import list_blocks, list_nodes, unblock
from farm.view.status import NodeStatus
from farm.virtual.namespace import exec_prefix, icecc_folder
from farm.watch.events import Stage
from tests.lab import PATIENCE, Namespace, namespaces, until

SERVER, NODE = "10.99.31.1", "10.99.31.2"
CONFIG = Config(name="test", address=f"{SERVER}/24")
DRAIN = """
import asyncio, sys
from pathlib import Path
from farm.nodes.drain import drain_node
from farm.errors import FarmError
from farm.watch.events import Stage
from farm.home import Home
from farm.instance import Instance
from farm.view.status import NodeStatus
folder, name, address, patience = sys.argv[1:]
home = Home.at(Path(folder))
node = NodeStatus(key="", mac="52:54:00:00:00:01", name=name, address=address, stage=Stage.READY, since=0.0)
report = lambda name, doing: print(doing, file=sys.stderr, flush=True)
try:
    print(asyncio.run(drain_node(home, Instance.load(home), node, report, float(patience))))
except FarmError as error:
    print(error.what)
"""
SOURCE = """
template<int N> struct Sum { enum { value = Sum<N - 1>::value + NUMBER }; };
template<> struct Sum<0> { enum { value = 0 }; };
int sum() { return Sum<899>::value; }
"""


@dataclass(frozen=True)
class Lab:
    home: Home
    instance: Instance
    server: Namespace
    sources: Path

    def drain(self, name: str = "pc01", patience: float = 3 * PATIENCE) -> subprocess.Popen[str]:
        """Drain a node in a process inside; what happens meanwhile goes to its standard error."""
        argv = [*exec_prefix(self.server.name), sys.executable, "-c", DRAIN, str(self.home.directory), name]
        return subprocess.Popen([*argv, NODE, str(patience)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @contextlib.contextmanager
    def building(self, record: Path) -> Iterator[None]:
        """A build inside, without end and with more jobs at a time than the nodes have slots."""
        stop = self.sources / "stop"
        loop = f"until test -e {stop}; do make -s -B -j5 || exit 1; done"
        argv = [sys.executable, "-c", "from farm.cli import main; main()", "--home", str(self.home.directory), "run"]
        argv += ["--require-remote", "--json", str(record), "--", "sh", "-c", loop]
        build = subprocess.Popen(argv, cwd=self.sources, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            until(lambda: self.jobs("pc01") > 2 or build.poll() is not None, "pc01 has no more jobs than slots")
            yield
        finally:
            stop.touch()
            said, _ = build.communicate(timeout=PATIENCE)
        assert build.returncode == 0, said

    def jobs(self, name: str) -> int:
        nodes = self.server.gather(list_nodes(SERVER, 8765))
        return next((node.jobs for node in nodes if node.name == name), -1)

    def loads(self) -> list[int]:
        """Whether they get jobs, by name."""
        nodes = sorted(self.server.gather(list_nodes(SERVER, 8765)), key=lambda node: node.name)
        return [node.load // 1000 for node in nodes if node.max_jobs]

    def elements(self) -> list[object]:
        said = self.server.run("nft", "-j", "list", "set", "inet", drain_table(CONFIG), "draining").stdout
        return [each for entry in json.loads(said)["nftables"] for each in entry.get("set", {}).get("elem", [])]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with namespaces(f"{SERVER}/24", f"{NODE}/24") as (server, node):
        home = Home.at(server.folder / "home")
        home.create()
        instance = Instance(
            config=CONFIG, interface="lab0", images={FIRST_KIND: "test"}, started=0.0, namespace=server.name
        )
        instance.save(home)
        sources = server.folder / "sources"
        sources.mkdir(mode=0o777)
        for n in range(30):
            (sources / f"part{n}.cpp").write_text(SOURCE.replace("NUMBER", str(n)))
        objects = " ".join(f"part{n}.o" for n in range(30))
        (sources / "Makefile").write_text(f"all: {objects}\n%.o: %.cpp\n\t$(CXX) -c -o $@ $<\n")
        server.scheduler()
        server.iceccd(CONFIG.submitter, SERVER, "--no-remote", "-m", "0", icecc_folder=icecc_folder(home))
        node.iceccd("pc01", SERVER, "-m", "2")
        node.iceccd("pc02", SERVER, "-m", "1", "-p", "10246")
        lab = Lab(home, instance, server, sources)
        until(lambda: lab.loads() == [0, 0], "both get jobs")
        yield lab


def test_a_node_of_a_busy_farm_is_drained(lab: Lab, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    with lab.building(record):
        said, _ = lab.drain(patience=2).communicate(timeout=PATIENCE)
        assert "pc01 still has jobs after 2s." in said
        assert lab.elements() == [], "it was undone"
        assert lab.server.gather(list_blocks(SERVER, 8765)) == []

        said, doing = lab.drain().communicate(timeout=3 * PATIENCE)
        assert said == "pc01 has finished its jobs and is blocked until it is unblocked.\n"
        assert "jobs left; the scheduler notices within 70 s" in doing
        assert lab.server.gather(list_blocks(SERVER, 8765)) == ["pc01"]
        assert lab.elements() == []
        until(lambda: lab.jobs("pc02") > 0, "pc02 goes on")
        assert lab.jobs("pc01") == -1
    found = json.loads(record.read_text())
    assert (found["failed"], found["local"]) == (0, 0), "every job ended where it was given"
    assert found["nodes"]["pc01"]["jobs"] > 2

    assert lab.drain().communicate(timeout=PATIENCE)[0] == "pc01 is blocked already.\n"
    lab.server.gather(unblock(SERVER, 8765, "pc01"))


def test_one_that_is_not_there_cannot_be_drained(lab: Lab) -> None:
    assert "pc07 is not logged in" in lab.drain("pc07").communicate(timeout=PATIENCE)[0]


def test_an_interrupt_undoes_it(lab: Lab) -> None:
    drain = lab.drain("pc02")
    assert drain.stderr is not None
    assert "0 jobs left" in drain.stderr.readline()
    assert len(lab.elements()) == 1
    assert [(each.order, each.pid) for each in pending.read(lab.home)] == [("drain", drain.pid)]
    drain.send_signal(signal.SIGINT)
    assert drain.communicate(timeout=PATIENCE)[0] == ""
    assert drain.returncode == -signal.SIGINT
    assert lab.elements() == []
    assert pending.read(lab.home) == ()


def test_what_is_struck_ends(lab: Lab) -> None:
    drain = lab.drain("pc02")
    assert drain.stderr is not None
    assert "0 jobs left" in drain.stderr.readline()
    (order,) = pending.read(lab.home)
    pending.strike(lab.home, order.mac)
    assert drain.communicate(timeout=PATIENCE)[0] == "pc02 is no longer drained.\n"
    assert lab.elements() == []
    assert lab.server.gather(list_blocks(SERVER, 8765)) == []


def test_outside_the_lab_it_says_so(lab: Lab) -> None:
    pc01 = NodeStatus(key="", name="pc01", address=NODE, stage=Stage.READY, since=0.0)
    with pytest.raises(FarmError, match="a separate network"):
        asyncio.run(drain_node(lab.home, lab.instance, pc01, lambda *_: None))
