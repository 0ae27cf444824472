"""What dnsmasq and nginx do with the configuration rendered for them; how other DHCP servers are found."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from farm.config import FIRST_KIND, Config, DhcpConfig, MachineConfig
from farm.errors import FarmError
from farm.export import prepare
from farm.home import Home
from farm.image.store import FILES, FileEntry, Manifest, Store, sha256
from farm.netboot import render
from farm.netboot.rival import answers_to_clients, client_payload, find_dhcp_servers
from farm.node.lts.reading import MAX_LTS_BYTES
from farm.serve import firewall, health
from farm.serve.preflight import require_no_rival
from tests.lab import PATIENCE, Namespace, namespaces, until

PC01 = MachineConfig(mac="52:54:00:00:00:01", name="pc01", address="10.95.0.11", slots=3)
LOCAL = MachineConfig(mac="52:54:00:00:00:02", name="pc02", boot="local")
CONFIG = Config(
    interface="lab0",
    address="10.95.0.1/24",
    dhcp=DhcpConfig(first="10.95.0.50", last="10.95.0.99"),
    machines=[PC01, LOCAL],
)
ASK_FOR_PORTS = """
import sys
from farm.config import Config
from farm.errors import FarmError
from farm.instance import Instance
from farm.serve.preflight import require_free_ports
INSTANCE = Instance(config=Config(address="10.95.0.1/24"), interface="", images={}, exports=[], started=0.0)
try:
    require_free_ports(INSTANCE, frozenset(map(int, sys.argv[1:])))
except FarmError as error:
    print(error)
"""
KEY = "ssh-ed25519 AAAAfarm farm"


def add_version(store: Store, version: str) -> None:
    folder = store.directory / f".{version}"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(f"{name} of {version}")
    files = {name: FileEntry((folder / name).stat().st_size, sha256(folder / name)) for name in FILES}
    facts = {"built": 1.0, "seconds": 1.0, "inputs": version, "base": "b", "kernel": "6.1", "packages": {}}
    store.add(folder, Manifest(version=version, files=files, **facts))  # type: ignore[arg-type]
    prepare(store)


class Server:
    """The farm's dnsmasq and nginx in one namespace, a lab's machine in the other."""

    def __init__(self, server: Namespace, lab: Namespace) -> None:
        self.server, self.lab = server, lab
        self.home = Home.at(server.folder / "the farm's home")
        self.home.create()
        add_version(Store(self.home.images), "20260101.1")
        self.write("20260101.1")

    def write(self, version: str) -> None:
        render.write_boot_files(
            self.home, CONFIG, Store(self.home.images), {FIRST_KIND: version}, mtu=1500, farm_key=KEY
        )

    def start_dnsmasq(self) -> None:
        conf = self.home.runtime / "dnsmasq.conf"
        conf.write_text(render.dnsmasq_conf(CONFIG, self.home, self.server.interface))
        assert "syntax check OK" in self.server.run("dnsmasq", "--test", f"--conf-file={conf}").stderr
        self.server.start("dnsmasq", "dnsmasq", "--keep-in-foreground", f"--conf-file={conf}")
        log = self.home.logs / "dnsmasq.log"
        until(lambda: log.exists() and "TFTP root is" in log.read_text(), "dnsmasq does not start")

    def start_nginx(self) -> None:
        conf = self.home.runtime / "nginx.conf"
        conf.write_text(render.nginx_conf(CONFIG, self.home))
        self.server.start("nginx", "nginx", "-c", str(conf))
        self.server.wait_for(CONFIG.http_port)

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask nginx as a machine of the lab would; the path goes out as it is."""

        def ask() -> tuple[int, bytes]:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(f"http://{CONFIG.server}:{CONFIG.http_port}{path}", timeout=PATIENCE) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, b""

        return self.lab.call(ask)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with namespaces("10.95.0.1/24", "10.95.0.2/24") as (inside, lab):
        server = Server(inside, lab)
        server.start_nginx()
        server.start_dnsmasq()
        yield server


def test_a_machine_that_asks_for_an_address_is_offered_one_by_the_farm(server: Server) -> None:
    found: list[set[str]] = []
    until(lambda: found.append(server.lab.call(lambda: find_dhcp_servers("lab0", 1))) or found[-1], "nobody answers")
    assert {CONFIG.server} == found[-1]


def test_the_farm_itself_is_no_rival_of_the_farm(server: Server) -> None:
    server.lab.call(lambda: require_no_rival(CONFIG))


