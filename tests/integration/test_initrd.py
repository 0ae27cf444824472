"""How the initrd finds the card it was booted from: its own script, run by busybox, with cards made for the purpose."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.image.kinds import COMMON, layer_dir

SCRIPT = layer_dir(COMMON) / "initramfs/scripts/farm"
WANTED, OTHER, THIRD = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"
FIND_THE_NETWORK = """
mount --bind "$1/cmdline" /proc/cmdline
mount --bind /dev/null /dev/kmsg
exec env -i PATH="$1/bin" BOOTIF="$2" "$1/bin/sh" -euc '
panic() { echo "panic: $*"; exit 1; }
. "$1"
[ -z "$2" ] || farm_patience=$2
set +eu
farm_network
echo "took $nic with frames of $(cat /sys/class/net/$nic/mtu) bytes"
farm_machine_id > "$3"
' sh "$3" "$4" "$1/machine-id"
"""
SOON, AT_ITS_TIME = "1", ""
_numbers = itertools.count()


class Machine:
    """A network namespace as a machine in its initrd: its cards, and the tools an initrd has."""

    def __init__(self, folder: Path) -> None:
        self.name = f"ft-initrd-{os.getpid()}-{next(_numbers)}"
        self.folder = folder
        (folder / "bin").mkdir()
        subprocess.run(["busybox", "--install", "-s", folder / "bin"], check=True)
        self.drivers("")
        self.frames(1500)
        subprocess.run(["ip", "netns", "add", self.name], check=True)

    def frames(self, mtu: int) -> None:
        """What the kernel's command line says."""
        line = f"boot=farm quiet farm.mtu={mtu} ip=10.0.0.9::10.0.0.1:255.255.255.0:::off\n"
        (self.folder / "cmdline").write_text(line)

    def drivers(self, action: str) -> None:
        """What loading drivers does here: not this computer's own, but a command; asked for devices are in asked."""
        modprobe = self.folder / "bin/modprobe"
        modprobe.unlink()
        modprobe.write_text(f'#!/bin/sh\necho "$@" >> "{self.folder}/asked"\n{action}\n')
        modprobe.chmod(0o755)

    def ip(self, *words: str) -> None:
        subprocess.run(["ip", "-n", self.name, *words], check=True)

    def card(self, name: str, mac: str, *, plugged: bool = True) -> None:
        """A card that has a link once both its ends are up."""
        self.ip("link", "add", name, "address", mac, "type", "veth", "peer", "name", f"{name}-plug")
        # The other end is no card of this machine.
        subprocess.run(["ip", "netns", "add", f"{self.name}-{name}"], check=True)
        self.ip("link", "set", f"{name}-plug", "netns", f"{self.name}-{name}")
        if plugged:
            self.plug(name)

    def plug(self, name: str) -> None:
        subprocess.run(["ip", "-n", f"{self.name}-{name}", "link", "set", f"{name}-plug", "up"], check=True)

    def start(self, bootif: str = "", patience: str = AT_ITS_TIME) -> subprocess.Popen[str]:
        """Begin what the initrd does; by default it gives up when a real one would."""
        argv = ["ip", "netns", "exec", self.name, "sh", "-euc", FIND_THE_NETWORK, "sh"]
        argv += [str(self.folder), bootif, str(SCRIPT), patience]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def boot(self, bootif: str = "", patience: str = AT_ITS_TIME) -> str:
        """All that its screen shows."""
        return self.start(bootif, patience).communicate()[0]

    def up(self, name: str) -> bool:
        shown = subprocess.run(
            ["ip", "-n", self.name, "link", "show", name], capture_output=True, text=True, check=True
        )
        return "UP" in shown.stdout.split("<")[1].split(">")[0].split(",")

    def close(self) -> None:
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
        for name in listed:
            if name == self.name or name.startswith(f"{self.name}-"):
                subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    try:
        yield machine
    finally:
        machine.close()


@pytest.mark.parametrize(
    "bootif",
    ["01-52-54-00-00-00-01", "52-54-00-00-00-01", "52:54:00:00:00:01", "01:52:54:00:00:00:01"],
)
def test_the_card_that_the_firmware_booted_from_is_taken_however_it_is_written(machine: Machine, bootif: str) -> None:
    machine.card("eth0", OTHER)
    machine.card("eth1", WANTED)

    assert "took eth1 with frames of 1500 bytes\n" == machine.boot(bootif)
    assert not machine.up("eth0")


def test_a_machine_has_the_same_id_at_each_boot(machine: Machine) -> None:
    machine.card("eth0", "52:54:00:ab:cd:ef")
    machine.boot()

    assert "525400abcdef" + 20 * "0" + "\n" == (machine.folder / "machine-id").read_text()


def test_letters_of_an_address_may_be_capital(machine: Machine) -> None:
    machine.card("eth0", "52:54:00:ab:cd:ef")

    assert "took eth0 with frames of 1500 bytes\n" == machine.boot("01-52-54-00-AB-CD-EF")


