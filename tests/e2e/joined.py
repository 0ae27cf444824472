"""Two more machines on the network of a booted lab: a developer's, and a node that is not emulated."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests import projects
from tests.e2e.conftest import Lab
from tests.lab import Namespace
from tests.workstation import Workstation, tree, workstation

SERVER = "10.77.0.1"
FLAGS = "-O0 -g0"
"""An emulated node is slow enough without optimising."""

_numbers = itertools.count()


@contextlib.contextmanager
def beside(lab: Lab, address: str) -> Iterator[Namespace]:
    """A namespace whose interface is on the lab's bridge."""
    inside = ["ip", "-n", lab.namespace]
    port = f"more{next(_numbers)}"
    with tempfile.TemporaryDirectory(prefix="farm-test-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        namespace = Namespace(Path(folder), f"{address}/24", "lab0")
        _run("ip", "netns", "add", namespace.name)
        try:
            _run(*inside, "link", "add", port, "type", "veth", "peer", "name", "lab0", "netns", namespace.name)
            _run(*inside, "link", "set", port, "mtu", "9000", "master", "farm0", "up")
            there = ["ip", "-n", namespace.name]
            _run(*there, "link", "set", "lo", "up")
            _run(*there, "address", "add", f"{address}/24", "brd", "+", "dev", "lab0")
            _run(*there, "link", "set", "lab0", "mtu", "9000", "up")
            yield namespace
        finally:
            namespace.close()


@contextlib.contextmanager
def developer(lab: Lab) -> Iterator[tuple[Workstation, Namespace]]:
    """A developer's machine, and the namespace of another node at which nothing runs yet."""
    with beside(lab, "10.77.0.20") as here, beside(lab, "10.77.0.21") as node, workstation(here) as desk:
        yield desk, node


def join_build_leave(lab: Lab) -> dict[str, int]:
    """Join as a user, build a real project by each build system, compare, leave; jobs by node.

    The machine's files must be afterwards what they were before.
    """
    with developer(lab) as (desk, place):
        environments = place.folder / "environments"
        environments.mkdir()
        _run("chown", "icecc:icecc", str(environments))
        netname = f"icecream-{lab.name}"
        options = ["-s", SERVER, "-n", netname, "-N", "pc", "-m", "2", "-b", str(environments), "-u", "icecc"]
        place.start("pc", "iceccd", *options)
        before = tree(desk.home)
        lab.wait("the third node is there", lambda status: "pc" in [host["name"] for host in status["hosts"]])
        said = desk.farm("join", SERVER).stdout
        assert lab.name in said or netname in said, said
        work = desk.folder / "work"
        sources = projects.fetch(work)
        jobs = _jobs(lab)
        builds = [
            projects.by_make(sources, work / "make"),
            projects.by_cmake(sources, work / "cmake"),
            projects.by_meson(sources, work / "meson"),
        ]
        _run("chown", "-R", "nobody:nogroup", str(work))
        environment = desk.farm("env", "--format", "sh", "--no-ccache").stdout
        for build in builds:
            commands = projects.as_script([*build.configure, *build.build])
            _build(desk, f"{environment}\n{commands}")
            assert len(build.objects) >= projects.LEAST_FILES, build.system
        made = builds[0].objects
        builds[0].clean()
        _build(desk, f"{environment}\nexport ICECC=disable FARM_JOBS=2\n{projects.as_script(builds[0].build)}")
        assert [name for name, content in builds[0].objects.items() if made.get(name) != content] == []
        ran = {name: count - jobs.get(name, 0) for name, count in _jobs(lab).items()}
        desk.farm("leave")
        assert tree(desk.home) == before
    return ran


def _build(desk: Workstation, script: str) -> None:
    """What the developer types; an emulated node takes its time."""
    done = subprocess.run(
        desk.argv("sh", "-c", script, CFLAGS=FLAGS, CXXFLAGS=FLAGS), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def _jobs(lab: Lab) -> dict[str, int]:
    """Jobs that each daemon has ended, by the scheduler's records."""
    status = lab.status()
    own = [node["compile"]["host"] for node in status["nodes"] if node["compile"]]
    hosts = [*status["hosts"], *(host for host in own if host)]
    return {host["name"]: host["jobs_done"] for host in hosts}


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
