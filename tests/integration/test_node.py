"""What runs on a node, against the real nginx, dnsmasq, iceccd and multicast DNS, in namespaces of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from zeroconf import IPVersion, Zeroconf

from farm.config import Config
from farm.home import Home
from farm.netboot.render import nginx_conf
from farm.node.agent import MAX_REQUESTS
from tests.lab import PATIENCE, Namespace, namespaces, until

SERVER, NODE = "10.99.2.1", "10.99.2.7"
MAC = "52:54:00:00:00:01"
SETTINGS = {
    "schema": 1,
    "farm": "lab",
    "name": "pc01",
    "netname": "icecream-test",
    "scheduler": f"{SERVER}:8765",
    "slots": 3,
    "telemetry_port": 9105,
    "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfarm jürgen"],
    "roles": ["compile"],
}


@pytest.fixture
def lab() -> Iterator[tuple[Namespace, Namespace]]:
    with namespaces(f"{SERVER}/24", f"{NODE}/24") as (server, node):
        node.run("ip", "link", "set", "lab0", "address", MAC)
        yield server, node


@pytest.fixture
def served(lab: tuple[Namespace, Namespace]) -> Path:
    """The tree that the server serves; nginx and dnsmasq are started by the tests."""
    tree = lab[0].folder / "run" / "http"
    (tree / "nodes").mkdir(parents=True)
    (tree / "nodes" / "52-54-00-00-00-01.json").write_text(json.dumps(SETTINGS))
    (tree / "nodes" / "default.json").write_text(json.dumps({**SETTINGS, "name": None, "slots": 0}))
    return tree


def nginx(server: Namespace) -> None:
    home = Home.at(server.folder)
    home.logs.mkdir(parents=True)
    (home.runtime / "nginx.conf").write_text(nginx_conf(Config(name="lab", address=f"{SERVER}/24"), home))
    server.start("nginx", "nginx", "-c", str(home.runtime / "nginx.conf"))
    server.wait_for(8069)


def node_root(node: Namespace) -> Path:
    root = node.folder / "root"
    (root / "proc").mkdir(parents=True)
    (root / "run/farm").mkdir(parents=True)
    cmdline = f"quiet BOOTIF=01-52-54-00-00-00-01 farm.server={SERVER} farm.http=8069 farm.image=v1 farm.root=aoe:e7.1"
    (root / "proc/cmdline").write_text(cmdline)
    (root / "run/farm/boot").write_text("kernel 1.25\nnic 2.50\nroot 3.75\n")
    return root


def argv(verb: str, root: Path) -> list[str]:
    """As on a node, with a host name of its own."""
    return ["unshare", "--uts", sys.executable, "-m", "farm.node", verb, "--root", str(root)]


def configure(node: Namespace) -> Path:
    root = node_root(node)
    node.run(*argv("configure", root))
    return root


def test_of_two_cards_with_one_address_the_initrds_is_the_nodes(lab: tuple[Namespace, Namespace], served: Path) -> None:
    server, node = lab
    nginx(server)
    node.run("ip", "link", "add", "aaa0", "address", MAC, "type", "veth", "peer", "name", "aaa1")
    root = node_root(node)
    (root / "run/farm/boot-nic").write_text("lab0\n")

    node.run(*argv("configure", root))

    assert "lab0" == json.loads((root / "run/farm/node.json").read_text())["nic"]


def test_a_node_becomes_what_the_server_says(lab: tuple[Namespace, Namespace], served: Path) -> None:
    server, node = lab
    nginx(server)
    root = configure(node)
    assert (root / "etc/hostname").read_text() == "pc01\n"
    assert "127.0.1.1 pc01\n" in (root / "etc/hosts").read_text()
    keys = root / "root/.ssh/authorized_keys"
    assert keys.read_text() == SETTINGS["authorized_keys"][0] + "\n"  # type: ignore[index]
    assert keys.stat().st_mode & 0o777 == 0o600
    assert (root / "var/cache/icecc").owner() == "icecc"
    assert (root / "run/farm/iceccd.env").read_text().splitlines() == [
        f'FARM_SCHEDULER="{SERVER}:8765"',
        'FARM_NETNAME="icecream-test"',
        'FARM_NAME="pc01"',
        'FARM_SLOTS="3"',
    ]
    told = json.loads((root / "run/farm/node.json").read_text())
    expected = {"mac": MAC, "nic": "lab0", "address": NODE, "name": "pc01", "image": "v1", "farm": "lab"}
    assert {key: told[key] for key in expected} == expected
    of_a_desk = {"when_used": "half", "free_after": 10}
    assert {"compile": {key: SETTINGS[key] for key in ("netname", "scheduler", "slots")} | of_a_desk} == told["roles"]
    access = Home.at(server.folder).logs / "nginx-access.log"
    until(lambda: access.read_text().endswith("\n"), "nginx does not log")  # it does after it has answered
    assert json.loads(access.read_text())["uri"].startswith(
        "/nodes/52-54-00-00-00-01.json?kernel=1.25&nic=2.50&root=3.75&agent="
    )


def test_an_unknown_node_names_itself(lab: tuple[Namespace, Namespace], served: Path) -> None:
    nginx(lab[0])
    (served / "nodes" / "52-54-00-00-00-01.json").unlink()
    root = configure(lab[1])
    told = json.loads((root / "run/farm/node.json").read_text())
    assert (told["name"], told["roles"]["compile"]["slots"]) == ("node-000001", 0)
    assert f'FARM_SLOTS="{os.cpu_count()}"\n' in (root / "run/farm/iceccd.env").read_text()


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_without_http_the_node_asks_by_tftp(lab: tuple[Namespace, Namespace], served: Path, known: bool) -> None:
    server, node = lab
    if not known:
        (served / "nodes" / "52-54-00-00-00-01.json").unlink()
    options = [
        "--no-daemon",
        "--port=0",
        "--enable-tftp",
        f"--tftp-root={served}",
        "--user=root",
        "--conf-file=/dev/null",
    ]
    server.start("dnsmasq", "dnsmasq", *options, "--listen-address", SERVER, "--bind-interfaces", "--pid-file=")
    root = configure(node)
    told = json.loads((root / "run/farm/node.json").read_text())
    assert told["name"] == ("pc01" if known else "node-000001")


def test_a_node_waits_for_its_server_and_for_an_answer_that_makes_sense(
    lab: tuple[Namespace, Namespace], served: Path
) -> None:
    server, node = lab
    root = node_root(node)
    process = node.start("configure", *argv("configure", root))
    until(lambda: "no settings from the server" in node.log("configure"), "the node does not complain")
    settings = served / "nodes" / "52-54-00-00-00-01.json"
    settings.write_text(json.dumps({**SETTINGS, "name": "a; reboot"}))
    nginx(server)
    access = Home.at(server.folder).logs / "nginx-access.log"
    until(lambda: access.read_text(), "the node does not ask again")
    assert process.poll() is None
    settings.write_text(json.dumps(SETTINGS))
    assert process.wait(timeout=PATIENCE) == 0
    assert (root / "etc/hostname").read_text() == "pc01\n"


def test_a_node_waits_for_its_address(lab: tuple[Namespace, Namespace], served: Path) -> None:
    server, node = lab
    nginx(server)
    node.run("ip", "address", "flush", "dev", "lab0")
    root = node_root(node)
    process = node.start("configure", *argv("configure", root))
    until(lambda: "waiting for an IPv4 address on lab0" in node.log("configure"), "the node does not complain")
    node.run("ip", "address", "add", f"{NODE}/24", "dev", "lab0")  # without a broadcast address
    assert process.wait(timeout=PATIENCE) == 0
    assert "brd 10.99.2.255" in node.run("ip", "-4", "address", "show", "lab0").stdout


def get(node: Namespace, path: str, address: str = NODE) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        request = urllib.request.Request(f"http://{address}:9105{path}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    return node.call(ask)


def snapshot(node: Namespace, address: str = NODE) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(get(node, "/status.json", address)[1])
    return told


@pytest.fixture
def agent(lab: tuple[Namespace, Namespace], served: Path) -> subprocess.Popen[bytes]:
    """The agent of a node that has been configured; it listens."""
    server, node = lab
    nginx(server)
    root = configure(node)
    (root / "run/farm/upper").mkdir()
    process = node.start("agent", *argv("agent", root))
    node.wait_for(9105)
    return process


def test_the_agent_tells_how_the_node_does(lab: tuple[Namespace, Namespace], agent: subprocess.Popen[bytes]) -> None:
    server, _ = lab
    told = snapshot(server)
    assert (told["schema"], told["name"], told["mac"], told["slots"]) == (1, "pc01", MAC, 3)
    assert told["boot"]["root"] == 3.75
    assert len(told["cpu"]["percent"]) == os.cpu_count()
    assert told["memory"]["total"] > told["memory"]["available"] > 0
    assert told["overlay"]["total"] >= told["overlay"]["used"] > 0
    assert told["network"]["received"] > 0
    status, text = get(server, "/metrics")
    assert status == 200
    assert 'farm_node_info{farm="lab",name="pc01",mac="52:54:00:00:00:01",image="v1"' in text
    assert 'farm_node_boot_stage_seconds{stage="root"} 3.75\n' in text
    assert get(server, "/../etc/passwd")[0] == 404
    posted = server.run(
        "curl", "--noproxy", "*", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "x", f"http://{NODE}:9105/"
    )
    assert posted.stdout == "501"
    agent.terminate()
    assert agent.wait(timeout=PATIENCE) == 0


def answers(server: Namespace, address: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(snapshot(server, address)["name"] == "pc01")
    return False


def move(node: Namespace, address: str) -> None:
    node.run("ip", "address", "flush", "dev", "lab0")
    node.run("ip", "address", "add", f"{address}/24", "brd", "+", "dev", "lab0")


def test_the_agent_goes_where_the_address_goes(
    lab: tuple[Namespace, Namespace], agent: subprocess.Popen[bytes]
) -> None:
    server, node = lab
    move(node, "10.99.2.8")
    until(lambda: answers(server, "10.99.2.8"), "the agent does not answer at its new address")
    node.run("ip", "address", "flush", "dev", "lab0")
    until(lambda: "no longer 10.99.2.8" in node.log("agent"), "the agent does not see that its address has gone")
    move(node, NODE)
    until(lambda: answers(server, NODE), "the agent does not answer at an address that came late")
    assert agent.poll() is None


def test_the_advertisement_goes_along(lab: tuple[Namespace, Namespace], agent: subprocess.Popen[bytes]) -> None:
    server, node = lab

    def advertised() -> list[str]:
        zeroconf = Zeroconf(interfaces=[SERVER], ip_version=IPVersion.V4Only)
        try:
            info = zeroconf.get_service_info("_farm-node._tcp.local.", "pc01._farm-node._tcp.local.", 3000)
            return info.parsed_addresses() if info else []
        finally:
            zeroconf.close()

    until(lambda: [NODE] == server.call(advertised), "the node is not advertised")
    move(node, "10.99.2.8")
    until(lambda: ["10.99.2.8"] == server.call(advertised), "the new address is not advertised")


def test_the_agent_goes_with_a_card_that_is_renamed(
    lab: tuple[Namespace, Namespace], agent: subprocess.Popen[bytes]
) -> None:
    server, node = lab
    until(lambda: answers(server, NODE), "the agent does not answer")
    node.run("ip", "link", "set", "lab0", "down")
    node.run("ip", "link", "set", "lab0", "name", "enp3s0")
    node.run("ip", "link", "set", "enp3s0", "up")
    until(lambda: "no longer" in node.log("agent"), "the agent does not see that the card has gone")
    until(lambda: answers(server, NODE), "the agent does not find the card by its new name")
    assert agent.poll() is None


def test_a_node_that_cannot_advertise_answers_all_the_same(lab: tuple[Namespace, Namespace], served: Path) -> None:
    server, node = lab
    nginx(server)
    root = configure(node)
    keep = "import socket, time; taken = socket.socket(type=socket.SOCK_DGRAM); taken.bind(('', 5353)); time.sleep(600)"
    other = node.start("other", sys.executable, "-c", keep)
    until(lambda: ":5353 " in node.run("ss", "-Hlun").stdout, "the port is not taken")
    agent = node.start("agent", *argv("agent", root))
    until(lambda: "multicast DNS: OSError" in node.log("agent"), "the agent does not complain")
    assert answers(server, NODE)
    node.stop(other)
    until(lambda: ":5353 " in node.run("ss", "-Hlun").stdout, "the agent does not advertise")
    assert agent.poll() is None


def test_an_agent_whose_port_is_taken_waits_for_it(lab: tuple[Namespace, Namespace], served: Path) -> None:
    server, node = lab
    nginx(server)
    root = configure(node)
    other = node.start("other", sys.executable, "-m", "http.server", "9105", "--bind", NODE)
    node.wait_for(9105)
    agent = node.start("agent", *argv("agent", root))
    until(lambda: f"{NODE}:9105: Address already in use" in node.log("agent"), "the agent does not complain")
    node.stop(other)
    until(lambda: answers(server, NODE), "the agent does not take the port")
    assert agent.poll() is None


def test_slow_clients_keep_nobody_out(lab: tuple[Namespace, Namespace], agent: subprocess.Popen[bytes]) -> None:
    """Each sends a byte now and then, so that no single read takes long."""
    server, _ = lab

    def attack() -> list[socket.socket]:
        found = [socket.create_connection((NODE, 9105), PATIENCE) for _ in range(2 * MAX_REQUESTS)]
        for each in found[::2]:
            each.sendall(b"GET /status.json HTTP/1.1\r\nX: ")
        return found

    def all_ended() -> bool:
        """A byte more to each: the node hangs up even on those that go on."""
        for each in slow[:]:
            try:
                each.sendall(b"x")
                each.settimeout(0.01)
                ended = not each.recv(1000)
            except TimeoutError:
                ended = False
            except OSError:
                ended = True
            if ended:
                slow.remove(each)
                each.close()
        return not slow

    slow = server.call(attack)
    assert snapshot(server)["name"] == "pc01"
    assert get(server, "/metrics")[0] == 200
    until(all_ended, "the agent waits for ever")
    assert agent.poll() is None
