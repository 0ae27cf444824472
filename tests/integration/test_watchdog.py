"""What farmd notices by itself, on a server whose services are all real: each fault is named, and forgotten again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.api.client import wait_until_seen
from farm.attach import Lost
from farm.attach.direct import Direct
from farm.config import Config, DhcpConfig
from farm.daemon import watchdog
from farm.netboot.rival import discover_packet
from farm.view.live import Live
from farm.virtual.namespace import icecc_folder
from tests.lab import PATIENCE, Namespace, namespaces, until
from tests.server import Server, served

ADDRESS, STRANGER = "10.99.26.1", "10.99.26.2"
CONFIG = Config(name="watched", address=f"{ADDRESS}/24", dhcp=DhcpConfig("10.99.26.50", "10.99.26.51"))
ASKED = ("nginx", "dnsmasq", "scheduler", "iceccd", "aoe-1")


@pytest.fixture(scope="module")
def places() -> Iterator[list[Namespace]]:
    with namespaces(f"{ADDRESS}/24", f"{STRANGER}/24") as found:
        yield found


@pytest.fixture(scope="module")
def server(places: list[Namespace]) -> Iterator[Server]:
    with served(CONFIG, places[0]) as found:
        until(lambda: not found.wrong(), "it does not come up")
        yield found


def is_named(server: Server, code: str, about: str = "") -> None:
    until(lambda: (code, about) in server.wrong(), f"{code} {about} is not named: {server.wrong()}")


def is_well(server: Server) -> None:
    until(lambda: not server.wrong(), f"that stays: {server.wrong()}")


def test_after_the_wait_of_farm_up_no_service_is_said_to_be_starting(server: Server) -> None:
    server.supervisor.stop("iceccd")
    server.supervisor.start("iceccd")
    wait_until_seen(server.home)
    status = server.status()
    assert status is not None
    assert {each.name: each.state for each in status.services}["iceccd"] == "RUNNING"


def test_services_that_hang_are_named(server: Server) -> None:
    hung = {name: server.pid(name) for name in ASKED}
    for pid in hung.values():
        os.kill(pid, signal.SIGSTOP)
    try:
        for name in ASKED:
            is_named(server, "service-silent", name)
        status = server.status()
        assert status is not None
        assert {each.name for each in status.services if each.silent} == set(ASKED)
        assert (status.scheduler.up, "stopped" in status.scheduler.why) == (False, True)
        argv = [sys.executable, "-m", "farm", "--home", str(server.home.directory), "status"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert said.returncode == 3
        assert "The service dnsmasq runs but does not answer" in said.stdout
        assert f"sudo farm --home {server.home.directory} up" in said.stdout.replace("\n", " ")
    finally:
        for pid in hung.values():
            os.kill(pid, signal.SIGCONT)
    is_well(server)


def test_what_watches_may_hang_itself(server: Server) -> None:
    supervisord, farmd = server.supervisor.pid, server.pid("farmd")
    assert supervisord is not None
    os.kill(supervisord, signal.SIGSTOP)
    try:
        is_named(server, "services-down")
    finally:
        os.kill(supervisord, signal.SIGCONT)
    is_well(server)
    os.kill(farmd, signal.SIGSTOP)
    try:
        argv = [sys.executable, "-m", "farm", "--home", str(server.home.directory), "status", "--json"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    finally:
        os.kill(farmd, signal.SIGCONT)
    assert (said.returncode, [each["code"] for each in json.loads(said.stdout)["findings"]]) == (3, ["farmd-silent"])
    is_well(server)


def test_a_scheduler_that_hangs_is_named_without_a_farm_too(server: Server) -> None:
    pid = server.pid("scheduler")

    async def watch() -> list[str]:
        stopped, said = False, ""
        async with asyncio.timeout(PATIENCE), contextlib.aclosing(Direct(ADDRESS, 8765).updates()) as updates:
            live = Live()
            async for update in updates:
                assert not isinstance(update, Lost)
                live.apply(update)
                overview = live.overview
                assert overview is not None
                if not stopped and overview.scheduler.up:
                    await asyncio.sleep(3)  # it has been asked once
                    os.kill(pid, signal.SIGSTOP)
                    stopped = True
                elif stopped and not said and not overview.scheduler.up:
                    said = overview.problems[0]
                    os.kill(pid, signal.SIGCONT)
                elif said and overview.scheduler.up:
                    return [said, *overview.problems]
        raise AssertionError

    try:
        assert server.place.gather(watch()) == [
            "The scheduler does not answer. The connection is open, but no messages arrive."
        ]
    finally:
        os.kill(pid, signal.SIGCONT)
    is_well(server)


def test_to_be_asked_leaves_no_trace_in_logs(server: Server) -> None:
    def traces() -> dict[str, list[str]]:
        logs = {path.name: path.read_text() for path in server.home.logs.iterdir() if path.name != "farmd.log"}
        logs["dnsmasq.log"] = "\n".join(line for line in logs["dnsmasq.log"].splitlines() if "tftp" in line)
        # iceccd looks for its scheduler at first; the scheduler tells of a control connection that was made again.
        others = ("not yet found", "Broken pipe")
        return {
            name: [line for line in text.splitlines() if not any(words in line for words in others)]
            for name, text in logs.items()
        }

    is_well(server)
    until(lambda: all(service.up for service in server.supervisor.status()), "not all services run")
    before = traces()
    os.kill(server.pid("nginx"), signal.SIGSTOP)
    is_named(server, "service-silent", "nginx")
    os.kill(server.pid("nginx"), signal.SIGCONT)
    is_well(server)
    assert before == traces()


def test_a_socket_that_is_gone_is_named(server: Server) -> None:
    (icecc_folder(server.home) / "iceccd.socket").unlink()
    is_named(server, "service-silent", "iceccd")
    server.supervisor.stop("iceccd")
    server.supervisor.start("iceccd")
    is_well(server)


def test_files_that_are_gone_are_named(server: Server) -> None:
    script, root = server.home.http / "boot/start.ipxe", server.store.path("v1") / "root.squashfs"
    script.unlink()
    is_named(server, "file-missing")
    content = root.read_bytes()
    root.unlink()
    is_named(server, "image-damaged", "v1")
    is_named(server, "service-silent", "aoe-1")
    root.write_bytes(content)
    server.supervisor.stop("aoe-1")
    server.up()
    is_well(server)


def test_a_filter_that_is_gone_is_named(server: Server) -> None:
    server.place.run("nft", "flush", "ruleset")
    is_named(server, "filter-missing", "inet farm_watched")
    is_named(server, "filter-missing", "netdev farm_watched")
    argv = [sys.executable, "-m", "farm", "--home", str(server.home.directory), "status", "--json"]
    said = json.loads(subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout)
    up = f"sudo farm --home {server.home.directory} up"
    assert {up in each["fix"] for each in said["findings"]} == {True}
    assert [f"{each['what']} {each['fix']}" for each in said["findings"]] == said["problems"]
    server.apply_filter()
    is_well(server)
    for changed in ("flush chain inet farm_watched input", "insert rule inet farm_watched input accept"):
        server.place.run("nft", *changed.split())
        is_named(server, "filter-missing", "inet farm_watched")
        server.apply_filter()
        is_well(server)


def test_an_interface_that_nodes_are_not_reached_over_is_named(server: Server) -> None:
    for broken, repaired in (
        ("link set lab0 mtu 1400", "link set lab0 mtu 1500"),
        (f"address del {ADDRESS}/24 dev lab0", f"address add {ADDRESS}/24 brd + dev lab0"),
        ("route add 10.99.26.128/25 dev lo", "route del 10.99.26.128/25 dev lo"),
        ("rule add to 10.99.26.0/24 prohibit", "rule del to 10.99.26.0/24 prohibit"),
    ):
        server.place.run("ip", *broken.split())
        is_named(server, "interface", "lab0")
        server.place.run("ip", *repaired.split())
        is_well(server)


def test_a_range_without_a_free_address_is_named(server: Server, places: list[Namespace]) -> None:
    def take(address: str, mac: bytes) -> None:
        request = discover_packet(b"1234", mac).partition(b"\x35\x01\x01")[0]
        request += b"\x35\x01\x03" + b"\x32\x04" + socket.inet_aton(address) + b"\xff"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lab0")
            sock.bind(("", 68))
            sock.sendto(request, ("255.255.255.255", 67))

    leases = server.home.state / "dhcp.leases"
    for number, address in enumerate(("10.99.26.50", "10.99.26.51")):
        assert ("dhcp-full", "") not in server.wrong()
        places[1].call(lambda address=address, number=number: take(address, struct.pack("!6B", 2, 0, 0, 0, 0, number)))
        until(lambda address=address: address in leases.read_text(), "no lease")
    is_named(server, "dhcp-full")
    server.supervisor.stop("dnsmasq")
    leases.unlink()
    server.supervisor.start("dnsmasq")
    is_well(server)


def test_a_dhcp_server_that_comes_later_is_named(server: Server, places: list[Namespace]) -> None:
    folder = places[1].folder / "rival"
    folder.mkdir()
    # A proxyDHCP server, which lends no addresses, is the hardest to see.
    options = ["--port=0", "--dhcp-range=10.99.26.0,proxy", "--pxe-service=x86PC,other,other", "--conf-file=/dev/null"]
    options += [f"--dhcp-leasefile={folder}/leases", "--user=root", "--interface=lab0"]
    rival = places[1].start("rival", "dnsmasq", "--keep-in-foreground", *options)
    is_named(server, "rival-dhcp", STRANGER)
    places[1].stop(rival)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    assert not list(watchdog._disk([tmp_path]))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)], check=True)
    try:
        [found] = watchdog._disk([tmp_path, tmp_path, tmp_path / "none"])
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert found.code == "disk-full"
    assert "farm image remove" in found.fix
