"""The first ten minutes of two developers: one joins a farm, one has icecream that works. Each command they type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farm.scheduler.control import list_nodes
from tests.lab import NETNAME, Namespace, namespaces, until
from tests.terminal import Terminal
from tests.workstation import ADVERTISE, FARM, NAME, Workstation, workstation

SERVER, OFFICE, DESK = "10.99.54.1", "10.99.54.2", "10.99.54.3"
PLAIN = "ICECREAM"
"""The netname of an icecream that nobody has configured."""
UNPACKED = {"ICECC_ENV_COMPRESSION": "none"}
"""To pack a compiler well takes half a minute."""
FOREIGN = ("IMAGE", "CPU", "FOR ", "DONE")
"""Columns that only a farm's server can fill."""


@dataclass(frozen=True)
class Developer:
    """Somebody at the desk, whom no command may tell to start a server."""

    desk: Workstation
    project: Path

    def types(self, *words: str | Path, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        chdir = ("env", "--chdir", str(self.project))
        settings = {"COLUMNS": "120", **UNPACKED, **environment}
        done = self.desk.run(*chdir, *FARM, *words, check=False, **settings)
        assert code == done.returncode, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "farm up" not in done.stdout + done.stderr, words
        assert "Traceback" not in done.stderr
        return done


@dataclass(frozen=True)
class Room:
    """A farm and a plain icecream on one network, each with a node, and a desk that knows neither."""

    farm: Namespace
    office: Namespace
    developer: Developer


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with namespaces(f"{SERVER}/24", f"{OFFICE}/24", f"{DESK}/24") as (farm, office, place), workstation(place) as desk:
        farm.start("scheduler", "icecc-scheduler", "-n", NETNAME, "-r", "-vvv")
        office.start("scheduler", "icecc-scheduler", "-r", "-vvv")
        farm.start("advertise", sys.executable, "-c", ADVERTISE.format(server=SERVER))
        for server, name in ((farm, "pc01"), (office, "builder")):
            server.wait_for(8765)
            server.iceccd(name, server.address, "-m", "2")
        until(lambda: "advertised" in farm.log("advertise"), "the farm is not advertised")
        for server in (farm, office):
            until(lambda server=server: ready(server), "no node gets jobs")
        project = desk.folder / "project"
        project.mkdir()
        for n in range(3):
            (project / f"part{n}.c").write_text(f'#include <stdio.h>\nint part{n}(void) {{ return puts("{n}"); }}\n')
        (project / "Makefile").write_text("all: part0.o part1.o part2.o\n")
        subprocess.run(["chown", "-R", "nobody", str(project)], check=True)
        yield Room(farm, office, Developer(desk, project))


def ready(server: Namespace) -> bool:
    """Whether a node at its scheduler gets jobs."""
    return any(each.load < 1000 and each.max_jobs for each in server.gather(list_nodes(server.address, 8765)))


def looks_around(someone: Developer, node: str, sentence: str) -> None:
    """What looks at the farm or scheduler shows it, and says once which that is."""
    seen = someone.types("status")
    assert node in seen.stdout
    assert not [column for column in FOREIGN if column in seen.stdout]
    assert f"{sentence}\n" == seen.stderr
    picture = someone.project / "top.svg"
    assert f"{sentence}\n" == someone.types("top", "--screenshot", picture, "--after", "0.5", "--view", "nodes").stderr
    drawn = picture.read_text()
    assert node in drawn
    assert "Sessions" not in drawn


def builds(someone: Developer, node: str) -> None:
    """A build goes to the node, and what it was is explained."""
    for made in someone.project.glob("*.o"):
        made.unlink()
    built = someone.types("run", "--", "make", ICECC_PREFERRED_HOST=node)
    assert "farm: 3 jobs on 1 node, 0 here" in built.stderr, built.stderr
    assert "3 on a node" in someone.types("explain", "--last").stdout


def is_told_what_works(someone: Developer, here: str) -> None:
    """Where a scheduler has no answer, one clear message says why and what to type instead."""
    refused = someone.types("history", code=1).stderr
    assert "There is no record of builds" in refused
    assert here in refused
    assert "farm explain --last" in refused
    refused = someone.types("node", "kick", "pc01", code=1).stderr
    assert "Orders about nodes need a farm that is up here, or a scheduler that is named." in refused


def test_the_developer_who_joins(room: Room) -> None:
    someone = room.developer
    offered = someone.types("join", code=1)
    assert f"farm join {SERVER}" in offered.stderr
    assert "Joined test" in someone.types("join", "test").stdout
    looks_around(someone, "pc01", f"Looking at farm test ({SERVER}), which this machine has joined.")
    quiet = someone.types("node", "list", "--json")
    assert (["pc01"], "") == ([node["name"] for node in json.loads(quiet.stdout)["nodes"]], quiet.stderr)
    assert "" == someone.types("jobs", "--quiet").stderr
    builds(someone, "pc01")
    assert "export FARM_JOBS=" in someone.types("env").stdout
    is_told_what_works(someone, f"farm test ({SERVER})")
    assert "iceccd" in someone.types("logs").stdout
    assert someone.types("logs", "iceccd", "-n", "1").stdout
    assert f"on its server {SERVER}" in someone.types("logs", "scheduler", code=1).stderr
    for words in (("node", "reboot", "pc01"), ("session", "list")):
        assert "works only on a farm's server" in someone.types(*words, code=1).stderr
    someone.types("leave")


def test_the_developer_who_has_icecream(room: Room) -> None:
    someone, desk = room.developer, room.developer.desk
    desk.run("/etc/init.d/iceccd", "start", root=True)
    until(lambda: NAME in [each.name for each in room.office.gather(list_nodes(OFFICE, 8765))], "iceccd stays away")
    scheduler = f"the scheduler at {OFFICE} (netname {PLAIN})"
    looks_around(someone, "builder", f"Looking at {scheduler}, which this machine's iceccd uses.")
    assert PLAIN in someone.types("scheduler").stdout
    builds(someone, "builder")
    assert "failed" not in someone.types("doctor", "--only", "iceccd-login").stdout
    explained = someone.types("explain", "--", "gcc", "-c", "part0.c", ICECC_PREFERRED_HOST="builder")
    assert "part0.c was compiled on builder" in explained.stderr
    is_told_what_works(someone, scheduler)
    assert f"Joined {PLAIN}" in someone.types("join", "--netname", PLAIN.lower()).stdout
    assert "which this machine has joined" in someone.types("status").stderr
    someone.types("leave")
    assert "No farm and no scheduler of netname other" in someone.types("join", "--netname", "other", code=1).stderr
    desk.run("/etc/init.d/iceccd", "stop", root=True)


def test_one_of_several_is_asked_for_and_never_guessed(room: Room) -> None:
    someone = room.developer
    until(lambda: not someone.desk.processes(), "an iceccd is left")
    refused = someone.types("status", code=1).stderr
    assert f"They are: test at {SERVER}, {PLAIN} at {OFFICE}." in refused
    assert f"--scheduler {SERVER}" in refused
    assert "pc01" in someone.types("node", "list", "--netname", NETNAME).stdout
    terminal = Terminal(someone.desk.argv(*FARM, "status", TERM="xterm"), None, dict(os.environ), (120, 30))
    try:
        terminal.wait_for("Look at number")
        terminal.type("2\n")
        terminal.wait_for(f"Looking at the scheduler at {OFFICE} (netname {PLAIN}), which answered a broadcast.")
        terminal.wait_for("builder")
        assert 0 == terminal.end()
    finally:
        terminal.close()


def test_where_there_is_no_scheduler_a_build_goes_on_here(room: Room) -> None:
    someone, desk = room.developer, room.developer.desk
    until(lambda: not desk.processes(), "an iceccd is left")
    desk.run("iceccd", "-d", "-u", "icecc", "-b", "/var/cache/icecc", "-n", "nowhere", root=True)
    until(lambda: answers(desk), "iceccd does not listen")
    alone = someone.types("run", "--", "true").stderr
    assert "connected to no scheduler (it looks for netname nowhere). Compiling on this machine alone." in alone
    refused = someone.types("join", "--status", code=1).stderr
    assert "This machine's iceccd uses no scheduler." in refused
    desk.run("/etc/init.d/iceccd", "stop", root=True)


def answers(desk: Workstation) -> bool:
    """Whether the system's iceccd listens."""
    return desk.run("test", "-S", "/run/icecc/iceccd.socket", check=False).returncode == 0
