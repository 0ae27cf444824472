"""The life of a server: alerts, a backup that another computer takes over, another release's record, its logs."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from farm.home import Home
from farm.image.store import Store
from farm.instance import Instance
from farm.supervisor import Supervisor
from tests.lab import PATIENCE, Namespace, namespaces, until
from tests.made_up_store import add_version

ALERTS = """
alerts:
  - command: [{folder}/tell, {folder}/told]
  - url: http://10.99.71.9:{port}/hook
    events: [problem]
  - command: [{folder}/none]
    events: [node-lost]
"""


class Server:
    """A farm on a real interface, and what its alerts have told."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        self.home = Home.at(folder / "home")
        self.home.create()
        self.posted: list[bytes] = []
        self._hook = namespace.call(self._listen)
        yaml = (
            f"name: life{os.getpid()}\ninterface: {namespace.interface}\naddress: 10.99.71.9/24\n"
            "dhcp: {first: 10.99.71.50, last: 10.99.71.60}\n"
        )
        self.home.config.write_text(yaml + ALERTS.format(folder=folder, port=self._hook.server_address[1]))
        (folder / "tell").write_text('#!/bin/sh\ncat >> "$1"\nid -un >> "$1.user"\n')
        (folder / "tell").chmod(0o755)
        add_version(Store(self.home.images), "v1", 1)
        Store(self.home.images).use("v1")
        namespace.run("ip", "address", "flush", "dev", namespace.interface, "scope", "global")

    def _listen(self) -> http.server.HTTPServer:
        posted = self.posted

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        hook = http.server.HTTPServer(("0.0.0.0", 0), Hook)
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        return hook

    def farm(self, *words: str, code: int = 0) -> str:
        """Run a command of the farm; what it says on both streams."""
        argv = [*self.namespace.as_server, sys.executable, "-m", "farm", "--home", str(self.home.directory)]
        environment = {name: value for name, value in os.environ.items() if name != "FARM_IMAGES"}
        done = subprocess.run(
            [*argv, *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        assert code == done.returncode, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def told(self) -> list[tuple[str, str, str]]:
        """Events, with what they are about and their codes, that the command got."""
        path = self.folder / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        events = [json.loads(line) for line in lines]
        return [(each["event"], each["about"], each["code"]) for each in events]

    def pids(self) -> dict[str, int]:
        """Of the services that run."""
        return {each.name: each.pid for each in Supervisor(self.home).status()}

    def close(self) -> None:
        self.farm("down")
        self._hook.shutdown()
        self._hook.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="farm-test-", dir="/var/tmp"))
    folder.chmod(0o777)
    with namespaces("10.99.71.1/24", "10.99.71.2/24") as (here, _):
        server = Server(here, folder)
        try:
            server.farm("up")
            yield server
        finally:
            server.close()
            shutil.rmtree(folder)


def down(service: str, event: str = "problem") -> tuple[str, str, str]:
    """The alert that a service is down, or no longer is."""
    return event, service, "service-down"


def test_alerts_are_told_once_whatever_becomes_of_farmd(server: Server) -> None:
    supervisor = Supervisor(server.home)
    for service in ("iceccd", "nginx"):
        supervisor.stop(service)
    until(lambda: {down("iceccd"), down("nginx")} <= {*server.told()}, "no alert of services that are down")
    supervisor.start("iceccd")
    until(lambda: down("iceccd", "problem-over") in server.told(), "no alert that a service is there again")
    until(lambda: sum(b"service-down" in each for each in server.posted) == 2, "no alerts by POST")
    assert {"nobody"} == {*(server.folder / "told.user").read_text().split()}

    supervisor.restart("farmd")
    supervisor.stop("iceccd")
    until(lambda: server.told().count(down("iceccd")) == 2, "farmd tells nothing any more")

    assert 1 == server.told().count(down("nginx"))
    until(lambda: sum(b"service-down" in each for each in server.posted) == 3, "no alert by POST")
    for service in ("iceccd", "nginx"):
        supervisor.start(service)
    assert {b"problem"} == {json.loads(each)["event"].encode() for each in server.posted}


def test_each_receiver_can_be_tried_and_doctor_names_the_one_that_is_not_there(server: Server) -> None:
    said = server.farm("alerts", "test", code=3)

    assert f"{server.folder}/tell: OK" in said
    assert "http://10.99.71.9: OK" in said
    assert f"{server.folder}/none: [Errno 2] No such file or directory" in said
    assert "1 of 3 receivers did not get the alert." in said
    assert ("test", "", "") in server.told()
    found = server.farm("doctor", "--only", "alerts")
    assert f"{server.folder}/none, which alerts in farm.yaml names, is not a program that can be run." in found


def test_every_log_is_bounded_and_farm_disk_says_so(server: Server) -> None:
    by_supervisord = set(
        re.findall(r"stdout_logfile=.*/(.+)\n", (server.home.runtime / "supervisord.conf").read_text())
    )
    by_farmd = {"dnsmasq.log", "nginx-access.log", "nginx-error.log"}

    names = {path.name for path in server.home.logs.iterdir()}

    assert names - {"supervisord.log"} <= by_supervisord | by_farmd
    parts = {part["name"]: part for part in json.loads(server.farm("disk", "--json"))["parts"]}
    assert "Next boots get it." == parts["v1"]["why"]
    assert {"history", "logs of services", "v1"} <= {*parts}


def test_a_record_of_an_earlier_release_is_taken_over_without_a_restart(server: Server) -> None:
    before = server.pids()
    earlier = msgspec.json.decode(Instance.path(server.home).read_bytes())
    for key in ("unverified", "exports", "roles"):
        earlier.pop(key, None)
    Instance.path(server.home).write_bytes(msgspec.json.encode(earlier))
    (server.home.state / "alerts.json").unlink(missing_ok=True)

    server.farm("up")

    assert before == server.pids()


def test_a_later_releases_farm_is_left_alone_and_another_computer_takes_it_over(server: Server) -> None:
    before, file, other = server.pids(), server.folder / "farm.tar", server.folder / "other"
    key = (server.home.state / "ssh" / "id_ed25519").read_bytes()
    server.farm("backup", "--images", str(file))
    _write_as_a_later_release(server.home)

    said = server.farm("up", code=1)
    assert "Another release of the farm's programs brought the farm up" in said
    assert "hovercraft" in said
    assert "The farm is up, so nothing was restored." in server.farm("restore", str(file), code=1)
    assert before == server.pids()

    # As the advice says, without the record.
    server.farm("down", "--keep-nodes")
    interface = server.namespace.interface  # has another name there
    for words in (["set", interface, "down"], ["set", interface, "name", "enp9s0"], ["set", "enp9s0", "up"]):
        server.namespace.run("ip", "link", *words)
    server.home = Home.at(other)
    said = server.farm("restore", str(file))
    assert f"farm.yaml names the interface {interface}, which this computer does not have." in said
    assert "enp9s0" in said
    server.farm("restore", str(file), "--interface", "enp9s0")
    server.farm("up")
    assert key == (server.home.state / "ssh" / "id_ed25519").read_bytes()
    record = Instance.load(server.home)
    assert ("enp9s0", {"icecream-node": "v1"}) == (record.interface, record.images)


def _write_as_a_later_release(home: Home) -> None:
    record = msgspec.json.decode(Instance.path(home).read_bytes())
    record["config"]["nodes"]["hovercraft"] = True
    for folder in (home.runtime, home.state):
        (folder / Instance.path(home).name).write_bytes(msgspec.json.encode(record))