def test_boot_files_come_by_tftp_too(server: Server) -> None:
    assert "by TFTP" in server.lab.call(lambda: health._tftp(CONFIG.server))


def test_a_listed_machine_gets_its_own_script_and_any_other_the_default(server: Server) -> None:
    default = server.get("/boot/52-54-00-99-99-99.ipxe")

    assert (200, (server.home.http / "boot/default.ipxe").read_bytes()) == default
    assert (200, (server.home.http / "boot/52-54-00-00-00-02.ipxe").read_bytes()) == server.get(
        "/boot/52-54-00-00-00-02.ipxe"
    )
    assert b"farm.image=20260101.1" in default[1]
    assert default != server.get("/boot/52-54-00-00-00-02.ipxe")


def test_a_node_is_told_its_name_and_slots_and_a_stranger_the_default(server: Server) -> None:
    told = json.loads(server.get("/nodes/52-54-00-00-00-01.json?kernel=1.2&agent=7.8")[1])
    stranger = json.loads(server.get("/nodes/52-54-00-99-99-99.json")[1])

    assert ("pc01", 3) == (told["name"], told["slots"])
    assert (None, 0, "10.95.0.1:8765") == (stranger["name"], stranger["slots"], stranger["scheduler"])


LTS = ["/lts.conf", *(f"/ltsp/{each}/lts.conf" for each in ("amd64", "x86_64", "i386", "i686"))]


def test_lts_conf_is_served_where_ltsps_clients_look_for_it_and_gone_with_the_file(
    server: Server, tmp_path: Path
) -> None:
    source, got = server.home.config.with_name("lts.conf"), tmp_path / "got"

    def by_tftp(path: str) -> bytes:
        got.unlink(missing_ok=True)
        server.lab.run("curl", "--silent", "--output", str(got), f"tftp://{CONFIG.server}{path}", check=False)
        return got.read_bytes() if got.exists() else b""

    for content in (b"[default]\nSOUND=True\n", b"[default]\r\n\xe9=", None, b"[x]\n", b"#" * (MAX_LTS_BYTES + 1)):
        source.unlink(missing_ok=True)
        if content is not None:
            source.write_bytes(content)
        server.write("20260101.1")

        served = content if content and len(content) <= MAX_LTS_BYTES else None
        assert [(200, served) if served else (404, b"")] * len(LTS) == [server.get(path) for path in LTS]
        assert [served or b""] * len(LTS) == [by_tftp(path) for path in LTS]
    source.unlink()


def test_kernel_and_initrd_are_served(server: Server) -> None:
    assert (200, b"kernel of 20260101.1") == server.get("/images/20260101.1/kernel?mac=52-54-00-00-00-01")
    assert (200, b"initrd of 20260101.1") == server.get("/images/20260101.1/initrd")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/etc/passwd",
        "/boot/../../../state/ssh/id_ed25519",
        "/boot/%2e%2e/%2e%2e/running.json",
        "/images/..%2f..%2fnginx.conf",
        "/images/20260101.2/kernel",
        "/images/20260101.1/",
        "/images/",
        "/loader/../../nginx.conf",
        "//etc/passwd",
    ],
)
def test_nothing_else_is_served(server: Server, path: str) -> None:
    status, body = server.get(path)

    assert status in (400, 403, 404)
    assert b"" == body


def test_what_is_fetched_is_logged_as_json_whatever_a_stranger_asks_for(server: Server) -> None:
    def entries() -> list[dict[str, Any]]:
        lines = (server.home.logs / "nginx-access.log").read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    server.get('/boot/"%0a{%1b.ipxe?a="\\')
    until(lambda: any("%0a{%1b" in entry["uri"] for entry in entries()), "nginx does not log it")

    (entry,) = [entry for entry in entries() if "%0a{%1b" in entry["uri"]]
    assert ("10.95.0.2", 200) == (entry["address"], entry["status"])
    assert entry["uri"].startswith("/boot/")


def test_a_removed_version_is_no_longer_served_and_files_of_a_forgotten_machine_go(server: Server) -> None:
    store = Store(server.home.images)
    add_version(store, "20260101.2")
    server.write("20260101.2")
    assert 200 == server.get("/images/20260101.1/kernel")[0]
    (server.home.http / "boot/52-54-00-00-00-77.ipxe").write_text("#!ipxe\nsanboot\n")

    store.use("20260101.2")
    store.remove("20260101.1", in_use=())
    server.write("20260101.2")

    assert 404 == server.get("/images/20260101.1/kernel")[0]
    assert 200 == server.get("/images/20260101.2/kernel")[0]
    assert b"sanboot" not in server.get("/boot/52-54-00-00-00-77.ipxe")[1]
    add_version(store, "20260101.1")
    server.write("20260101.1")


