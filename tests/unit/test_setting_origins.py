"""What a machine gets, and which line says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import to_builtins
from rich.console import Console

from farm.cli.next_boot import next_boot, settings_table
from farm.config.origins import Origins, SettingOrigin
from farm.home import Home
from farm.view.status import CompileStatus, NodeStatus, SessionStatus
from farm.watch.events import Stage

ROOM = """\
# the room
name: lab
interface: eno2
image: {root: nbd}
images:
  cad:   # for the drawing office
    kernel_options: i=1
nodes:
  free_after: 5
  kernel_options: n=1
  files:
    - {path: /opt/site/a, source: all}
    - path: /opt/site/b   # the group has another
      source: all
machines:
  - mac: "52:54:00:00:00:01"
    name: pc01
    address: 10.77.0.11
    when_used: one
    kernel_options: m=1
  - {mac: '52:54:00:00:00:02', name: pc02, boot: local}
groups:
  office:
    machines:
      # by the window
      - pc01..pc02
      - "52:54:00:00:00:0a"
    image: cad
    files:
      - {path: /opt/site/b, source: office}
"""
PC01, PC02, UNNAMED, STRANGER = (f"52:54:00:00:00:{last}" for last in ("01", "02", "0a", "99"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A room, in which KIWI's client files speak too."""
    (tmp_path / "farm.yaml").write_text(ROOM)
    (tmp_path / "kiwi").mkdir()
    (tmp_path / "kiwi/c").touch()
    (tmp_path / "kiwi/config.default").write_text(
        "KIWI_KERNEL_OPTIONS='k=1'\nCONF=c;/opt/site/c,c;/opt/site/a\nNFSROOT=1;2\n"
    )
    (tmp_path / "kiwi/config.52.54.00.00.00.99").write_text(
        "# its own\nNFSROOT='1.2.3.4;/x'\nKIWI_KERNEL_OPTIONS=s=1\n"
    )
    return Home.at(tmp_path)


def said(home: Home, mac: str) -> list[str]:
    """Every setting of a machine: its value, where that is said, and the key."""
    boots = next_boot(home, node(mac), {})
    assert boots
    return [f"{setting} {origin.value} {origin.at or 'default'} {origin.key}" for setting, origin in boots.origins()]


def node(mac: str, kind: str = "cad", desk: bool = False) -> NodeStatus:
    return NodeStatus(
        key=mac,
        name="x",
        mac=mac,
        address="",
        stage=Stage.READY,
        since=0.0,
        kind=kind,
        root="nbd",
        compile=CompileStatus(),
        session=SessionStatus() if desk else None,
    )


def test_each_setting_has_the_line_that_says_it(home: Home) -> None:
    assert said(home, PC01) == [
        "name pc01 farm.yaml:17 machines[0].name",
        "group office farm.yaml:26 groups.office.machines[0]",
        "boot node default machines[0].boot",
        "image cad farm.yaml:28 groups.office.image",
        "root nbd farm.yaml:4 image.root",
        "address 10.77.0.11 farm.yaml:18 machines[0].address",
        "slots 0 default nodes.slots",
        "when used one farm.yaml:19 machines[0].when_used",
        "free after 5 farm.yaml:9 nodes.free_after",
        "kernel options k=1 kiwi/config.default:1 KIWI_KERNEL_OPTIONS",
        "kernel options n=1 farm.yaml:10 nodes.kernel_options",
        "kernel options i=1 farm.yaml:7 images.cad.kernel_options",
        "kernel options m=1 farm.yaml:20 machines[0].kernel_options",
        "files /opt/site/c kiwi/config.default:2 CONF",
        "files /opt/site/a farm.yaml:12 nodes.files[0]",
        "files /opt/site/b farm.yaml:30 groups.office.files[0]",
    ]


def test_a_machine_that_boots_from_its_disk_says_so(home: Home) -> None:
    assert "boot local farm.yaml:21 machines[1].boot" in said(home, PC02)


def test_a_machine_that_only_a_group_names_has_no_name_of_its_own(home: Home) -> None:
    assert said(home, UNNAMED)[:3] == [
        "group office farm.yaml:27 groups.office.machines[1]",
        "boot node default machines[].boot",
        "image cad farm.yaml:28 groups.office.image",
    ]


def test_a_machine_of_a_kiwi_file_has_its_lines(home: Home) -> None:
    assert [each for each in said(home, STRANGER) if "config.52" in each] == [
        "root nfs kiwi/config.52.54.00.00.00.99:2 NFSROOT",
        "kernel options s=1 kiwi/config.52.54.00.00.00.99:3 KIWI_KERNEL_OPTIONS",
    ]


def test_a_machine_that_is_not_listed_boots_as_nodes_unknown_says(home: Home) -> None:
    assert said(home, "52:54:00:00:00:55")[:2] == [
        "boot boot default nodes.unknown",
        "image icecream-node default nodes.image",
    ]


@pytest.mark.parametrize("mac", [PC01, PC02, UNNAMED, STRANGER, ""])
def test_what_adds_up_is_told_whole(home: Home, mac: str) -> None:
    origins = Origins(home)
    machine = next((each for each in origins.config.listed if each.mac == mac), None)
    assert " ".join(str(each.value) for each in origins.kernel_options(machine)) == origins.config.kernel_options_of(
        machine
    )
    assert [each.value for each in origins.files(machine)] == [each.path for each in origins.config.files_of(machine)]


def test_the_table_says_what_the_farm_does_not_serve_yet(home: Home) -> None:
    boots = next_boot(home, node(PC01), {})
    assert boots
    console = Console(width=160)
    with console.capture() as shown:
        console.print(settings_table(boots, node(PC01, "icecream-node", desk=True)))
    lines = [" ".join(line.split()) for line in shown.get().splitlines()]
    assert "image cad farm.yaml:28: groups.office.image. The farm serves another one. Apply it: sudo farm up" in lines
    assert {"slots one per processor default (nodes.slots)", "free after 5 min farm.yaml:9: nodes.free_after"} <= {
        *lines
    }
    with console.capture() as shown:
        console.print(settings_table(boots, node(PC01)))
    assert "free after" not in shown.get() and "serves another" not in shown.get()


def test_an_lts_conf_that_can_not_be_read_hides_nothing_else(home: Home) -> None:
    home.config.with_name("lts.conf").write_bytes(b"#" * 2_000_000)
    boots = next_boot(home, node(PC01), {})
    assert boots and boots.lts_conf == [] and boots.image_from.value == "cad"


def test_the_json_twin_has_value_key_file_and_line(home: Home) -> None:
    boots = next_boot(home, node(PC01), {})
    assert boots and isinstance(boots.root_from, SettingOrigin)
    assert to_builtins(boots)["root_from"] == {
        "value": "nbd",
        "key": "image.root",
        "file": str(home.config),
        "line": 4,
    }
