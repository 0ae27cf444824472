"""`farm doctor` on a workstation, between a server and a node: each way of breaking the farm is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farm.scheduler.control import list_nodes
from farm.virtual.namespace import BIND_AND_RUN, exec_prefix
from farm.workstation.membership import Membership
from tests.lab import NETNAME, Namespace, namespaces, until

SERVER, DESK, NODE = "10.99.23.1", "10.99.23.2", "10.99.23.3"
SHELL = {"PATH": "/usr/lib/icecc/bin:/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C"}


class Desk:
    """A developer's machine that has joined a farm of one server and one node."""

    def __init__(self, server: Namespace, desk: Namespace, node: Namespace) -> None:
        self.server, self.desk, self.node = server, desk, node
        self.sockets = desk.folder / "icecc"
        self.settings = desk.folder / "config"
        self.folder = desk.folder / "project"
        self.folder.mkdir()
        self.save(Membership(farm="test", netname=NETNAME, scheduler=SERVER, port=8765, submitter="desk", how="system"))

    def save(self, membership: Membership) -> None:
        path = self.settings / "farm" / "workstation.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(membership))

    def submitter(self) -> subprocess.Popen[bytes]:
        return self.desk.iceccd("desk", SERVER, "--no-remote", "-m", "0", icecc_folder=self.sockets)

    def compiler(self, *options: str) -> subprocess.Popen[bytes]:
        process = self.node.iceccd("pc01", SERVER, *(options or ("-m", "2")))

        def listed() -> bool:
            return any(node.name == "pc01" for node in self.server.gather(list_nodes(SERVER, 8765)))

        until(listed, "the node is not listed")
        return process

    def ready(self) -> None:
        def loads() -> list[int]:
            return [node.load for node in self.server.gather(list_nodes(SERVER, 8765)) if node.name == "pc01"]

        until(lambda: loads() and max(loads()) < 1000, "the node gets no jobs")

    def doctor(self, *words: str, **shell: str) -> subprocess.CompletedProcess[str]:
        """Run it with an environment of its own; what puts it into the namespace needs the machine's PATH."""
        environment = {**SHELL, "XDG_CONFIG_HOME": str(self.settings), **shell}
        settings = [f"{name}={value}" for name, value in environment.items()]
        main = [sys.executable, "-c", "from farm.cli import main; main()", "--home", str(self.desk.folder / "home")]
        enter = [*exec_prefix(self.desk.name), "sh", "-c", BIND_AND_RUN, str(self.sockets)]
        argv = [*enter, "/usr/bin/env", "-i", *settings, *main, "doctor", *words]
        return subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=600, check=False)

    def report(self, *words: str, **shell: str) -> dict[str, Any]:
        done = self.doctor("--json", *words, **shell)
        assert done.returncode in (0, 3), done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert report["ok"] is (done.returncode == 0)
        return report

    def faults(self, *words: str, **shell: str) -> dict[str, dict[str, Any]]:
        results = self.report(*words, **shell)["results"]
        return {result["code"]: result for result in results if result["state"] == "fail"}


@pytest.fixture
def bare() -> Iterator[Desk]:
    """Nothing runs but the scheduler."""
    with namespaces(f"{SERVER}/24", f"{DESK}/24", f"{NODE}/24") as (server, desk, node):
        server.scheduler()
        yield Desk(server, desk, node)


@pytest.fixture(scope="module")
def healthy() -> Iterator[Desk]:
    """All is well; tests leave it so."""
    with namespaces(f"{SERVER}/24", f"{DESK}/24", f"{NODE}/24") as (server, desk, node):
        server.scheduler()
        found = Desk(server, desk, node)
        found.submitter()
        found.compiler()
        found.ready()
        yield found


def test_all_is_well(healthy: Desk) -> None:
    report: dict[str, Any] = {}

    def well() -> bool:
        """A node of a machine that is busy with other things has a load of 1000 for a while."""
        report.update(healthy.report())
        found = {result["code"] for result in report["results"] if result["state"] == "fail"}
        assert found <= {"node-room"}, json.dumps(report, indent=1)
        return not found and all(result["state"] != "skipped" for result in report["results"])

    until(well, "something is wrong", seconds=600)
    found = {result["code"]: result for result in report["results"]}
    assert (report["schema"], report["place"]) == (1, "workstation")
    assert found["canary"]["state"] == "ok"
    assert "the same bytes as here" in found["canary"]["evidence"][0]
    assert "The unpacked environment compiles (gcc, g++); its assembler reports: GNU assembler" in " ".join(
        found["environment"]["evidence"]
    )
    assert {result["state"] for result in report["results"]} <= {"ok", "warn"}


def test_how_fast_sources_travel(healthy: Desk) -> None:
    found: dict[str, Any] = {}

    def measured() -> bool:
        """Unless the node's machine is too busy to be given anything."""
        results = healthy.report("--deep", "--only", "throughput")["results"]
        found.update({result["code"]: result for result in results}["throughput"])
        return found["state"] in ("ok", "warn")

    until(measured, "it is not measured", seconds=600)
    assert "MB sent in" in found["evidence"][0]


