"""What nodes, dnsmasq, nginx and supervisord are told."""

from __future__ import annotations

import configparser
import shlex
from ipaddress import IPv6Address
from pathlib import Path

import msgspec
import pytest

from farm.config import FIRST_KIND, Config, DhcpConfig, ExportConfig, MachineConfig, NodesConfig, SchedulerConfig
from farm.errors import FarmError
from farm.export.aoe import Aoe, vblade
from farm.home import Home
from farm.netboot import render
from farm.netboot.settings import machine_document, machine_settings
from farm.serve import firewall
from farm.supervisor import Service
from farm.supervisor import render as supervisor_conf

VERSION = "20260101.1"
ROOT = "aoe:e7.5"
KINDS = {FIRST_KIND: render.Booted(VERSION, {"aoe": ROOT})}
PC01 = MachineConfig(mac="52:54:00:00:00:01", name="pc01", address="10.77.0.11", slots=3, kernel_options="nomodeset")
PC02 = MachineConfig(mac="52:54:00:00:00:02", name="pc02", boot="local")
CONFIG = Config(
    name="lab", machines=[PC01, PC02], nodes=NodesConfig(kernel_options="quiet2", slots=1, authorized_keys=["k2"])
)


def options(script: str) -> dict[str, str]:
    """The kernel command line of an iPXE script, by HTTP and by TFTP alike."""
    lines = [line.removesuffix(" || goto tftp").removesuffix(" || goto later") for line in script.splitlines()]
    by_http, by_tftp = (line.split()[2:] for line in lines if line.startswith("kernel "))
    assert by_http == by_tftp
    return dict(word.partition("=")[::2] for word in by_http)


def test_the_kernel_is_told_what_a_node_needs_to_find_its_server_and_root() -> None:
    told = options(render.boot_scripts(CONFIG, KINDS, 9000)["default.ipxe"])

    expected = {
        "boot": "farm",
        "initrd": "initrd",
        "farm.server": "10.77.0.1",
        "farm.http": "8069",
        "farm.image": "20260101.1",
        "farm.root": "aoe:e7.5",
        "farm.mtu": "9000",
        "BOOTIF": "01-${netX/mac:hexhyp}",
        "quiet2": "",
    }
    assert expected == {key: told[key] for key in expected}
    assert told["ip"].startswith("${netX/ip}:")


def test_kernel_and_initrd_are_those_of_the_version_and_a_failure_leads_to_the_local_disk() -> None:
    script = render.boot_scripts(CONFIG, KINDS, 1500)["default.ipxe"]

    assert script.startswith("#!ipxe\n")
    assert "kernel ${farm}/images/20260101.1/kernel?mac=${netX/mac:hexhyp} " in script
    assert "initrd ${farm}/images/20260101.1/initrd?mac=${netX/mac:hexhyp} || goto tftp" in script
    assert "initrd tftp://10.77.0.1/images/20260101.1/initrd || goto later" in script
    assert script.endswith("exit\n")


def test_each_listed_machine_has_its_own_script_and_options() -> None:
    scripts = render.boot_scripts(CONFIG, KINDS, 1500, extra="console=ttyS0")

    assert {"start.ipxe", "default.ipxe", "52-54-00-00-00-01.ipxe", "52-54-00-00-00-02.ipxe"} == scripts.keys()
    assert {"nomodeset", "quiet2", "console"} <= options(scripts["52-54-00-00-00-01.ipxe"]).keys()
    assert "nomodeset" not in options(scripts["default.ipxe"])
    assert "kernel" not in scripts["52-54-00-00-00-02.ipxe"]


@pytest.mark.parametrize(("unknown", "boots"), [("boot", True), ("local", False)])
def test_a_machine_nobody_listed_boots_or_goes_to_its_disk_as_configured(unknown: str, boots: bool) -> None:
    config = msgspec.convert({"nodes": {"unknown": unknown}}, Config)

    script = render.boot_scripts(config, KINDS, 1500)["default.ipxe"]

    assert boots == ("\nkernel " in script)
    assert script.endswith("exit\n")


def test_the_first_script_tries_http_then_tftp_then_the_local_disk() -> None:
    script = render.boot_scripts(CONFIG, KINDS, 1500)["start.ipxe"]

    places = [script.index(mark) for mark in ("http://10.77.0.1:8069", "tftp://10.77.0.1", "default.ipxe", "\nexit")]
    assert sorted(places) == places


def test_a_node_is_told_its_name_slots_and_whom_to_let_in() -> None:
    told = machine_settings(CONFIG, "farm-key")

    assert {"default.json", "52-54-00-00-00-01.json", "52-54-00-00-00-02.json"} == told.keys()
    assert [None, "pc01", "pc02"] == [document["name"] for document in told.values()]
    assert [1, 3, 1] == [document["slots"] for document in told.values()]
    assert ["farm-key", "k2"] == told["default.json"]["authorized_keys"]
    assert ("icecream-lab", "10.77.0.1:8765") == (told["default.json"]["netname"], told["default.json"]["scheduler"])


def test_a_machine_is_told_what_its_roles_need_and_no_more() -> None:
    told = machine_document(CONFIG, PC01, "farm-key", roles=())

    assert {"schema", "farm", "name", "telemetry_port", "authorized_keys", "roles"} == told.keys()
    assert [] == told["roles"]
    assert ["compile"] == machine_settings(CONFIG, "farm-key")["52-54-00-00-00-01.json"]["roles"]