def test_a_card_that_is_not_there_is_named_with_those_that_are(machine: Machine) -> None:
    machine.card("eth0", OTHER)
    machine.card("eth1", THIRD)

    said = machine.boot("01-52-54-00-00-00-01", SOON)

    assert said == (
        f"panic: farm: no network card has the address {WANTED}, which the firmware booted from (BOOTIF). "
        f"There are: eth0 ({OTHER}), eth1 ({THIRD})\n"
    )


def test_a_machine_without_any_card_says_so(machine: Machine) -> None:
    assert "panic: farm: there is no network card: its driver or its firmware is missing\n" == machine.boot(
        "01-52-54-00-00-00-01", SOON
    )


def test_of_two_cards_with_one_address_that_with_a_link_is_taken(machine: Machine) -> None:
    machine.card("eth0", WANTED, plugged=False)
    machine.card("eth1", WANTED)

    assert "took eth1 with frames of 1500 bytes\n" == machine.boot("01-52-54-00-00-00-01")
    assert not machine.up("eth0")


def test_without_a_word_from_the_firmware_a_card_with_a_link_is_taken(machine: Machine) -> None:
    machine.card("eth0", OTHER, plugged=False)
    machine.card("eth1", WANTED)
    machine.card("eth2", THIRD, plugged=False)

    assert "took eth1 with frames of 1500 bytes\n" == machine.boot()


def test_cards_without_a_link_are_named(machine: Machine) -> None:
    machine.card("eth0", WANTED, plugged=False)

    said = machine.boot("01-52-54-00-00-00-01", SOON)

    assert said.startswith(f"panic: farm: no link on eth0 ({WANTED}). Is the cable in?")


def test_what_it_waits_for_stands_on_the_screen_before_it_gives_up_and_a_late_link_is_taken(machine: Machine) -> None:
    machine.card("eth0", WANTED, plugged=False)
    with machine.start("01-52-54-00-00-00-01") as booting:
        assert booting.stdout is not None
        assert booting.stdout.readline().startswith(f"farm: waiting: no link on eth0 ({WANTED})")
        machine.plug("eth0")
        assert "took eth0 with frames of 1500 bytes\n" == booting.stdout.read()


def test_a_card_that_refuses_large_frames_is_named_and_goes_on_with_ordinary_ones(machine: Machine) -> None:
    machine.card("eth0", OTHER)
    # A card on top of another one cannot carry larger frames than that.
    machine.ip("link", "set", "eth0", "up")
    machine.ip("link", "add", "eth1", "link", "eth0", "address", WANTED, "type", "macvlan")
    machine.frames(9000)

    told, took = machine.boot("01-52-54-00-00-00-01").splitlines()

    assert told.startswith("farm: eth1 refuses frames of 9000 bytes (farm.mtu): going on with 1500.")
    assert "took eth1 with frames of 1500 bytes" == took


def test_large_frames_are_set_where_the_card_can(machine: Machine) -> None:
    machine.card("eth0", WANTED)
    machine.frames(9000)

    assert "took eth0 with frames of 9000 bytes\n" == machine.boot("01-52-54-00-00-00-01")


def test_it_has_the_address_that_the_loader_was_given(machine: Machine) -> None:
    machine.card("eth0", WANTED)
    machine.boot("01-52-54-00-00-00-01")

    argv = ["ip", "-n", machine.name, "-o", "-4", "addr", "show", "dev", "eth0"]
    assert "inet 10.0.0.9/24 brd 10.0.0.255" in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_a_card_that_is_given_another_name_meanwhile_is_found_under_that(machine: Machine) -> None:
    machine.card("eth0", WANTED)
    ip = machine.folder / "bin/ip"
    ip.unlink()
    busybox = shutil.which("busybox")
    ip.write_text(f'#!/bin/sh\n[ "$3" != eth0 ] || {busybox} ip link set eth0 name enp3s0\nexec {busybox} ip "$@"\n')
    ip.chmod(0o755)

    assert "took enp3s0 with frames of 1500 bytes" == machine.boot("01-52-54-00-00-00-01").splitlines()[-1]


def test_drivers_are_asked_for_by_what_the_buses_show_and_once_for_each_of_it(machine: Machine) -> None:
    machine.card("eth0", WANTED, plugged=False)
    with machine.start("01-52-54-00-00-00-01") as booting:
        assert booting.stdout is not None
        booting.stdout.readline()  # it has looked for a link a hundred times
        machine.plug("eth0")
    (asked,) = (line for line in (machine.folder / "asked").read_text().splitlines() if "realtek" not in line)

    option, *devices = asked.split(" ")
    shown = {path.read_text().strip() for path in Path("/sys/bus").glob("*/devices/*/modalias")}
    assert "-abq" == option
    assert devices == sorted(alias for alias in shown if alias and " " not in alias)


