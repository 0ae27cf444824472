"""The commands at a scheduler that is no farm's: without configuration, farmd or root."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from farm.scheduler.control import list_blocks, list_jobs, list_nodes
from farm.virtual.namespace import exec_prefix
from tests.lab import AS_NOBODY, NETNAME, PATIENCE, Namespace, namespaces, until

SERVER = "10.99.32.1"
NOBODY = [*AS_NOBODY, "env", "-i", "COLUMNS=120"]
FARM = [sys.executable, "-m", "farm", "--home", "/nonexistent"]


@dataclass(frozen=True)
class Lab:
    space: Namespace

    def argv(self, *words: str) -> list[str]:
        return [*exec_prefix(self.space.name), *NOBODY, *FARM, *words]

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self.argv(*words), text=True, capture_output=True, timeout=120, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def farm(self, *words: str, code: int = 0) -> str:
        done = self.run(*words, code=code)
        return done.stdout if code in (0, 3) else done.stderr

    def json(self, *words: str, code: int = 0) -> Any:
        told = json.loads(self.run(*words, "--scheduler", SERVER, "--json", code=code).stdout)
        assert told["schema"] == (2 if words[0] == "status" or words[:2] in (("node", "list"), ("node", "show")) else 1)
        return told

    @contextlib.contextmanager
    def simulated(self, **options: object) -> Iterator[None]:
        """Daemons at the scheduler: node-001 and so on, with jobs."""
        given = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        argv = [*exec_prefix(self.space.name), sys.executable, "-m", "farm", "simulate", "--scheduler", SERVER, *given]
        with (self.space.folder / "simulate.log").open("ab") as log:
            process = subprocess.Popen([*argv, "--network", "127.32.0.0/16"], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=PATIENCE)

    def names(self) -> set[str]:
        return {node.name for node in self.space.gather(list_nodes(SERVER, 8765)) if node.max_jobs}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with namespaces(f"{SERVER}/24") as (space,):
        space.scheduler()
        yield Lab(space)


@pytest.fixture(scope="module")
def busy(lab: Lab) -> Iterator[Lab]:
    """Three nodes with more jobs than slots."""
    with lab.simulated(nodes=3, slots=2, submitters=1, jobs=8, seconds=2, idle=0, failures=0.3, local=0):
        until(lambda: len(lab.names()) == 3, "three nodes log in")
        until(lambda: len(lab.space.gather(list_jobs(SERVER, 8765))) > 4, "there are jobs")
        yield lab


def test_an_empty_scheduler(lab: Lab) -> None:
    assert lab.json("node", "list")["nodes"] == []
    told = lab.json("jobs")
    assert (told["jobs"], told["ended"]) == ([], [])
    assert "No job is in flight." in lab.farm("jobs", "--scheduler", SERVER)


def test_who_is_no_scheduler(lab: Lab) -> None:
    for command in (("status",), ("jobs",), ("scheduler",), ("node", "list"), ("node", "kick", "pc01")):
        said = lab.farm(*command, "--scheduler", f"{SERVER}:9", code=1)
        assert "does not answer" in said
    assert "is not a valid scheduler address" in lab.farm("jobs", "--scheduler", f"{SERVER}:0", code=1 + 1)
    assert "either --scheduler or --netname" in lab.farm("jobs", "--scheduler", SERVER, "--netname", "x", code=2)
    assert "No scheduler of netname 'other'" in lab.farm("status", "--netname", "other", code=1)


def test_without_a_farm_it_says_so(lab: Lab) -> None:
    assert "The farm is not up." in lab.farm("jobs", code=1)


def test_status(busy: Lab) -> None:
    told = busy.json("status")
    assert (told["farm"], told["farmd"], told["problems"]) == ("", False, [])
    assert told["scheduler"]["up"]
    assert {node["name"] for node in told["nodes"]} == busy.names()
    assert sum(node["compile"]["host"]["jobs_running"] for node in told["nodes"]) > 0, "those in flight are known"
    assert [host["slots"] for host in told["hosts"]] == [0]
    said = busy.farm("status", "--netname", NETNAME)
    assert f"Scheduler {SERVER}:8765 up, network {NETNAME}" in said
    assert "Nodes 3, 6 slots" in said


def test_nodes(busy: Lab) -> None:
    nodes = busy.json("node", "list")["nodes"]
    assert {node["name"] for node in nodes} == busy.names()
    name = nodes[0]["name"]
    shown = busy.json("node", "show", name)["node"]
    assert (shown["key"], shown["mac"]) == (nodes[0]["key"], "")
    assert "idle" in shown
    assert "requested" in busy.farm("node", "show", nodes[0]["address"], "--scheduler", SERVER)
    assert "There is no node pc07" in busy.farm("node", "show", "pc07", "--scheduler", SERVER, code=1)


def test_scheduler(busy: Lab) -> None:
    told = busy.json("scheduler")
    assert (told["scheduler"]["netname"], told["scheduler"]["rivals"], told["scheduler"]["blocked"]) == (
        NETNAME,
        [],
        [],
    )
    assert told["started"] > 1e9
    assert (told["daemons"], told["slots"], told["platforms"]) == (4, 6, {"x86_64": 4})
    assert list(told["protocols"].values()) == [4]
    assert "nobody" in busy.farm("scheduler", "--netname", NETNAME)


def test_jobs(busy: Lab) -> None:
    told = busy.json("jobs")
    states = {job["state"] for job in told["jobs"]}
    assert "running" in states
    assert states <= {"running", "pending"}
    running = next(job for job in told["jobs"] if job["state"] == "running" and job["node"][0])
    node = running["node"][0]
    found = busy.json("jobs", "--node", node, "--state", "running")["jobs"]
    assert {job["node"][0] for job in found} <= {node}
    assert busy.json("jobs", "--submitter", "nobody")["jobs"] == []


def test_jobs_are_followed(busy: Lab) -> None:
    argv = busy.argv("jobs", "--follow", "--json", "--scheduler", SERVER)
    with subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        told: list[dict[str, Any]] = []
        begun: dict[int, dict[str, Any]] = {}
        while not any(each["event"] == "ended" and each["job"]["id"] in begun for each in told):
            told.append(json.loads(process.stdout.readline()))
            if told[-1]["event"] == "begun":
                begun[told[-1]["job"]["id"]] = told[-1]["job"]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
    ended = told[-1]["job"]
    assert ended["node"] == begun[ended["id"]]["node"]
    assert ended["state"] == ("failed" if ended["exit"] else "done")


def test_following_shows_what_is_asked_for(busy: Lab) -> None:
    argv = busy.argv("jobs", "-f", "--failed", "--scheduler", SERVER)
    with subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert all(" ended " in line for line in said)
    assert all(" → " in line for line in said)


def test_block_unblock_kick(busy: Lab) -> None:
    name = sorted(busy.names())[0]
    told = busy.json("node", "block", name)
    assert told["order"] == "block"
    assert told["nodes"] == [{"node": name, "done": told["nodes"][0]["done"], "seen": True, "error": None}]
    assert busy.space.gather(list_blocks(SERVER, 8765)) == [name]
    assert name not in busy.names()
    assert busy.json("scheduler")["scheduler"]["blocked"] == [name]
    assert "nobody" not in busy.farm("scheduler", "--scheduler", SERVER)
    listed = {node["name"]: node["blocked"] for node in busy.json("node", "list")["nodes"]}
    assert listed == {**dict.fromkeys(busy.names(), False), name: True}, "whoever looks for the first time sees it"
    shown = busy.json("node", "show", name)["node"]
    assert (shown["blocked"], shown["idle"]["code"]) == (True, "blocked")

    assert busy.json("node", "unblock", name)["nodes"][0]["seen"]
    assert busy.space.gather(list_blocks(SERVER, 8765)) == []
    assert "is not blocked" in busy.farm("node", "unblock", name, "--scheduler", SERVER, code=1)

    other = sorted(busy.names() - {name})[0]
    said = busy.farm("node", "kick", other, "pc07", "--scheduler", SERVER, code=3)
    assert f"{other} was sent away" in said
    told = busy.json("node", "kick", "pc07", code=1)
    assert told["nodes"][0]["error"]["what"] == "There is no node pc07."


def test_draining_needs_a_farm(lab: Lab) -> None:
    said = lab.farm("node", "drain", "pc01", "--scheduler", SERVER, code=1)
    assert "A node can be drained only in a farm, not at any scheduler." in said
    assert "node block NODE" in said
