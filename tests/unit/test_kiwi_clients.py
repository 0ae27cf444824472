"""KIWI's client files: the examples of its documentation, what KIWI-LTSP wrote, and anything else."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.cli import cli
from farm.cli.next_boot import next_boot
from farm.config import Config, DhcpConfig, FileConfig, MachineConfig
from farm.config.file import kiwi_warnings, load
from farm.config.kiwi_clients import KiwiClient, parse_client, read_clients, with_clients
from farm.config.rules import check
from farm.home import Home
from farm.view.status import NodeStatus
from farm.watch.events import Stage

MAC = "00:ab:f3:11:73:c8"


def node(mac: str) -> NodeStatus:
    return NodeStatus(key=mac, name="a", address="", stage=Stage.READY, since=0.0, mac=mac)


def read(text: str, folder: Path = Path("/nowhere")) -> KiwiClient:
    return parse_client(text, "config.default", None, folder)


def told(client: KiwiClient) -> list[tuple[int, str]]:
    """Line and variable of each warning."""
    return [(line.line, line.text.partition(" ")[0].rstrip(":")) for line in client.warnings]


@pytest.mark.parametrize(
    ("text", "root", "warnings"),
    [
        ("AOEROOT=/dev/etherd/e0.1\nUNIONFS_CONFIG=tmpfs,aoe,overlay\n", "aoe", []),
        ("NBDROOT=192.168.100.2;root_export;/dev/nbd0\nUNIONFS_CONFIG=tmpfs,nbd,overlay\n", "nbd", []),
        ('NBDROOT="192.168.100.2;20000"', "nbd", []),
        ("AOEROOT=/dev/etherd/e0.1,/dev/etherd/e0.2", "aoe", [(1, "AOEROOT")]),
        ('NBDROOT="10.0.0.1;root;/dev/nbd0;swap;/dev/nbd1;;"', "nbd", [(1, "NBDROOT")]),
        ('\nIMAGE="/dev/sda2;Leap;1.42.1;192.168.100.2;4096"\nDISK="/dev/sda"\nPART="5;S;x,x;L;/"\n', None,
         [(2, "IMAGE"), (3, "DISK"), (4, "PART")]),
        ('RAID="1;/dev/sda;/dev/sdb"\nRELOAD_IMAGE=1\nRELOAD_CONFIG=1\nREBOOT_IMAGE=1\nKIWI_BOOT_TIMEOUT="10"', None,
         [(1, "RAID"), (2, "RELOAD_IMAGE"), (3, "RELOAD_CONFIG"), (4, "REBOOT_IMAGE"), (5, "KIWI_BOOT_TIMEOUT")]),
        ("UNIONFS_CONFIG=/dev/ram2,/dev/ram1,overlay", None, []),
        ("UNIONFS_CONFIG=/dev/sda1,aoe,overlay", None, [(1, "UNIONFS_CONFIG")]),
        ("AOEROOT=/dev/etherd/e0.1\nNBDROOT=1.2.3.4;x", "nbd", [(2, "NBDROOT")]),
        ("DISK=a\nDISK=b\n", None, [(1, "DISK")]),
    ],
)  # fmt: skip
def test_the_examples_of_the_documentation(text: str, root: str | None, warnings: list[tuple[int, str]]) -> None:
    client = read(text)
    assert (root, warnings) == (client.root, told(client))


def test_kernel_options_but_for_those_of_the_farm() -> None:
    client = read('KIWI_KERNEL_OPTIONS="nomodeset farm.server=1.2.3.4 quiet"  # for old cards')
    assert "nomodeset quiet" == client.kernel_options
    assert [(1, "KIWI_KERNEL_OPTIONS")] == told(client)


def test_files_of_conf(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    (tmp_path / "root.default/etc").mkdir(parents=True)
    (tmp_path / "root.default/etc/lts.conf").write_text("[default]\n")
    (tmp_path / "root.default/etc/out").symlink_to("/etc/shadow")
    client = read(
        'CONF="hosts;/etc/hosts;192.168.1.2;4096;ffffffff"\n'
        'CONF="/KIWI/root.default/etc/lts.conf;/etc/lts.conf;192.168.1.100,'
        "/KIWI/root.default/etc/ssh/ssh_known_hosts;/etc/ssh/ssh_known_hosts;192.168.1.100,"
        'hosts;/opt/a/hosts;;,../farm.yaml;/opt/b;;,root.default/etc/out;/opt/c;;,gone;/opt/d;;,"\n',
        tmp_path,
    )
    assert [
        FileConfig("/etc/lts.conf", "kiwi/root.default/etc/lts.conf"),
        FileConfig("/opt/a/hosts", "kiwi/hosts"),
    ] == client.files
    assert [2] * 4 == [line.line for line in client.warnings]
    first = read('CONF="hosts;/etc/hosts;192.168.1.2;4096;ffffffff"', tmp_path)
    assert ([FileConfig("/etc/hosts", "kiwi/hosts")], []) == (first.files, first.warnings)


@pytest.mark.parametrize(
    "line",
    [
        "AOEROOT=$(id)",
        "AOEROOT=`id`",
        'AOEROOT="${x}"',
        "rm -rf /",
        "AOEROOT='a",
        ". /etc/x",
        "if true; then",
        "AOEROOT=ä",
    ],
)
def test_nothing_is_run(line: str) -> None:
    client = read(line)
    assert (None, 1) == (client.root, len(client.warnings))


LINES = st.one_of(
    st.builds(
        "{}={}{}{}".format,
        st.sampled_from(["AOEROOT", "NBDROOT", "NFSROOT", "UNIONFS_CONFIG", "CONF", "KIWI_KERNEL_OPTIONS", "X"]),
        st.sampled_from(["", '"', "'"]),
        st.text(string.printable, max_size=40)
        | st.lists(st.sampled_from(["hosts", ";", "/etc/hosts", ",", "..", "/", "quiet", " ", "boot=x", "||"])).map(
            "".join
        ),
        st.sampled_from(["", '"', "'"]),
    ),
    st.text(max_size=40),
)


@given(st.lists(LINES, max_size=6).map("\n".join))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_it_says_the_configuration_stays_valid(tmp_path: Path, text: str) -> None:
    (tmp_path / "hosts").write_text("")
    for mac in (None, MAC):
        client = parse_client(text, "config.x", mac, tmp_path)
        config, warnings = with_clients(Config(), [client], {})
        assert [] == check(config)
        assert all(str(line).isprintable() and line.line <= text.count("\n") + 1 for line in warnings)


def test_a_machine_in_farm_yaml_wins_over_its_client_file(tmp_path: Path) -> None:
    (tmp_path / "kiwi").mkdir()
    (tmp_path / "kiwi/config.default").write_text("NBDROOT=1.2.3.4;x\nKIWI_KERNEL_OPTIONS=all\n")
    (tmp_path / "kiwi/config.00.AB.F3.11.73.C8").write_text("AOEROOT=/dev/etherd/e0.1\nKIWI_KERNEL_OPTIONS=own\n")
    (tmp_path / "kiwi/config.C0A80001").write_text("AOEROOT=/dev/etherd/e0.1\n")
    path = tmp_path / "farm.yaml"
    path.write_text("interface: eno2\n")

    config = load(path)
    machine = MachineConfig(MAC, "node-1173c8", root="aoe", kernel_options="own")
    assert [machine] == config.machines
    assert ("nbd", "aoe") == (config.root_of(None), config.root_of(machine))
    assert "all own" == config.kernel_options_of(machine)
    assert ["config.C0A80001"] == [line.file for line in kiwi_warnings(path)]

    path.write_text(
        "interface: eno2\nimage: {root: aoe}\n"
        f"machines: [{{mac: '{MAC}', name: pc, root: nbd, kernel_options: last}}]\n"
    )
    config = load(path)
    assert ("aoe", "nbd") == (config.root_of(None), config.root_of(config.listed[0]))
    assert "all own last" == config.kernel_options_of(config.listed[0])


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.default").mkdir()
    (tmp_path / "config.01.00.00.00.00.00").write_text("")
    (tmp_path / "config.00.AB.F3.11.73.C8").write_text("#" * 70000)
    assert [1, 1, 1] == [len(client.warnings) for client in read_clients(tmp_path)]
    assert [] == read_clients(tmp_path / "none")


def test_more_machines_than_addresses_change_nothing() -> None:
    config = Config(dhcp=DhcpConfig("10.77.0.50", "10.77.0.52"))
    clients = [KiwiClient(file=f"config.{n}", mac=f"52:54:00:00:00:{n:02x}", root="nbd") for n in range(4)]
    assert config == with_clients(config, clients, {})[0]
    assert "at least 4 are needed" in with_clients(config, clients, {})[1][-1].text
    assert 3 == len(with_clients(config, clients[:3], {})[0].machines)


def test_the_command_shows_what_counts(tmp_path: Path) -> None:
    (tmp_path / "kiwi").mkdir()
    (tmp_path / "farm.yaml").write_text("interface: eno2\n")
    (tmp_path / "kiwi/config.default").write_text("NBDROOT=1.2.3.4;x\n")
    (tmp_path / "kiwi/config.00.AB.F3.11.73.C8").write_text("\nDISK=/dev/sda\nAOEROOT=/dev/etherd/e0.1\n")
    command = ["--home", str(tmp_path), "config", "kiwi"]

    said = CliRunner().invoke(cli, command).output
    assert "kiwi/config.default:1: NBDROOT: root: nbd" in said
    assert "kiwi/config.00.AB.F3.11.73.C8:2: DISK is not supported" in said

    own = json.loads(CliRunner().invoke(cli, [*command, "00-ab-f3-11-73-c8", "--json"]).output)
    assert [MAC] == [client["mac"] for client in own["clients"]]
    assert [2] == [line["line"] for line in own["warnings"]]
    other = json.loads(CliRunner().invoke(cli, [*command, "52:54:00:00:00:01", "--json"]).output)
    assert ["config.default"] == [client["file"] for client in other["clients"]]

    reason = next_boot(Home.at(tmp_path), node(MAC), {})
    assert reason and ("AOEROOT", 3) == (reason.root_from.key, reason.root_from.line)
    reason = next_boot(Home.at(tmp_path), node("52:54:00:00:00:01"), {})
    assert reason and str(reason.root_from).endswith("kiwi/config.default:1: NBDROOT")