@pytest.mark.parametrize(
    ("alias", "first"),
    [
        ("pci:v000010ECd00008168sv00001849sd00008168bc02sc00i00", ["-q realtek"]),
        ("pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00", []),
    ],
)
def test_the_phy_of_realteks_cards_has_its_driver_first(machine: Machine, alias: str, first: list[str]) -> None:
    load = 'cat() { echo "$1"; }; . "$2"; driven=""; farm_drivers'
    path = {"PATH": f"{machine.folder}/bin"}
    shell = [machine.folder / "bin/sh", "-euc", load.replace("$1", alias).replace("$2", str(SCRIPT))]
    subprocess.run(shell, env=path, check=True)

    assert [*first, f"-abq {alias}"] == (machine.folder / "asked").read_text().splitlines()


def test_a_card_whose_driver_is_loaded_in_the_initrd_is_found(machine: Machine) -> None:
    machine.card("late0", OTHER)
    machine.drivers(f"{shutil.which('ip')} link set late0 address {WANTED}")

    assert "took late0 with frames of 1500 bytes\n" == machine.boot("01-52-54-00-00-00-01")


@pytest.mark.parametrize(
    "root", ["", "aoe", "floppy:1", "/etc/passwd", "nbd", "nbd:10.0.0.1", "nbd:10.0.0.1:x:y", "nbd:10.0.0.1:10809:"]
)
def test_a_root_by_no_road_is_named_with_the_roads_there_are(machine: Machine, root: str) -> None:
    (machine.folder / "cmdline").write_text(f"boot=farm farm.root={root} quiet\n")
    choose = 'panic() { echo "panic: $*"; exit 1; }; . "$1"; farm_roads=$1-roads; farm_root'
    argv = ["unshare", "--mount", "sh", "-euc", 'mount --bind "$1" /proc/cmdline; exec busybox sh -euc "$2" sh "$3"']

    shown = subprocess.run(
        [*argv, "sh", machine.folder / "cmdline", choose, SCRIPT], capture_output=True, text=True, check=False
    )

    assert 1 == shown.returncode
    assert shown.stdout.startswith(f"panic: farm: farm.root={root}")
    assert ("nbd:HOST" if root.startswith("nbd") else "aoe") in shown.stdout


def asked(machine: Machine, whom: str) -> int:
    """How often the initrd asks within three seconds for what it does not get."""
    count = 'panic() { echo "$asked"; exit 1; }; . "$1"; farm_patience=3; farm_wait never why $2'
    never = "asked=0; never() { asked=$((asked + 1)); return 1; }; why() { :; }; "
    argv = ["unshare", "--mount", "sh", "-euc", 'mount --bind /dev/null /dev/kmsg; exec busybox sh -euc "$@"', "sh"]
    shown = subprocess.run([*argv, never + count, "sh", SCRIPT, whom], capture_output=True, text=True, check=False)
    return int(shown.stdout.split()[-1])


def test_a_server_that_does_not_answer_is_asked_ever_less_often(machine: Machine) -> None:
    assert 2 < asked(machine, "server") < 12


MOUNT = """
mount -t tmpfs tmpfs /run
mount --bind "$1/cmdline" /proc/cmdline
exec env -i PATH="$1/bin" "$1/bin/sh" -uc '
panic() { echo "panic: $*"; exit 1; }
. "$1"
farm_roads=$1-roads nic=lo rootmnt=$2/root
farm_network() { :; }
nc() { :; }
busybox() { shift 6; echo "$1" > /run/asked; mount -o bind TREE "$2"; }
farm_read_ahead() { :; }
mountroot
cd "$rootmnt" && mv etc/link etc/renamed && cat /run/asked etc/renamed
' sh "$2" "$1"
"""
"""Its network is there, and where the kernel would mount by NFS, a folder of this machine stands in."""


def test_a_folder_is_the_root_as_it_is_and_stays_so(machine: Machine) -> None:
    tree = machine.folder / "tree"
    (tree / "etc/systemd/network").mkdir(parents=True)
    (tree / "etc/systemd/network/20-farm.network").write_text("[Match]\nType=ether\n")
    (tree / "etc/hostname").write_text("chroot\n")
    (tree / "etc/link").symlink_to("hostname")
    (machine.folder / "root").mkdir()
    (machine.folder / "cmdline").write_text("boot=farm farm.root=nfs:10.0.0.1:/trees/dev/ ip=10.0.0.9:::\n")

    argv = ["unshare", "--mount", "sh", "-euc", MOUNT.replace("TREE", str(tree)), "sh", machine.folder, SCRIPT]
    shown = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (0, "10.0.0.1:/trees/dev\nchroot\n") == (shown.returncode, shown.stdout), shown.stderr
    assert "hostname" == os.readlink(tree / "etc/link")
    assert "Type=ether" in (tree / "etc/systemd/network/20-farm.network").read_text()