def test_it_tells_a_person(healthy: Desk) -> None:
    done = healthy.doctor("--only", "iceccd-login")
    assert done.returncode == 0, done.stdout
    assert "desk, as 10.99.23.2" in done.stdout
    assert "canary" not in done.stdout
    assert "This is a workstation of farm test" in done.stderr


def test_an_unknown_code(healthy: Desk) -> None:
    done = healthy.doctor("--only", "no-such")
    assert done.returncode == 2
    assert "Unknown check for this machine: no-such" in done.stderr


def drop(namespace: Namespace, source: str, port: int = 10245) -> None:
    """Let nothing from there in at a port of iceccd's, as a firewall does."""
    rule = f"type filter hook input priority 0; ip saddr {source} tcp dport {port} drop"
    rules = f"table inet doctor {{ chain in {{ {rule}; }}; }}"
    namespace.run("nft", rules)


def pass_again(namespace: Namespace) -> None:
    namespace.run("nft", "delete", "table", "inet", "doctor")


def test_iceccd_is_down(bare: Desk) -> None:
    bare.compiler()
    bare.ready()
    found = bare.faults()
    assert set(found) == {"iceccd"}
    assert "No iceccd answers" in found["iceccd"]["cause"]
    assert found["iceccd"]["command"] == "sudo systemctl start iceccd"
    assert "/var/run/icecc/iceccd.socket: No such file or directory" in found["iceccd"]["evidence"]


def test_no_scheduler(bare: Desk) -> None:
    bare.save(Membership(farm="test", netname=NETNAME, scheduler=NODE, port=8765, submitter="desk", how="system"))
    found = bare.faults("--only", "scheduler")
    assert "The scheduler at 10.99.23.3:8765 does not answer." in found["scheduler"]["cause"]


def test_wrong_netname(bare: Desk) -> None:
    environments = bare.desk.folder / "envs"
    environments.mkdir()
    shutil.chown(environments, "icecc", "icecc")
    argv = ["iceccd", "-n", "elsewhere", "-N", "desk", "-m", "0", "--no-remote", "-b", str(environments), "-u", "icecc"]
    bare.desk.start("iceccd", *argv, icecc_folder=bare.sockets)
    until((bare.sockets / "iceccd.socket").exists, "iceccd does not start")
    found = bare.faults()
    assert set(found) == {"netname", "nodes"}
    assert f"looks for netname elsewhere, but the scheduler's netname is {NETNAME}" in found["netname"]["cause"]
    assert found["netname"]["command"] == f"farm join {SERVER}"


def test_a_rival_scheduler(healthy: Desk) -> None:
    rival = healthy.node.start("rival", "icecc-scheduler", "-n", NETNAME, "-r")
    healthy.node.wait_for(8765)
    try:
        until(lambda: healthy.faults("--only", "rival-scheduler"), "the other scheduler is not heard")
        found = healthy.faults("--only", "rival-scheduler")
        assert f"Other schedulers answer for netname {NETNAME}: {NODE}:8765" in found["rival-scheduler"]["cause"]
    finally:
        healthy.node.stop(rival)


def test_the_desk_does_not_reach_the_node(healthy: Desk) -> None:
    drop(healthy.node, DESK)
    try:
        found = healthy.faults("--only", "node-port")
        assert "This machine cannot connect to pc01 at TCP port 10245" in found["node-port"]["cause"]
        assert "perhaps because a firewall drops it" in found["node-port"]["cause"]
    finally:
        pass_again(healthy.node)


def test_the_desk_does_not_reach_the_nodes_spare_daemon(healthy: Desk) -> None:
    spare = healthy.node.iceccd("pc01.spare", SERVER, "-m", "1", "-p", "10246")
    drop(healthy.node, DESK, 10246)
    try:
        until(lambda: "node-port" in healthy.faults("--only", "node-port"), "nothing is missed")
        cause = healthy.faults("--only", "node-port")["node-port"]["cause"]
        assert "This machine cannot connect to pc01.spare at TCP port 10246" in cause
    finally:
        pass_again(healthy.node)
        healthy.node.stop(spare)


def test_the_scheduler_does_not_reach_the_node(bare: Desk) -> None:
    bare.submitter()
    drop(bare.node, SERVER)
    bare.compiler()
    until(lambda: "failed to accept an incoming connection" in bare.server.log("scheduler-8765"), "it is not tried")
    bare.ready()
    found: dict[str, dict[str, str]] = {}

    def named() -> bool:
        """Unless the node's machine is too busy to be given anything."""
        report = bare.report("--only", "scheduler-to-node")
        found.update({result["code"]: result for result in report["results"]})
        return found["scheduler-to-node"]["state"] not in ("skipped", "warn")

    until(named, "no node can be given a job", seconds=600)
    assert [code for code, result in found.items() if result["state"] == "fail"] == ["scheduler-to-node"], found
    assert (
        "The scheduler gives pc01 no jobs and sends them back: most likely it cannot connect"
        in found["scheduler-to-node"]["cause"]
    )
    assert "from the scheduler's machine to the nodes" in found["scheduler-to-node"]["mend"]