def test_a_busy_port_is_named_with_its_holder_but_the_farms_own_do_not_count(server: Server) -> None:
    conf = str(server.home.runtime)
    running = psutil.process_iter(["cmdline"])
    own = [process.pid for process in running if any(conf in word for word in process.info["cmdline"] or ())]

    complaint = server.server.run(sys.executable, "-c", ASK_FOR_PORTS).stdout
    silence = server.server.run(sys.executable, "-c", ASK_FOR_PORTS, *map(str, own)).stdout

    assert "UDP port 67, wanted for DHCP, is in use.\nThe port is used by dnsmasq (pid " in complaint
    assert "Stop it; to find its unit: systemctl status " in complaint
    assert "" == silence


@pytest.mark.parametrize("strict", [0, 1])
def test_another_dhcp_server_is_found_even_on_a_network_this_machine_has_no_address_in(strict: int) -> None:
    with namespaces("192.168.44.1/24", "10.95.0.1/24") as (rival, here):
        # The strict reverse path filter drops what comes from a network that no route leads to.
        for scope in ("all", "lab0"):
            here.run("sysctl", "-q", "-w", f"net.ipv4.conf.{scope}.rp_filter={strict}")
        lease_file = f"--dhcp-leasefile={rival.folder}/leases"
        options = ["--port=0", "--interface=lab0", "--no-ping", lease_file, "--dhcp-range=192.168.44.50,192.168.44.99"]
        rival.start("rival", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", *options)

        until(lambda: here.call(lambda: find_dhcp_servers("lab0", 1)), "the rival is not found")
        with pytest.raises(FarmError) as caught:
            here.call(lambda: require_no_rival(CONFIG))

    assert "Another DHCP server answers on lab0: 192.168.44.1." == caught.value.what


def test_a_quiet_network_has_no_dhcp_server() -> None:
    with namespaces("10.95.0.1/24", "10.95.0.2/24") as (here, _):
        assert set() == here.call(lambda: find_dhcp_servers("lab0", 0.5))


def test_an_interface_that_is_not_there_is_an_error_of_one_sentence() -> None:
    with pytest.raises(FarmError) as caught:
        find_dhcp_servers("no-such-if", 0.1)

    assert "Could not ask for DHCP servers on no-such-if." == caught.value.what


def test_the_schedulers_control_port_is_closed_to_the_lab_and_open_to_the_server() -> None:
    with namespaces("10.95.0.1/24", "10.95.0.2/24") as (server, lab):
        server.scheduler()
        firewall.apply(CONFIG, server.interface, ["aoe"], prefix=["ip", "netns", "exec", server.name])

        assert ["open", "open"] == server.call(lambda: [knock(8765), knock(8766)])
        assert ["open", "refused"] == lab.call(lambda: [knock(8765), knock(8766)])

        firewall.remove(CONFIG, prefix=["ip", "netns", "exec", server.name])
        assert "open" == lab.call(lambda: knock(8766))


def knock(port: int) -> str:
    try:
        with socket.create_connection((CONFIG.server, port), timeout=PATIENCE):
            return "open"
    except ConnectionRefusedError:
        return "refused"


def test_a_home_across_file_systems_gets_copies(tmp_path: Path) -> None:
    runtime = Path(tempfile.mkdtemp(prefix="farm-test-", dir="/dev/shm"))
    home = Home(tmp_path / "farm.yaml", tmp_path / "state", runtime, tmp_path / "log", tmp_path / "i")
    add_version(Store(home.images), "1.1")
    try:
        for _ in range(2):
            render.write_boot_files(home, CONFIG, Store(home.images), {FIRST_KIND: "1.1"}, mtu=1500, farm_key=KEY)

        assert "kernel of 1.1" == (home.http / "images/1.1/kernel").read_text()
    finally:
        shutil.rmtree(home.runtime)


def test_what_is_meant_for_others_does_not_reach_who_waits_for_dhcp_servers() -> None:
    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for port in (9, 69, 68):
                sock.sendto(b"to %d" % port, ("10.99.9.1", port))

    def first() -> bytes:
        with answers_to_clients() as sock:
            sock.bind(("lab0", 0x0800))
            there.call(send)
            sock.settimeout(PATIENCE)
            return client_payload(sock.recv(2048))

    with namespaces("10.99.9.1/24", "10.99.9.2/24") as (here, there):
        assert b"to 68" == here.call(first)
