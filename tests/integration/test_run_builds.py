"""What `farm run` knows of builds: their jobs and no others, their trace, their name in the history, their objects."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from farm.api.client import fetch_status
from farm.cli import cli
from farm.errors import FarmError
from farm.virtual.namespace import icecc_folder
from tests.lab import PATIENCE, namespaces, until
from tests.run_lab import Farm, add_node, farm_of_two
from tests.workstation import workstation

SERVER = "10.99.49.1"
NODE = "10.99.49.2"


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with farm_of_two(SERVER, NODE) as found:
        add_node(found)
        yield found


def start(farm: Farm, *argv: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        farm.argv(*argv),
        cwd=farm.sources,
        env=farm.environment(ICECC_PREFERRED_HOST="pc01", **environment),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run_both(
    farm: Farm, folder: Path, scripts: Sequence[str], names: Sequence[str] = ("first", "second")
) -> list[dict[str, Any]]:
    """What two runs at a time wrote."""
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(
                start(
                    farm, "--require-remote", "--json", f"{folder}/{n}.json", "--trace", f"{folder}/{n}.trace",
                    "--name", name, "--", "sh", "-c", script,
                )
            )
            for n, (name, script) in enumerate(zip(names, scripts, strict=True), start=1)
        ]  # fmt: skip
        said = [run.communicate(timeout=PATIENCE)[1] for run in reversed(runs)]
    assert [run.returncode for run in runs] == [0, 0], said
    return [json.loads((folder / f"{n}.json").read_text()) for n in (1, 2)]


def test_of_two_at_a_time_each_counts_its_own_jobs(farm: Farm, tmp_path: Path) -> None:
    """The second one compiles and links while the first one waits for it."""
    (farm.sources / "main.c").write_text("int main(void) { return 0; }\n")
    wait = "n=0; until [ -e {} ] || [ $n -gt 900 ]; do sleep 0.1; n=$((n + 1)); done"
    first = f"gcc -c part0.c -o one.o && touch one; {wait.format('second-done')}"
    second = f"{wait.format('one')}; gcc -c part1.c -o two1.o && gcc -c part2.c -o two2.o"
    second += " && gcc -c main.c -o main.o && gcc main.o two1.o -o prog && touch second-done"
    found = run_both(farm, tmp_path, (first, second))
    assert [each["nodes"]["pc01"]["jobs"] for each in found] == [1, 3]
    assert [each["local"] for each in found] == [0, 1]
    assert [each["complete"] for each in found] == [True, True]
    assert [reason["code"] for reason in found[1]["reasons"]] == ["linking"]
    assert files(tmp_path / "1.trace") == {"part0.c"}
    assert files(tmp_path / "2.trace") == {"part1.c", "part2.c", "main.c"}


def files(trace: Path) -> set[str]:
    """Names of the jobs on nodes."""
    events: list[dict[str, Any]] = json.loads(trace.read_text())["traceEvents"]
    return {event["name"] for event in events if event["ph"] == "X" and event["pid"] > 0}


def test_objects_are_those_of_a_local_build(farm: Farm) -> None:
    # Without the last one DW_AT_producer lists the switches, and icecc adds some for the node.
    flags = "-O2 -Wall -g -gno-record-gcc-switches"
    for folder in ("here", "there"):
        (farm.sources / folder).mkdir()
    script = "for n in 0 1 2 3; do gcc {} -c part$n.c -o {}/part.o && mv {}/part.o {}/part$n.o || exit 1; done"
    local = script.format(flags, "out", "out", "here")
    remote = script.format(flags, "out", "out", "there")
    (farm.sources / "out").mkdir()
    subprocess.run(["sh", "-c", local], cwd=farm.sources, check=True)
    done = farm.run("--require-remote", "--", "sh", "-c", remote, ICECC_PREFERRED_HOST="pc01")
    assert "4 jobs on 1 node, 0 here" in done.stderr
    for n in range(4):
        assert (farm.sources / f"here/part{n}.o").read_bytes() == (farm.sources / f"there/part{n}.o").read_bytes()


@pytest.fixture(scope="module")
def history(farm: Farm) -> Iterator[Callable[..., Any]]:
    """`farm history` of the farm's farmd."""
    process = farm.server.start("farmd", sys.executable, "-m", "farm.daemon", "--home", str(farm.home.directory))

    def up() -> bool:
        with contextlib.suppress(FarmError):
            return fetch_status(farm.home).scheduler.up
        return False

    def ask(*words: str) -> Any:
        done = CliRunner().invoke(cli, ["--home", str(farm.home.directory), "history", *words])
        assert done.exit_code == 0, done.output
        return json.loads(done.output) if "--json" in words else done.output

    until(up, "farmd does not see the scheduler")
    yield ask
    farm.server.stop(process)


