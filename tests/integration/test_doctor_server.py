"""`farm doctor` on a server: the farm's own services under its supervisord, in a namespace; each fault is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from farm.config import Config, DhcpConfig
from farm.home import Home
from farm.image.store import FileEntry, Manifest, Store, sha256
from farm.instance import Instance
from farm.netboot.render import dnsmasq_conf, nginx_conf
from farm.serve import firewall
from farm.serve.service_list import services
from farm.supervisor import Supervisor
from farm.virtual.namespace import enter, exec_prefix, icecc_folder
from tests.lab import Namespace, namespaces, until

ADDRESS, STRANGER = "10.99.25.1", "10.99.25.2"
CONFIG = Config(name="doctored", address=f"{ADDRESS}/24", dhcp=DhcpConfig("10.99.25.50", "10.99.25.60"))


class Server:
    """A farm that is up, without an image and without nodes."""

    def __init__(self, server: Namespace, stranger: Namespace) -> None:
        self.server, self.stranger = server, stranger
        self.home = Home.at(server.folder / "home")
        self.home.create()
        self.instance = Instance(config=CONFIG, interface="lab0", images={}, started=0.0, namespace=server.name)
        self.instance.save(self.home)
        self.supervisor = Supervisor(self.home)

    def up(self) -> None:
        (self.home.http / "boot").mkdir(parents=True)
        (self.home.http / "boot" / "start.ipxe").write_text("#!ipxe\n")
        (self.home.runtime / "nginx.conf").write_text(nginx_conf(CONFIG, self.home))
        (self.home.runtime / "dnsmasq.conf").write_text(dnsmasq_conf(CONFIG, self.home, "lab0"))
        (icecc_folder(self.home) / "environments").mkdir(parents=True)
        subprocess.run(["chown", "-R", "icecc", str(icecc_folder(self.home))], check=True)
        firewall.apply(CONFIG, "lab0", self.instance.exports, exec_prefix(self.server.name))
        self.supervisor.converge(services(self.home, self.instance), prefix=enter(self.instance, self.home))

    def report(self, *words: str) -> dict[str, Any]:
        main = [sys.executable, "-c", "from farm.cli import main; main()", "--home", str(self.home.directory)]
        argv = [*main, "doctor", "--json", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode in (0, 3), done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert report["ok"] is (done.returncode == 0)
        return report

    def results(self, *words: str) -> dict[str, dict[str, Any]]:
        return {result["code"]: result for result in self.report(*words)["results"]}

    def faults(self, *words: str) -> dict[str, dict[str, Any]]:
        return {code: result for code, result in self.results(*words).items() if result["state"] == "fail"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with namespaces(f"{ADDRESS}/24", f"{STRANGER}/24") as (one, other):
        found = Server(one, other)
        try:
            found.up()
            until(lambda: not found.faults("--only", "services"), "a service does not answer")
            yield found
        finally:
            found.supervisor.shutdown()


WELL = "programs,interface,ports,services,filter,images,exports,disk,clock,rival-dhcp,rival-tftp,nodes-lost"


def test_a_server_is_known_and_its_own_part_is_well(server: Server) -> None:
    until(lambda: not server.faults("--only", "farm-status"), "farmd does not see the scheduler")
    report = server.report("--only", WELL)
    assert report["place"] == "server"
    assert report["ok"], report
    results = {result["code"]: result for result in report["results"]}
    assert f"lab0 has {ADDRESS}" in results["interface"]["evidence"][0]


def test_no_node_is_a_fault_on_both_sides(server: Server) -> None:
    assert set(server.faults("--only", "nodes-ready,nodes")) == {"nodes-ready", "nodes"}


def test_a_search_for_dhcp_servers_leaves_no_machine_behind(server: Server) -> None:
    server.report("--only", "rival-dhcp")
    assert server.results("--only", "nodes-booting")["nodes-booting"]["evidence"] == ["No machine has booted."]


def test_a_lost_filter_is_named_and_made_anew(server: Server) -> None:
    server.server.run("nft", "delete", "table", "netdev", "farm_doctored")
    found = server.faults("--only", "filter")
    assert "any machine can write to the export" in found["filter"]["cause"]
    fixed = server.results("--only", "filter", "--fix")["filter"]
    assert (fixed["state"], fixed["fixed"]) == ("ok", "Made the nftables tables again: farm_doctored.")
    assert not server.faults("--only", "filter")


def test_a_stopped_service_is_named_and_started(server: Server) -> None:
    server.supervisor.stop("nginx")
    found = server.faults("--only", "services")
    assert found["services"]["cause"].startswith("nginx: stopped")
    assert found["services"]["command"] == f"farm --home {server.home.directory} logs nginx"
    fixed = server.results("--only", "services", "--fix")["services"]
    assert (fixed["state"], fixed["fixed"]) == ("ok", "Started: nginx")


def test_an_interface_without_its_address(server: Server) -> None:
    server.server.run("ip", "address", "del", f"{ADDRESS}/24", "dev", "lab0")
    try:
        found = server.faults("--only", "interface")
        assert f"The interface lab0 lacks the server's address {ADDRESS}" in found["interface"]["cause"]
    finally:
        server.server.run("ip", "address", "add", f"{ADDRESS}/24", "brd", "+", "dev", "lab0")


def test_lts_conf_is_read_and_must_be_served_as_it_is(server: Server) -> None:
    path = server.home.config.with_name("lts.conf")

    def found(*words: str) -> dict[str, Any]:
        return server.results("--only", "lts-conf", *words)["lts-conf"]

    assert ("ok", [f"There is no {path}."]) == (found()["state"], found()["evidence"])
    path.write_text("[default]\nSOUND=True\n")
    assert ("warn", "lts.conf was changed since it was last served.") == (found()["state"], found()["cause"])
    fixed = found("--fix")
    assert ("ok", f"Served {path} as it is now.") == (fixed["state"], fixed["fixed"])
    path.write_text("[default]\nSOUND=\nA=1\nwhat\n")
    flaws = found("--fix")
    assert ("warn", "lts.conf has 2 warnings.") == (flaws["state"], flaws["cause"])
    assert ["lts.conf:2", "lts.conf:4", "Works: SOU", "Not known:"] == [line[:10] for line in flaws["evidence"]]
    path.write_bytes(b"x" * 100_000)
    assert ("warn", f"{path} is too large.") == (found("--fix")["state"], found()["cause"])
    path.unlink()
    assert "ok" == found("--fix")["state"]


def test_images_are_held_against_their_hashes_and_must_be_exported(server: Server) -> None:
    store = Store(server.home.images)
    folder = store.directory / ".new"
    folder.mkdir()
    (folder / "root.squashfs").write_bytes(b"root" * 1000)
    entry = FileEntry(4000, sha256(folder / "root.squashfs"))
    more: dict[str, Any] = {"seconds": 1.0, "inputs": "", "base": "", "kernel": "6", "packages": {}}
    store.add(folder, Manifest(version="v1", built=1.0, files={"root.squashfs": entry}, **more))
    found = server.faults("--only", "images,exports")
    assert set(found) == {"exports"}
    assert "Image v1 has no running export by aoe." in found["exports"]["cause"]
    (store.path("v1") / "root.squashfs").write_bytes(b"toor" * 1000)
    found = server.faults("--only", "images")
    assert "Image v1 is damaged: root.squashfs has changed since it was built." in found["images"]["cause"]
    store.remove("v1", in_use=())


def test_other_servers_on_the_lab_network(server: Server) -> None:
    folder = server.stranger.folder / "rival"
    folder.mkdir()
    options = ["--port=0", "--dhcp-range=10.99.25.100,10.99.25.110", "--dhcp-authoritative", "--no-ping"]
    options += ["--enable-tftp", f"--tftp-root={folder}", f"--dhcp-leasefile={folder}/leases", "--conf-file=/dev/null"]
    rival = server.stranger.start(
        "rival", "dnsmasq", "--keep-in-foreground", "--user=root", "--interface=lab0", *options
    )
    try:
        found: dict[str, dict[str, Any]] = {}

        def seen() -> bool:
            found.update(server.results("--only", "rival-dhcp,rival-tftp"))
            return (found["rival-dhcp"]["state"], found["rival-tftp"]["state"]) == ("fail", "warn")

        until(seen, "the other server is not seen")
        assert f"Another DHCP server answers on lab0: {STRANGER}" in found["rival-dhcp"]["cause"]
        assert found["rival-tftp"]["state"] == "warn", found["rival-tftp"]
        assert f"Another TFTP server answers on lab0: {STRANGER}" in found["rival-tftp"]["cause"]
    finally:
        server.stranger.stop(rival)


def test_a_farm_whose_services_are_gone(server: Server) -> None:
    server.supervisor.shutdown()
    found = server.faults("--only", "services,farm-status")
    assert found["services"]["cause"] == "The farm's services are not running."
    assert found["services"]["mend"] == f"Start them: sudo farm --home {server.home.directory} up"
    assert found["farm-status"]["cause"] == "farmd does not answer."
