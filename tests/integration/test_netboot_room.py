"""A room of PCs at the farm's dnsmasq: addresses, loaders by architecture, many transfers at a time."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from farm.config import Config, DhcpConfig
from farm.home import Home
from farm.netboot import render
from farm.netboot.boot_logs import parse_dnsmasq
from farm.serve import firewall
from farm.view.refused import refused
from farm.watch.events import BootEvent
from farm.watch.refusals import NO_ADDRESS
from farm.watch.state import fold, initial
from tests.dhcp import Client
from tests.lab import PATIENCE, Namespace, namespaces, until

CONFIG = Config(
    interface="lab0", address="10.95.4.1/24", dhcp=DhcpConfig(first="10.95.4.50", last="10.95.4.53"), http_port=8069
)
ROOM = 70
FLOOD = 2000
INITRD = bytes(range(256)) * 256 + b"end"
BLOCK = 512


class Room:
    """The farm's dnsmasq behind the farm's filter in one namespace, all the PCs in others."""

    def __init__(self, server: Namespace, pcs: list[Namespace]) -> None:
        self.server, self.pcs = server, pcs
        self.home = Home.at(server.folder / "home")
        self.home.create()
        (self.home.http / "images/1").mkdir(parents=True)
        (self.home.http / "images/1/initrd").write_bytes(INITRD)
        conf = self.home.runtime / "dnsmasq.conf"
        conf.write_text(render.dnsmasq_conf(CONFIG, self.home, "lab0"))
        firewall.apply(CONFIG, "lab0", ["aoe"], prefix=["ip", "netns", "exec", server.name])
        server.start("dnsmasq", "dnsmasq", "--keep-in-foreground", f"--conf-file={conf}")
        until(lambda: "TFTP root is" in self.log(), "dnsmasq does not start")

    def log(self) -> str:
        path = self.home.logs / "dnsmasq.log"
        return path.read_text() if path.exists() else ""

    def events(self) -> list[BootEvent]:
        """What farmd makes of the log."""
        return parse_dnsmasq(self.log().splitlines(), time.time())


@pytest.fixture
def room() -> Iterator[Room]:
    with namespaces("10.95.4.1/24", "10.95.4.2/24", "10.95.4.3/24") as (server, *pcs):
        yield Room(server, pcs)


def mac(number: int) -> str:
    return f"52:54:00:00:04:{number:02x}"


def boots(number: int) -> list[Client]:
    """All that asks for an address as one PC boots: firmware by its GUID, iPXE by its card, Linux by what it likes."""
    guid = b"\x00" + bytes([number]) * 16
    card = b"\x01" + bytes.fromhex(mac(number).replace(":", ""))
    return [
        Client(mac(number), name=guid, architecture=0),
        Client(mac(number), name=card, architecture=0, ipxe=True),
        Client(mac(number), name=b"\xff\x00\x00\x00\x01\x00\x02" + bytes([number]) * 8),
        Client(mac(number)),
    ]


def test_a_pc_has_one_address_from_power_on_to_linux_and_a_range_of_four_is_enough_for_four(room: Room) -> None:
    pc = room.pcs[0]
    given = [pc.call(lambda client=client: client.ask("lab0")) for number in range(4) for client in boots(number)]

    addresses = [lease.address for lease in given if lease]
    assert 16 == len(addresses)
    assert [1] * 4 == [len(set(addresses[4 * number : 4 * number + 4])) for number in range(4)]
    assert 4 == len(set(addresses))


def test_a_machine_for_which_no_address_is_left_is_named_until_it_has_one(room: Room) -> None:
    pc = room.pcs[0]
    for number in range(4):
        assert pc.call(lambda number=number: Client(mac(number)).ask("lab0"))

    assert pc.call(lambda: Client(mac(9)).ask("lab0", tries=2)) is None
    until(lambda: any(event.refused for event in room.events()), "dnsmasq does not tell of it")

    farm = initial("lab", {mac(9): "pc09"})
    for event in room.events():
        farm = fold(farm, event)
    assert NO_ADDRESS == farm.refusals[mac(9)].what
    assert "off" == farm.nodes[mac(9)].stage, "it is no further than a machine that is off"
    (problem,) = refused(farm, CONFIG)
    assert "no-address" == problem.code
    assert f"No address is left for pc09 ({mac(9)}): 10.95.4.50 to 10.95.4.53 are all in use." == problem.what

    farm = fold(farm, BootEvent(None, time.time(), mac=mac(9), address="10.95.4.53"))
    assert [] == list(refused(farm, CONFIG))


@pytest.mark.parametrize(
    ("architecture", "file"),
    [
        (None, "loader/undionly.kpxe"),
        (0, "loader/undionly.kpxe"),
        (7, "loader/snponly.efi"),
        (9, "loader/snponly.efi"),
        (16, "http://10.95.4.1:8069/loader/snponly.efi"),
        (6, "loader/none-for-32-bit_UEFI"),
        (10, "loader/none-for-32-bit_ARM"),
        (11, "loader/none-for-64-bit_ARM"),
        (15, "http://10.95.4.1:8069/loader/none-for-32-bit_UEFI"),
        (19, "http://10.95.4.1:8069/loader/none-for-64-bit_ARM"),
        (8, "loader/none-for-another_architecture"),
        (27, "loader/none-for-another_architecture"),
        (39, "loader/none-for-another_architecture"),
    ],
)
def test_firmware_is_sent_a_loader_that_it_can_run_or_one_that_says_why_there_is_none(
    room: Room, architecture: int | None, file: str
) -> None:
    pc = room.pcs[0]
    lease = pc.call(lambda: Client(mac(1), architecture=architecture).ask("lab0"))

    assert lease
    assert file == lease.file
    assert ("HTTPClient" if file.startswith("http") else "") == lease.vendor_class
    loader = pc.call(lambda: Client(mac(1), architecture=architecture, ipxe=True).ask("lab0"))
    assert loader
    assert ("boot/start.ipxe" if "none-for" not in file else file) == loader.file


def test_a_loader_that_there_is_not_is_named_in_the_status(room: Room) -> None:
    pc = room.pcs[0]
    lease = pc.call(lambda: Client(mac(1), architecture=11).ask("lab0"))
    assert lease
    pc.run("ip", "address", "add", f"{lease.address}/24", "dev", "lab0")
    pc.call(lambda: Transfer(lease.file, source=lease.address).first())
    until(lambda: any(event.refused for event in room.events()), "dnsmasq does not tell of it")

    farm = initial("lab", {})
    for event in room.events():
        farm = fold(farm, event)

    (problem,) = refused(farm, CONFIG)
    assert "no-loader" == problem.code
    assert f"The farm has no loader for {mac(1)}, which asked as 64-bit ARM." == problem.what


class Transfer:
    """A file by TFTP, block by block (RFC 1350)."""

    def __init__(self, path: str, source: str = "") -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((source, 0))
        self._ask = b"\0\1" + path.encode() + b"\0octet\0"
        self._from = (CONFIG.server, 69)
        self.got = b""

    def first(self) -> bool:
        """Ask, and again while nothing comes, as firmware does; whether something came at last."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self._socket.sendto(self._ask, (CONFIG.server, 69))
            self._socket.settimeout(1.0)
            with contextlib.suppress(TimeoutError):
                self._take()
                return True
        return False

    def rest(self) -> bytes:
        """Fetch what is left."""
        self._socket.settimeout(PATIENCE)
        while len(self.got) % BLOCK == 0:
            self._socket.sendto(struct.pack("!HH", 4, len(self.got) // BLOCK), self._from)
            self._take()
        self._socket.sendto(struct.pack("!HH", 4, len(self.got) // BLOCK + 1), self._from)
        self._socket.close()
        return self.got

    def _take(self) -> None:
        """The next block; one that was sent again counts once."""
        wanted = len(self.got) // BLOCK + 1
        while True:
            packet, self._from = self._socket.recvfrom(2048)
            if packet[:2] == b"\0\5":
                self._socket.close()
                return
            if packet[:4] == struct.pack("!HH", 3, wanted & 0xFFFF):
                self.got += packet[4:]
                return


def test_a_whole_room_fetches_at_a_time(room: Room) -> None:
    def fetch() -> list[bytes]:
        transfers = [Transfer("images/1/initrd") for _ in range(ROOM)]
        # None goes on before the last one has begun.
        assert all(transfer.first() for transfer in transfers)
        return [transfer.rest() for transfer in transfers]

    assert [INITRD] * ROOM == room.pcs[0].call(fetch)


def test_one_machine_cannot_keep_the_others_from_their_loader(room: Room) -> None:
    evil, good = room.pcs

    def flood(sock: socket.socket) -> int:
        """How many transfers it holds by asking and saying nothing more: each has a port of its own."""
        ports = set()
        for _ in range(FLOOD):
            sock.sendto(b"\0\1images/1/initrd\0octet\0", (CONFIG.server, 69))
            sock.settimeout(0.001)
            with contextlib.suppress(TimeoutError):
                ports.add(sock.recvfrom(2048)[1])
        return len(ports)

    def fetch() -> bytes:
        transfer = Transfer("images/1/initrd")
        assert transfer.first()
        return transfer.rest()

    with evil.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as silent:
        assert 0 < flood(silent) < render.TFTP_MAX / 2
        assert INITRD == good.call(fetch)
