"""A fat client compiles in the virtual lab: slots go and return as a user comes and goes, while a build runs."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from farm.virtual.own_root import OwnRoot
from tests.e2e.conftest import Lab, environment
from tests.lab import PATIENCE, until
from tests.slow.test_fat_client import client, on_node, server
from tests.slow.test_thin_client import NAME, log_in, node, told

__all__ = ["client", "server"]
SOURCE = "int part{n}(int a) {{ return a + {n}; }}\n"


def slots(lab: Lab) -> tuple[object, ...]:
    """How many it offers, whether somebody uses it, and whether its spare daemon is logged in."""
    compile: dict[str, Any] = node(lab)["compile"]
    agent, spare = compile["agent"] or {}, compile["spare"] or {"online": False}
    return agent.get("offered"), agent.get("in_use"), spare["online"]


@contextlib.contextmanager
def building(lab: Lab, folder: Path, record: Path) -> Iterator[None]:
    """A build without end, with more jobs at a time than the machine has slots; it must not fail."""
    folder.mkdir()
    for n in range(12):
        (folder / f"part{n}.c").write_text(SOURCE.format(n=n))
    objects = " ".join(f"part{n}.o" for n in range(12))
    (folder / "Makefile").write_text(f"all: {objects}\n")
    loop = f"until test -e {folder}/stop; do make -s -B -C {folder} -j4 || exit 1; done"
    argv = lab.argv("run", "--json", record, "--", "sh", "-c", loop)
    build = subprocess.Popen(
        argv, env=environment(lab.home), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield
    finally:
        (folder / "stop").touch()
        said, _ = build.communicate(timeout=2 * PATIENCE)
    assert build.returncode == 0, said


def test_slots_go_and_return_while_a_build_runs(client: Lab, server: OwnRoot, tmp_path: Path) -> None:
    until(lambda: told(client)["greeter"], "there is no greeter")
    until(lambda: slots(client) == (2, False, True), "not all slots are offered")
    assert on_node(client, "cat /sys/fs/cgroup/iceccd.slice/cpu.idle").strip() == "1"
    most = int(on_node(client, "cat /sys/fs/cgroup/iceccd.slice/memory.max"))
    assert 512 << 20 < most < 1 << 30, "of 2 GiB a session keeps one"
    with building(client, tmp_path / "sources", tmp_path / "record.json"):
        until(lambda: node(client)["compile"]["spare"]["jobs_done"] > 0, "the spare slot gets no jobs")
        log_in(client)
        until(lambda: slots(client) == (1, True, False), "the slot does not go")
        done = node(client)["compile"]["host"]["jobs_done"]
        until(lambda: node(client)["compile"]["host"]["jobs_done"] > done, "the other slot gets no jobs")
        assert on_node(client, "cat /proc/$(pgrep -o -x iceccd)/oom_score_adj").strip() == "1000"
        client.farm("node", "logout", NAME, "--yes")
        until(lambda: slots(client) == (2, False, True), "the slot does not return")
    found = json.loads((tmp_path / "record.json").read_text())
    # What only waits for the spare slot at that moment is compiled by its submitter; nothing else fails.
    assert found["failed"] == found["failed_over"] <= 2
    assert {NAME, f"{NAME}.spare"} <= {name for name, each in found["nodes"].items() if each["jobs"]}
