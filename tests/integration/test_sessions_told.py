"""What a thin client tells of its screen, through the real farmd to the commands; its agent is made up."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.api.client import fetch_status
from farm.node.ports import TELEMETRY_PORT
from tests.integration.test_farmd import HYPHENS, MAC, SERVER, Lab
from tests.lab import namespaces, until

AGENT = """
import http.server, sys
class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(sys.argv[2], "rb").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer((sys.argv[1], int(sys.argv[3])), Agent).serve_forever()
"""
DOWN = f"The server {SERVER} does not answer."


class Desk:
    """A farm with a machine that has booted, whose agent tells what a test wants."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.file = lab.node.folder / "status.json"
        self.began = time.time() - 60

    def boot(self) -> None:
        """Come up as a thin client does."""
        self.tell()
        self.lab.serve(roles=())
        self.lab.farmd()
        self.lab.dhcp()
        self.lab.fetch(f"/images/v1/kernel?mac={HYPHENS}")
        self.lab.configure()
        argv = [self.lab.address(), str(self.file), str(TELEMETRY_PORT)]
        self.lab.node.start("made-up-agent", sys.executable, "-c", AGENT, *argv)

    def tell(self, **session: Any) -> None:
        """Have the agent tell this of its screen."""
        machine = {"farm": "lab", "name": "pc01", "mac": MAC, "uptime": time.time() - self.began, "boot": {"agent": 9}}
        document = {**machine, "roles": {"session": {"ready": True, "greeter": True, **session}}}
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(document))
        new.replace(self.file)

    def farm(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the server."""
        argv = [sys.executable, "-c", "from farm.cli import main; main()", "--home", str(self.lab.home.directory)]
        return self.lab.server.run("env", "COLUMNS=200", *argv, *words, check=False, stdin=subprocess.DEVNULL)

    def json(self, *words: str) -> Any:
        """What a command prints for programs."""
        return json.loads(self.farm(*words, "--json").stdout)

    def log_ins(self) -> list[dict[str, Any]]:
        """The history, newest first."""
        found: list[dict[str, Any]] = self.json("session", "list", "--history")["log_ins"]
        return found


@pytest.fixture
def desk() -> Iterator[Desk]:
    with namespaces(f"{SERVER}/24", "10.99.3.200/24") as (server, node):
        node.run("ip", "address", "flush", "dev", "lab0")
        node.run("ip", "link", "set", "lab0", "address", MAC)
        desk = Desk(Lab(server, node))
        desk.boot()
        yield desk


def log_in(at: float, failed: str = "") -> dict[str, Any]:
    return {"at": at, "user": "alice", "server": SERVER, "failed": failed}


def test_who_sits_there_and_who_did(desk: Desk) -> None:
    at = round(time.time() - 40)
    failed, succeeded = log_in(at - 60, DOWN), log_in(at)
    extras = {"sticks": {"sticks": [{"label": "PHOTOS\x1b[31m", "size": 1 << 30}]}}
    there = {"users": [{"name": "alice", "since": at + 2}], "server": SERVER, "round_trip": 0.0004}
    desk.tell(**there, log_ins=[failed, succeeded], extras=extras)
    until(lambda: desk.lab.machine().users, f"nobody is there: {desk.lab.server.log('farmd')}")

    (machine,) = desk.json("session", "list")["sessions"]
    assert ("pc01", SERVER, 0.0004) == (machine["node"], machine["agent"]["server"], machine["agent"]["round_trip"])
    listed = desk.farm("node", "list").stdout
    assert "alice since " in listed, listed
    assert time.strftime("%H:%M", time.localtime(at + 2)) in listed
    shown = desk.farm("node", "show", "pc01").stdout
    for text in ("0.4 ms to the server and back", f"alice: {DOWN}", "label PHOTOS", "1.0 GiB"):
        assert text in shown, shown
    assert "\x1b[31m" not in shown
    session, before = desk.log_ins()
    assert (at, 0, "") == (session["began"], session["ended"], session["failed"])
    assert (at - 60, at - 60, DOWN) == (before["began"], before["ended"], before["failed"])

    desk.tell(log_ins=[failed, succeeded])
    until(lambda: desk.log_ins()[0]["ended"], "the session lasts")
    kept = desk.lab.home.state / "log-ins.json"
    until(kept.exists, "the history is not written")
    assert 0o600 == stat.S_IMODE(Path(kept).stat().st_mode)
    table = desk.farm("session", "list", "--history", "--since", "1h").stdout.splitlines()
    assert 3 == len(table), table
    assert [DOWN] == [each["failed"] for each in desk.json("session", "list", "--history", "--failed")["log_ins"]]


def test_log_ins_that_fail_for_one_reason_are_a_problem(desk: Desk) -> None:
    now = time.time()
    desk.tell(log_ins=[log_in(now - 20, DOWN), log_in(now - 10, DOWN)])
    until(lambda: any(each.code == "log-ins-fail" for each in fetch_status(desk.lab.home).findings), "all is well")

    status = desk.farm("status")
    assert 3 == status.returncode
    assert f"Log-ins at pc01 fail: {DOWN} Check that {SERVER} is up" in " ".join(status.stdout.split()), status.stdout
    assert f"log-in failed: {DOWN}" in desk.farm("session", "list").stdout
    assert "log-ins-fail" == desk.json("node", "show", "pc01")["node"]["idle"]["code"]

    # What cannot be taken leaves what was known, and farmd running.
    desk.tell(log_ins=[log_in(now)] * 65)
    desk.tell(users="everybody")
    desk.tell(log_ins=[log_in(now - 20, DOWN), log_in(now - 10, DOWN), log_in(now)])
    until(lambda: not any(each.code == "log-ins-fail" for each in fetch_status(desk.lab.home).findings), "it stays")


def test_orders_that_cannot_be_carried_out_say_why(desk: Desk) -> None:
    until(lambda: desk.lab.machine().session, "the machine is not there")
    until(lambda: desk.lab.machine().verified, "the machine is not heard")

    told = desk.farm("node", "message", "pc01", "Hello")
    assert (1, True) == (told.returncode, "failed on the node" in told.stderr), told.stderr
    (outcome,) = desk.json("node", "message", "--all", "Hello")["nodes"]
    assert ("pc01", False, []) == (outcome["node"], outcome["done"], outcome["users"])
    assert outcome["error"]["mend"]
    told = desk.farm("node", "message", "pc01", "two\nlines")
    assert (1, True) == (told.returncode, "control characters" in told.stderr), told.stderr
    assert 2 == desk.farm("node", "message", "Hello").returncode
    assert "There is no node pc99" in desk.farm("node", "message", "pc99", "Hello").stderr
    assert "Nobody is logged in at pc01" in desk.farm("node", "logout", "pc01").stderr

    desk.tell(users=[{"name": "alice", "since": time.time()}])
    until(lambda: desk.lab.machine().users, "nobody is there")
    told = desk.farm("node", "logout", "pc01")
    assert (1, True) == (told.returncode, "Add: --yes" in told.stderr), told.stderr
    told = desk.farm("node", "logout", "pc01", "--yes", "--json")
    assert (1, False) == (told.returncode, json.loads(told.stdout)["nodes"][0]["done"])
