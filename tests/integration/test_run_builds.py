"""What `farm run` knows of builds: their jobs and no others, their trace, their name in the history, their objects."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farm.api.answers import Builds
from farm.api.client import fetch_status
from farm.errors import FarmError
from farm.history.build_records import Build
from farm.unix_http import UnixHTTPConnection
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


def run_both(farm: Farm, folder: Path, scripts: Sequence[str]) -> list[dict[str, Any]]:
    """What two runs at a time wrote."""
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(
                start(
                    farm, "--require-remote", "--json", f"{folder}/{n}.json", "--trace", f"{folder}/{n}.trace",
                    "--", "sh", "-c", script,
                )
            )
            for n, script in enumerate(scripts, start=1)
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


def builds(farm: Farm) -> list[Build]:
    with contextlib.closing(UnixHTTPConnection(farm.home.farmd_socket, PATIENCE)) as connection:
        connection.request("GET", "/builds")
        return msgspec.json.decode(connection.getresponse().read(), type=Builds).builds


def compiled(farm: Farm, *options: str) -> None:
    farm.run(*options, "--", "gcc", "-c", "part0.c", "-o", "a b.o", ICECC_PREFERRED_HOST="pc01")


def test_the_history_has_a_name_for_the_build(farm: Farm) -> None:
    process = farm.server.start("farmd", sys.executable, "-m", "farm.daemon", "--home", str(farm.home.directory))

    def up() -> bool:
        with contextlib.suppress(FarmError):
            return fetch_status(farm.home).scheduler.up
        return False

    try:
        until(up, "farmd does not see the scheduler")
        compiled(farm)
        until(lambda: [build.tag for build in builds(farm)] == ["gcc -c part0.c -o 'a b.o'"], "it has no tag")

        def both() -> bool:
            """Unless so much time passes between the two that they are two builds."""
            compiled(farm)
            compiled(farm, "--tag", "nightly")
            until(lambda: "nightly" in builds(farm)[0].tag, "it has no other tag")
            return builds(farm)[0].tag.endswith("; nightly")

        until(both, "two tags are not those of one build")
        farm.run("--tag", "nothing", "--", "true")
        assert builds(farm)[0].tag.endswith("; nightly")
    finally:
        farm.server.stop(process)


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
            assert "the farm has 2 slots" in machine.farm("env", "--why").stderr
            found = json.loads((machine.home / "record.json").read_text())
            assert (found["nodes"]["pc01"]["jobs"], found["obstacle"]) == (1, "")
            machine.farm("leave")
