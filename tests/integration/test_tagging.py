"""A build on a workstation gets its name in the farm's history: over the network, by the farm's API and its token."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from farm.config import FIRST_KIND, ApiConfig, Config
from farm.daemon.access import token_path
from farm.home import Home
from farm.instance import Instance
from farm.scheduler.control import list_nodes
from tests.lab import Namespace, namespaces, until
from tests.workstation import Workstation, workstation

SERVER, DESK = "10.99.42.1", "10.99.42.2"
PORT = 8070


class Server:
    """A farm with its real farmd, which answers on the network and says so by zeroconf, and a node."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.home = Home.at(namespace.folder / "home")
        self.home.create()
        config = Config(name="lab", address=f"{SERVER}/24", api=ApiConfig(port=PORT))
        Instance(config=config, interface="lab0", images={FIRST_KIND: "v1"}, started=time.time() - 1).save(self.home)
        namespace.start("scheduler", "icecc-scheduler", "-n", config.netname, "-r", "-vvv")
        namespace.wait_for(8765)
        namespace.start("farmd", sys.executable, "-m", "farm.daemon", "--home", str(self.home.directory))
        namespace.wait_for(PORT)
        namespace.iceccd("pc01", SERVER, "-m", "2")
        until(lambda: [one for one in namespace.gather(list_nodes(SERVER, 8765)) if one.load < 1000], "no node")

    @property
    def token(self) -> str:
        return token_path(self.home).read_text().strip()

    def builds(self) -> list[dict[str, Any]]:
        argv = ["curl", "-sS", "--unix-socket", str(self.home.farmd_socket), "http://localhost/builds?limit=50"]
        found: list[dict[str, Any]] = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)["builds"]
        return found


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Server, Workstation]]:
    with namespaces(f"{SERVER}/24", f"{DESK}/24") as (server, desk), workstation(desk) as machine:
        yield Server(server), machine


def test_a_build_elsewhere_is_named_by_whoever_has_the_token(lab: tuple[Server, Workstation]) -> None:
    server, desk = lab
    joined = json.loads(desk.farm("join", "lab", "--json").stdout)["membership"]
    assert f"http://{SERVER}:{PORT}" == joined["api"]
    (desk.home / "part.c").write_text("int part(void) { return 1; }\n")

    def build(tag: str, token: str = "") -> str:
        words = ("run", "--tag", tag, "--", "gcc", "-c", "part.c")
        done = desk.farm(*words, ICECC_PREFERRED_HOST="pc01", FARM_API_TOKEN=token)
        assert "1 job on 1 node" in done.stderr
        return done.stderr

    quiet = [build("nobody's"), build("a stranger's", "x"), build("nonsense", "\xff\n")]
    named = build("release 1\x1b[1m", server.token)
    assert all("token" not in text for text in (*quiet, named))

    def names() -> set[str]:
        return {each["name"] for each in server.builds() if each["submitter"] == joined["submitter"]}

    until(lambda: any(names()), "the build has no name")
    assert {"release 1 [1m", ""} == names()
    assert server.token not in json.dumps(server.builds())
    (path,) = (desk.home / ".local/state/farm").glob("run-*.json")
    record = path.read_text()
    assert server.token not in record + json.dumps(joined)