Builds = dict[str, tuple[int, int]]


def builds(history: Callable[..., Any], *names: str) -> Builds:
    """Name → jobs on nodes and here, of the latest builds of these names, which exist."""
    found: dict[str, tuple[int, int]] = {}
    for build in history("--json")["builds"]:
        if build["name"] in names:
            found.setdefault(build["name"], (build["remote"], build["own"] + build["local"]))
    return found


def test_each_run_is_a_build_with_a_name(farm: Farm, history: Callable[..., Any]) -> None:
    """Also two within the half minute that ends a build of another kind; what follows a run is part of it."""

    def compiled(*options: str) -> None:
        done = farm.run(*options, "--", "gcc", "-c", "part0.c", "-o", "a b.o", ICECC_PREFERRED_HOST="pc01")
        assert "1 job on 1 node" in done.stderr

    compiled()
    compiled("--tag", "nightly")
    farm.run("--name", "nothing", "--", "true")
    inner = shlex.join(farm.argv("--name", "inner", "--", "gcc", "-c", "part2.c", "-o", "inner.o"))
    farm.run("--name", "outer", "--", "sh", "-c", f"gcc -c part1.c && {inner}", ICECC_PREFERRED_HOST="pc01")
    compiled("--name", "nightly")
    wanted: Builds = {"nightly": (1, 0), "outer": (2, 0), "sources/gcc": (1, 0)}
    names = (*wanted, "nothing", "inner")
    until(lambda: builds(history, *names) == wanted, "a run is not a build")

    def newest() -> list[dict[str, Any]]:
        return [build for build in history("--json")["builds"] if build["name"] in ("nightly", "sources/gcc")]

    told = [("nightly", "nightly"), ("nightly", "nightly"), ("sources/gcc", "gcc -c part0.c -o 'a b.o'")]
    until(lambda: told == [(build["name"], build["tag"]) for build in newest()], "two runs are one build")
    outside = {"PATH": f"/usr/lib/icecc/bin:{os.environ['PATH']}", "ICECC_PREFERRED_HOST": "pc01"}
    environment = farm.environment(ICECC_TEST_SOCKET=str(icecc_folder(farm.home) / "iceccd.socket"), **outside)
    farm.server.run("gcc", "-c", "part1.c", "-o", "outside.o", cwd=farm.sources, env=environment)
    until(lambda: builds(history, "nightly") == {"nightly": (2, 0)}, "what follows a run is not part of it")
    compared = history("compare", "nightly", "nightly", "--json")
    assert [build["id"] for build in newest()[1::-1]] == [compared[one]["build"]["id"] for one in ("a", "b")]
    lines = [line.split() for line in history("compare", "nightly", "nightly").splitlines()]
    assert ["name", "nightly", "nightly"] in lines
    assert "nightly" in history("show", "nightly")


def test_two_runs_that_make_the_same_files_at_the_same_time(
    farm: Farm, history: Callable[..., Any], tmp_path: Path
) -> None:
    """One user, one folder, the same names: each counts its own, and so does the history."""
    (farm.sources / "main.c").write_text("int main(void) { return 0; }\n")

    def script(mine: str, other: str, parts: str) -> str:
        wait = f"touch begun; n=0; until [ -e ../{other}/begun ] || [ $n -gt 900 ]; do sleep 0.1; n=$((n + 1)); done"
        make = "gcc -c ../part$n.c -o part.o && gcc ../main.c -o prog"
        return f"mkdir {mine} && cd {mine}; {wait}; for n in {parts}; do {make} || exit 1; done"

    found = run_both(
        farm, tmp_path, (script("left", "right", "0 1 2"), script("right", "left", "0")), ("left", "right")
    )
    assert [(3, 3), (1, 1)] == [(each["nodes"]["pc01"]["jobs"], each["local"]) for each in found]
    for number, jobs in ((1, 6), (2, 2)):
        events: list[dict[str, Any]] = json.loads((tmp_path / f"{number}.trace").read_text())["traceEvents"]
        command = (0, 0)
        # What was done here is in it as far as the scheduler has told by then, and nothing of the other run's.
        assert jobs >= sum(event["ph"] == "X" and (event["pid"], event["tid"]) != command for event in events), events

    def apart() -> bool:
        """On a busy machine the news of a link may come after both have ended: then it is of either."""
        known = builds(history, "left", "right")
        on_nodes = {name: remote for name, (remote, _) in known.items()}
        return on_nodes == {"left": 3, "right": 1} and sum(here for _, here in known.values()) == 4

    until(apart, "the history mixes two runs")


