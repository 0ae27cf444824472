"""A compiler that changes under a running iceccd: named, and where the daemon is ours it is restarted.

The machine's own compiler stays as it is: what changes is a copy, in a mount namespace where it stands in its place.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from farm.instance import Instance
from farm.scheduler.control import list_nodes
from farm.supervisor import Service, Supervisor
from farm.virtual.namespace import enter
from tests.lab import NETNAME, PATIENCE, Namespace, namespaces, until
from tests.run_lab import Farm, add_node, farm_of_two
from tests.workstation import FARM, Workstation, workstation

SERVER, DESK = "10.99.52.1", "10.99.52.2"
GCC = ("gcc", "-c", "part.c", "-o", "/tmp/part.o")
SETTINGS = {"ICECC_PREFERRED_HOST": "pc01", "ICECC_ENV_COMPRESSION": "none"}  # to pack it well takes half a minute
VISITOR = """import socket, sys
visitor = socket.socket(socket.AF_UNIX)
visitor.connect(sys.argv[1])
for _ in range(2):  # the handshake, for which iceccd lets all others wait
    visitor.sendall(bytes([43, 0, 0, 0]))
    visitor.recv(4, socket.MSG_WAITALL)
print(flush=True)
sys.stdin.read()
"""
POKING = f"""import asyncio, farm.scheduler.connection as connection
async def main():
    while True:
        await connection.poke("{SERVER}", 8765)
        await asyncio.sleep(1.2)