def test_dnsmasq_serves_the_labs_interface_only_and_knows_the_machines() -> None:
    config = Config(
        address="10.77.0.1/22",
        dhcp=DhcpConfig(first="10.77.1.1", last="10.77.2.9", lease="30m"),
        machines=CONFIG.machines,
        http_port=8100,
    )

    lines = render.dnsmasq_conf(config, Home.at(Path("/a farm")), "eno2").splitlines()

    assert {"interface=eno2", "bind-interfaces", "except-interface=lo", "port=0"} <= set(lines)
    assert "dhcp-range=10.77.1.1,10.77.2.9,255.255.252.0,30m" in lines
    assert "dhcp-host=52:54:00:00:00:01,pc01,10.77.0.11" in lines
    assert "dhcp-host=52:54:00:00:00:02,pc02" in lines
    assert "dhcp-boot=tag:ipxe,tag:!foreign,boot/start.ipxe" in lines
    assert "log-facility=/a farm/log/dnsmasq.log" in lines


def test_name_servers_are_told_by_dhcp_if_there_are_any() -> None:
    assert "dns-server" not in render.dnsmasq_conf(CONFIG, Home.at(Path("/lab")), "lab0")
    dhcp = DhcpConfig(name_servers=["10.77.0.2", "10.77.0.3"], domain="school.lan")
    text = render.dnsmasq_conf(msgspec.structs.replace(CONFIG, dhcp=dhcp), Home.at(Path("/lab")), "lab0")
    lines = text.splitlines()
    assert "dhcp-option=option:dns-server,10.77.0.2,10.77.0.3" in lines
    assert "dhcp-option=option:domain-name,school.lan" in lines


def test_nginx_listens_on_the_labs_address_only() -> None:
    conf = render.nginx_conf(Config(address="10.1.2.3/24", http_port=8100), Home.at(Path("/a farm")))

    assert ["listen 10.1.2.3:8100 backlog=4096;"] == [line.strip() for line in conf.splitlines() if "listen" in line]
    assert 'root "/a farm/run/http";' in conf


def test_the_ipv6_prefix_is_local_and_stays_the_same_for_a_farm() -> None:
    prefix = IPv6Address(f"{render.ula_prefix('lab')}::")

    assert prefix.is_private
    assert 0xFD == prefix.packed[0]
    assert render.ula_prefix("lab") == render.ula_prefix("lab")
    assert render.ula_prefix("lab") != render.ula_prefix("lab2")


def test_an_export_is_read_only_with_a_window_for_many_nodes() -> None:
    service = vblade(5, Path("/i/root.squashfs"), shelf=7, interface="eno2", buffer=ExportConfig().buffer)

    assert "aoe-5" == service.name
    assert "vblade -r -b 4096 7 5 eno2 /i/root.squashfs" == shlex.join(service.argv)
    assert 4096 * 9000 == Aoe().socket_buffer(Config(), 9000)


def test_farms_have_filters_of_their_own() -> None:
    config = Config(name="lab-2", scheduler=SchedulerConfig(port=9000))

    rules = firewall.ruleset(config, "eno2", ["aoe"])

    assert "farm_lab_2" == firewall.table(config)
    assert 'iifname "eno2" tcp dport 9001 reject' in rules
    assert {"farm_lab_2"} == {line.split()[-2] for line in rules.splitlines() if line.startswith("table")}


def parsed(home: Home, *services: Service) -> configparser.ConfigParser:
    """As supervisord parses it."""
    parser = configparser.ConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(supervisor_conf(home, services))
    return parser


def test_supervisord_reads_back_what_was_meant_whatever_the_home_is_called() -> None:
    home = Home.at(Path("/srv/my farm/100%"))
    odd = Service(
        "odd", ["prog", "a b", "50%", "it's", 'say "x"', "$HOME", "%(here)s"], environment={"A": "1%", "B": "2"}
    )

    conf = parsed(home, odd)

    assert odd.argv == shlex.split(conf["program:odd"]["command"])
    assert 'A="1%",B="2"' == conf["program:odd"]["environment"]
    assert f"{home.supervisor_socket}" == conf["unix_http_server"]["file"]
    assert f"{home.logs}/supervisord.log" == conf["supervisord"]["logfile"]


def test_services_start_in_their_order_and_are_restarted_unless_they_may_end() -> None:
    conf = parsed(
        Home.at(Path("/h")),
        Service("late", ["b"], order=50),
        Service("machine", ["c"], order=90, restart=False),
        Service("early", ["a"], order=10),
    )

    assert ["early", "late", "machine"] == [name.split(":")[1] for name in conf if name.startswith("program:")]
    assert ["true", "true", "false"] == [
        conf[f"program:{name}"]["autorestart"] for name in ("early", "late", "machine")
    ]


@pytest.mark.parametrize("word", ["a ;b", "a #b", "a\nb", "a\n[program:evil]"])
def test_what_supervisords_format_cannot_say_is_refused(word: str) -> None:
    with pytest.raises(FarmError) as caught:
        supervisor_conf(Home.at(Path("/h")), [Service("x", ["prog", word])])

    assert "supervisord could not read this setting." == caught.value.what