def test_the_nodes_folder_is_full(bare: Desk) -> None:
    folder = bare.node.folder / "tiny"
    folder.mkdir()
    script = f'mount -t tmpfs -o size=8m tmpfs {folder} && chown icecc {folder} && exec "$@"'
    argv = ["iceccd", "-n", NETNAME, "-s", SERVER, "-N", "pc01", "-b", str(folder), "-u", "icecc", "-m", "2"]
    bare.node.start("pc01", "sh", "-c", script, "sh", *argv)
    until(lambda: any(n.name == "pc01" for n in bare.server.gather(list_nodes(SERVER, 8765))), "it is not listed")
    found = bare.faults("--only", "node-room")
    assert "pc01: load 1000, so it gets no jobs" in found["node-room"]["cause"]

    # A node of a farm's tells how full it is, at the port that its farm has chosen.
    root = bare.node.folder / "root"
    (root / "run/farm/upper").mkdir(parents=True)
    told: dict[str, Any] = {"farm": "test", "name": "pc01", "mac": "52:54:00:00:00:01", "nic": "lab0", "image": "v1"}
    told |= {"telemetry_port": 9555, "root": "aoe", "boot": {}, "boot_id": "", "roles": {"compile": {"slots": 2}}}
    (root / "run/farm/node.json").write_text(json.dumps(told))
    script = f'mount -t tmpfs -o size=8m tmpfs {root}/run/farm/upper && exec "$@"'
    bare.node.start("agent", "sh", "-c", script, "sh", sys.executable, "-m", "farm.node", "agent", "--root", str(root))
    bare.node.wait_for(9555)
    found = bare.faults("--only", "node-room")
    assert "pc01: its RAM disk is full (8 MiB are left, 75 are needed)" in found["node-room"]["cause"]


@pytest.mark.parametrize(
    ("name", "what"), [("missing", "assembler is missing"), ("mode", "its as is not executable"), ("damaged", "")]
)
def test_a_broken_environment(healthy: Desk, name: str, what: str) -> None:
    path = environment_tar(healthy.folder / f"{name}.tar", name)
    found = healthy.faults("--only", "canary", ICECC_VERSION=str(path))
    assert set(found) == {"environment"}
    assert str(path) in found["environment"]["cause"]
    assert what in found["environment"]["cause"]
    assert found["environment"]["command"] == "unset ICECC_VERSION"
    assert not healthy.faults("--only", "environment")  # as it then is


def environment_tar(path: Path, how: str) -> Path:
    """A toolchain with something wrong."""
    if how == "damaged":
        path.write_bytes(b"no tar" * 1000)
        return path
    with tarfile.open(path, "w") as tar:
        for program in ("gcc", "as"):
            if program == "as" and how == "missing":
                continue
            info = tar.gettarinfo("/usr/bin/true", f"usr/bin/{program}")
            info.mode = 0o644 if program == "as" else 0o755
            with open("/usr/bin/true", "rb") as file:
                tar.addfile(info, file)
    return path


@pytest.mark.parametrize(
    ("shell", "code", "cause"),
    [
        ({"CCACHE_PREFIX": "icecc"}, "ccache-order", "reach icecc twice"),
        ({"PATH": "/usr/lib/icecc/bin:/usr/lib/ccache:/usr/bin:/bin"}, "ccache-order", "takes it for the compiler"),
        ({"CC": "/usr/bin/gcc"}, "compiler-path", "CC=/usr/bin/gcc names a compiler by its full path"),
        ({"CC": "gcc-12"}, "compiler-path", "CC=gcc-12 is a name that /usr/lib/icecc/bin does not have"),
        ({"ICECC": "disable"}, "icecc-settings", "icecc compiles everything here"),
        ({"ICECC_VERSION": "/no/such.tar"}, "environment", "/no/such.tar, which cannot be read"),
    ],
)
def test_the_shell(healthy: Desk, shell: dict[str, str], code: str, cause: str) -> None:
    found = healthy.faults("--only", code, **shell)
    assert set(found) == {code}
    assert cause in found[code]["cause"]
    assert found[code]["mend"]


def test_icecc_is_not_installed(healthy: Desk, tmp_path: Path) -> None:
    for program in ("gcc", "tar"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    found = healthy.faults("--only", "iceccd", PATH=str(tmp_path))
    assert set(found) == {"icecc-installed"}
    assert found["icecc-installed"]["command"] == "sudo apt-get install icecc"


def test_a_build_folder_that_knows_another_compiler(healthy: Desk) -> None:
    cache = healthy.folder / "build" / "CMakeCache.txt"
    cache.parent.mkdir()
    cache.write_text("CMAKE_C_COMPILER:FILEPATH=/usr/bin/cc\n")
    try:
        found = healthy.faults("--only", "cmake-cache")
        assert f"{cache} calls /usr/bin/cc by its full path" in found["cmake-cache"]["cause"]
    finally:
        shutil.rmtree(cache.parent)