asyncio.run(main())
"""
"""What farmd does on a server, so that daemons log in soon."""
COMPILER = os.path.realpath("/usr/bin/gcc")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Namespace, Namespace]]:
    """A scheduler and a node; the other end of the cable is free."""
    with namespaces(f"{SERVER}/24", f"{DESK}/24") as (server, desk):
        server.scheduler()
        server.start("poking", sys.executable, "-c", POKING)
        server.iceccd("pc01", SERVER, "-m", "2")
        until(lambda: [one for one in server.gather(list_nodes(SERVER, 8765)) if one.load < 1000], "no node gets jobs")
        yield server, desk


@pytest.fixture(scope="module")
def mine(server: tuple[Namespace, Namespace]) -> Iterator[Workstation]:
    """A machine that its user has joined, and whose compiler is a copy; each test leaves it as good as new."""
    with workstation(server[1]) as machine:
        copy = machine.folder / "compiler"
        subprocess.run(["cp", "-p", COMPILER, copy], check=True)
        machine.run("mount", "--bind", copy, COMPILER, root=True)
        (machine.home / "part.c").write_text("int part(void) { return 1; }\n")
        join(machine)
        yield machine


def join(machine: Workstation, root: bool = False) -> None:
    assert json.loads(machine.farm("join", SERVER, "--json", root=root).stdout)["logged_in"]


def call(desk: Workstation, **settings: str) -> tuple[str, list[str]]:
    """What becomes of a compiler call, and why."""
    done = desk.farm("explain", "--json", "--", *GCC, **SETTINGS, **settings)
    told = json.loads(done.stdout)["calls"][0]
    return told["outcome"], [reason["code"] for reason in told["reasons"]]


def check(desk: Workstation, *words: str, **settings: str) -> dict[str, Any]:
    done = desk.farm("doctor", "--json", "--only", "environment", *words, check=False, **SETTINGS, **settings)
    found: dict[str, Any] = json.loads(done.stdout)["results"][-1]
    return found


def run(desk: Workstation, **settings: str) -> str:
    """What `farm run` says."""
    return " ".join(desk.farm("run", "--", *GCC, **SETTINGS, **settings).stderr.split())


def change(desk: Workstation, how: str) -> None:
    """Something happens to the compiler, or to what was packed of it."""
    cache = desk.home / ".cache"
    script = {
        "touched": f"touch {COMPILER}",
        "put back as it was years ago": f"touch -d 2020-01-01 {COMPILER}",
        "archives removed": f"rm {cache}/farm/iceccd/native/*",
        "cache removed": f"rm -r {cache}",
    }[how]
    desk.run("sh", "-c", script, root=True)


@pytest.mark.parametrize("how", ["touched", "archives removed"])
def test_explain_and_doctor_name_it_and_doctor_restarts(mine: Workstation, how: str) -> None:
    assert ("node", []) == call(mine)
    assert "ok" == check(mine)["state"]
    change(mine, how)
    for _ in range(2):  # the archive is there when it is asked for the first time
        assert ("here", ["environment-outdated"]) == call(mine)
    found = check(mine)
    assert ("fail", "farm doctor --fix --only environment") == (found["state"], found["command"])
    assert "/usr/bin/gcc has changed since iceccd started" in found["cause"]
    found = check(mine, "--fix")
    assert ("ok", "Restarted iceccd") == (found["state"], found["fixed"][:16])
    until(lambda: ("node", []) == call(mine), "nothing leaves")


@pytest.mark.parametrize("how", ["put back as it was years ago", "cache removed"])
def test_farm_run_restarts_the_users_own(mine: Workstation, how: str) -> None:
    assert ("node", []) == call(mine)
    change(mine, how)
    told = run(mine)
    assert "Restarting iceccd when no compiler call uses it." in told
    assert "1 job on 1 node, 0 here" in told
    assert "Restarting" not in run(mine)


def test_a_file_that_is_packed_with_it(mine: Workstation) -> None:
    extra = mine.home / "extra.txt"
    extra.write_text("1\n")
    assert ("node", []) == call(mine, ICECC_EXTRAFILES="extra.txt")
    os.utime(extra, (0, 0))
    assert ("here", ["environment-outdated"]) == call(mine, ICECC_EXTRAFILES="extra.txt")
    assert ("node", []) == call(mine)  # without it nothing has changed
    told = run(mine, ICECC_EXTRAFILES="extra.txt")
    assert "or a file of ICECC_EXTRAFILES, has changed since iceccd started" in told
    assert "1 job on 1 node, 0 here" in told
    extra.touch()
    assert "fail" == check(mine, ICECC_EXTRAFILES="extra.txt")["state"]


def test_the_systems_service_is_left_to_root(mine: Workstation) -> None:
    mine.farm("leave")
    join(mine, root=True)
    assert ("node", []) == call(mine)
    change(mine, "touched")
    assert "Restart iceccd: sudo systemctl restart iceccd" in run(mine)
    assert ("here", ["environment-outdated"]) == call(mine)
    assert "sudo systemctl restart iceccd" == check(mine)["command"]
    mine.farm("leave", root=True)
    join(mine)


def test_calls_of_others_are_waited_for(mine: Workstation) -> None:
    assert ("node", []) == call(mine)
    change(mine, "touched")
    argv = mine.argv(sys.executable, "-c", VISITOR, mine.home / ".iceccd.socket")
    other = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None and other.stdout is not None
    other.stdout.readline()
    argv = mine.argv(*FARM, "run", "--", "true", **SETTINGS)
    run = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert run.stderr is not None
    while b"Restarting" not in (line := run.stderr.readline()):
        assert line
    before = daemons(mine)
    assert before
    other.communicate(timeout=PATIENCE)
    run.communicate(timeout=PATIENCE)
    assert run.returncode == 0
    assert not before & daemons(mine)


def daemons(desk: Workstation) -> set[int]:
    return {pid for pid, argv in desk.processes().items() if argv[0].endswith("iceccd")}


def test_the_servers_is_restarted_by_supervisord(tmp_path: Path) -> None:
    """In a virtual lab, by root; what stands in for the compiler is seen by the daemon and by `farm run` alike."""
    with farm_of_two("10.99.53.1", "10.99.53.2") as farm:
        add_node(farm)
        copy = tmp_path / "compiler"
        subprocess.run(["cp", "-p", COMPILER, copy], check=True)
        with_copy = ["sh", "-c", f'mount --bind {copy} {COMPILER} && exec "$@"', "sh"]
        instance, supervisor = Instance.load(farm.home), Supervisor(farm.home)
        replace_daemon(farm)
        environments = farm.server.folder / "own-environments"
        environments.mkdir()
        shutil.chown(environments, "icecc", "icecc")
        argv = ["iceccd", "-n", NETNAME, "-s", farm.address, "-N", farm.submitter, "-b", str(environments)]
        argv += ["-u", "icecc", "--no-remote", "-m", "2"]
        supervisor.converge([Service("iceccd", argv)], [*enter(instance, farm.home), *with_copy])
        try:

            def build() -> str:
                words = ["unshare", "--mount", *with_copy, *farm.argv("--", "gcc", "-c", "part0.c")]
                environment = farm.environment(**SETTINGS)
                done = subprocess.run(
                    words, cwd=farm.sources, env=environment, text=True, capture_output=True, timeout=600, check=True
                )
                return " ".join(done.stderr.split())

            assert "1 job on 1 node, 0 here" in build()
            os.utime(copy)
            told = build()
            assert "/usr/bin/gcc has changed since iceccd started" in told
            assert "1 job on 1 node, 0 here" in told
        finally:
            supervisor.shutdown()


def replace_daemon(farm: Farm) -> None:
    """End the daemon that the lab has started."""
    listed = subprocess.run(["ip", "netns", "pids", farm.server.name], capture_output=True, text=True, check=True)
    pids = listed.stdout.split()
    (process,) = (each for each in map(psutil.Process, map(int, pids)) if farm.submitter in each.cmdline())
    process.terminate()
    process.wait(PATIENCE)