def test_a_file_of_the_last_build_is_explained(farm: Farm, history: Callable[..., Any]) -> None:
    """From icecc's log, what the scheduler told, and what the history remembers of the build before."""

    def explain(*words: str) -> Result:
        argv = ["--home", str(farm.home.directory), "explain", *words]
        return CliRunner().invoke(cli, argv, env={"XDG_STATE_HOME": str(farm.state)})

    (farm.sources / "linked.c").write_text("int main(void) { return 0; }\n")
    script = "gcc -c broken.c; gcc -c part0.c -o part0.o; gcc linked.c -o linked"
    wanted: Builds = {"explained": (2, 2)}
    for _ in range(2):
        farm.run("--name", "explained", "--", "sh", "-c", script, ICECC_PREFERRED_HOST="pc01")
        until(lambda: builds(history, "explained") == wanted, "the build is not known")
    told = explain("sources/part0.c").output
    assert "part0.c was compiled on pc01 in " in told
    assert "pc01 compiled it" in told
    assert re.search(r"Build \d+ of explained \(.*\): it took .* on pc01", told), told
    told = explain("broken.c").output
    assert "broken.c went to pc01, then this machine did it again" in told
    assert "compiler-output" in told
    assert re.search(r"Build \d+ of explained \(.*\): it (failed on|went to) pc01", told), told  # who is heard first
    assert "no-dash-c" in explain("./linked").output
    found = json.loads(explain("--json", "part0.o").output)
    assert [("part0.c", "pc01")] == [(each["call"]["file"], each["call"]["node"]) for each in found["calls"]]
    assert ("explained", 1) == (found["run"]["name"], len(found["earlier"]))
    missing = explain("make")
    assert isinstance(missing.exception, FarmError)
    assert "explain -- COMMAND" in missing.exception.fix


def test_a_log_of_the_users_own_is_left_alone(farm: Farm, tmp_path: Path) -> None:
    """Jobs are then counted by the scheduler's word alone."""
    own, record = tmp_path / "icecc.log", tmp_path / "record.json"
    done = farm.run(
        "--json", str(record), "--", "gcc", "-c", "part3.c", "-o", "d.o",
        ICECC_PREFERRED_HOST="pc01", ICECC_LOGFILE=str(own), ICECC_DEBUG="info",
    )  # fmt: skip
    assert "1 job on 1 node, 0 here" in done.stderr
    assert "invoked as" not in own.read_text()
    found = json.loads(record.read_text())
    assert (found["complete"], found["failed_over"], found["nodes"]["pc01"]["jobs"]) == (True, None, 1)


CONTROL_PORT_CLOSED = """
table inet farm {
  chain input {
    type filter hook input priority 0;
    iifname "lab0" tcp dport 8766 reject with tcp reset
  }
}
"""


def test_on_a_workstation_that_a_user_has_joined(tmp_path: Path) -> None:
    """No root, no farm.yaml, nothing but the package and icecc; and a server that keeps its control port to itself."""
    with namespaces("10.99.50.1/24", "10.99.50.2/24") as (server, desk):
        server.run("nft", CONTROL_PORT_CLOSED)
        server.scheduler()
        server.iceccd("pc01", "10.99.50.1", "-m", "2")
        with workstation(desk) as machine:
            machine.farm("join", "10.99.50.1")
            source = machine.home / "part.c"
            source.write_text("int part(void) { return 1; }\n")
            done = machine.farm(
                "run", "--json", str(machine.home / "record.json"), "--require-remote", "--",
                "gcc", "-c", str(source), "-o", str(machine.home / "part.o"), ICECC_PREFERRED_HOST="pc01",
            )  # fmt: skip
            assert "1 job on 1 node, 0 here" in done.stderr
            assert "sent to the node (" in done.stderr
            assert "once: the next build will be quicker." in done.stderr
            assert "the farm has 2 slots" in machine.farm("env", "--why").stderr
            found = json.loads((machine.home / "record.json").read_text())
            assert (found["nodes"]["pc01"]["jobs"], found["obstacle"]) == (1, "")
            machine.farm("leave")
