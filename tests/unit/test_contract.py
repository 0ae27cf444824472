"""What farm.yaml may say, every node takes: from the file through what the server writes to what the node reads."""

from __future__ import annotations

import ipaddress
import json
import string
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.config import FIRST_KIND, Config, MachineConfig, NodesConfig, SchedulerConfig
from farm.config.file import parse
from farm.config.rules import check, dhcp_range, dotted, server_problems
from farm.errors import ConfigError, FarmError
from farm.netboot.render import Booted, boot_scripts
from farm.netboot.settings import machine_settings
from farm.node.contract import (
    FILE_PATH,
    KEY,
    KEYS_BYTES,
    MAX_BYTES,
    MAX_FILES,
    MAX_KEYS,
    NAME,
    NETNAME,
    SCHEDULER,
    SettingsError,
)
from farm.node.settings import parse_cmdline, parse_settings
from farm.workstation.join.candidates import check_netname

FARM_KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfarm{'x' * 8000} farm"
HASH = "0f" * 32
VERSION = "20260101.1"
IPXE = {"${netX/mac:hexhyp}": "52-54-00-00-00-01", "${netX/ip}": "10.77.0.50", "${netX/gateway}": ""}


def key(number: int = 0, kind: str = "ssh-ed25519", comment: str = "") -> str:
    return f"{kind} AAAA{number:016}{comment and ' '}{comment}"


def command_lines(config: Config) -> Iterator[str]:
    """What iPXE gives the kernel of each machine that boots as a node."""
    for script in boot_scripts(
        config, {FIRST_KIND: Booted(VERSION, {"aoe": "aoe:e7.5"})}, config.mtu, "console=ttyS0"
    ).values():
        for line in script.splitlines():
            if line.startswith("kernel "):
                command, _, _ = line.partition(" || ")  # as iPXE ends a command
                for variable, text in IPXE.items():
                    command = command.replace(variable, text)
                yield " ".join(command.split()[2:])


def compile_settings(config: Config, machine: MachineConfig | None) -> dict[str, object]:
    own = machine.slots if machine else None
    scheduler = f"{config.server}:{config.scheduler.port}"
    slots = config.nodes.slots if own is None else own
    policy = (machine.when_used if machine else None) or config.nodes.when_used
    rest = {"when_used": policy, "free_after": config.nodes.free_after}
    return {"netname": config.netname, "scheduler": scheduler, "slots": slots, **rest}


def see_that_images_from_before_roles_take(config: Config, machine: MachineConfig | None, said: dict[str, Any]) -> None:
    """By that image's own rules: this schema, these keys with these types, and whatever else is said passed over."""
    assert 1 == said["schema"]
    assert NAME.fullmatch(said["farm"])
    assert said["name"] is None or NAME.fullmatch(said["name"])
    assert NETNAME.fullmatch(said["netname"])
    assert SCHEDULER.fullmatch(said["scheduler"])
    assert (int, True) == (type(said["slots"]), 0 <= said["slots"] <= 1024)
    assert (int, True) == (type(said["telemetry_port"]), 1 <= said["telemetry_port"] <= 65535)
    assert len(said["authorized_keys"]) <= 64
    assert all(KEY.fullmatch(line) for line in said["authorized_keys"])
    assert compile_settings(config, machine) == {
        key: said[key] for key in ("netname", "scheduler", "slots", "when_used", "free_after")
    }


def see_that_nodes_take(config: Config) -> None:
    """What the server writes for this configuration is read by every node, and as it was meant."""
    machines = {f"{machine.mac.replace(':', '-')}.json": machine for machine in config.machines}
    hashes = {file.source: HASH for machine in (None, *config.listed) for file in config.files_of(machine)}
    for name, written in machine_settings(config, FARM_KEY, hashes=hashes).items():
        told = parse_settings(msgspec.json.format(msgspec.json.encode(written)))
        assert (config.name, machines[name].name if name in machines else None) == (told.farm, told.name)
        assert (written["roles"], []) == (list(told.roles), told.unknown)
        assert compile_settings(config, machines.get(name)) == told.roles["compile"]
        assert config.nodes.telemetry_port == told.telemetry_port
        assert [FARM_KEY, *config.nodes.authorized_keys] == told.authorized_keys
        given = config.files_of(machines.get(name))
        assert ([{"path": file.path, "sha256": HASH, "mode": file.mode} for file in given], {}) == (
            told.files,
            told.refused,
        )
        see_that_images_from_before_roles_take(config, machines.get(name), json.loads(msgspec.json.encode(written)))
    for line in command_lines(config):
        boot = parse_cmdline(line)
        assert (config.server, config.http_port, VERSION) == (boot.server, boot.http_port, boot.image)
        assert "52:54:00:00:00:01" == boot.mac
        assert "console=ttyS0" in line.split()


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
PORTS = st.sampled_from([80, 8065, 9105, 65535]) | st.integers(1, 65535)
NETNAMES = st.one_of(
    st.just(""), st.from_regex(r"[!-~]{0,64}", fullmatch=True), st.text(string.printable + "ä٣", max_size=66)
)
COMMENTS = st.text(max_size=10) | st.sampled_from(
    ["", "jürgen", "a b  c", "x" * 256, "x" * 257, '"\\' * 128, "a\u2028b"]
)
PUBLIC_KEYS = st.one_of(
    st.builds(key, st.integers(0, 9), st.sampled_from(["ssh-rsa", "sk-ssh-ed25519@openssh.com"]), COMMENTS),
    st.builds("{} {}".format, st.sampled_from(['command="id"', 'from="10.*"', "no-pty,restrict", ""]), st.builds(key)),
    st.from_regex(r"(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ AAAA[!-~ ]*", fullmatch=True),
)
WORDS = ["quiet", "farm.server=1.2.3.4", "BOOTIF=01-52", "ip=dhcp", "||", "#x", "x=${y}", 'd="a', 'd="b c"', "٣"]
OPTIONS = st.lists(st.sampled_from(WORDS), max_size=2).map(" ".join) | st.text(string.printable, max_size=10)
FILES = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from(
                [
                    "/etc/hosts",
                    "/etc/passwd",
                    "/opt/a/b",
                    "/opt/../etc/passwd",
                    "/opt/a/",
                    "/usr/local/bin/x",
                    "/opt/a\n",
                ]
            )
            | st.from_regex(FILE_PATH, fullmatch=True)
            | st.text(string.printable, max_size=20).map("/opt/{}".format),
            "source": st.sampled_from(["files/a", "/srv/b c"]),
            "mode": st.sampled_from(["0644", "0755", "4755"]),
        }
    ),
    max_size=3,
)
SERVERS = st.ip_addresses(v=4).flatmap(
    lambda address: st.integers(8, 29).map(lambda length: ipaddress.IPv4Interface((address, length)))
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """A farm.yaml that says of each key what it should, or nearly."""
    server = draw(SERVERS.filter(lambda server: not list(server_problems(server))))
    first, last = dhcp_range(server)
    plain = {
        "name": draw(NAMES),
        "address": str(server),
        "http_port": draw(PORTS),
        "dhcp": {"first": str(first), "last": str(last)},
        "scheduler": {"netname": draw(NETNAMES), "port": draw(PORTS)},
        "nodes": {
            "slots": draw(st.integers(0, 1024)),
            "telemetry_port": draw(PORTS),
            "authorized_keys": draw(st.lists(PUBLIC_KEYS, max_size=2)),
            "kernel_options": draw(OPTIONS),
            "files": draw(FILES),
        },
        "machines": [
            {"mac": "52:54:00:00:00:01", "name": draw(NAMES), "kernel_options": draw(OPTIONS), "files": draw(FILES)}
        ],
    }
    return yaml.safe_dump(plain, allow_unicode=draw(st.booleans()))


@given(files())
@settings(max_examples=200, deadline=None)
def test_what_the_check_accepts_every_node_accepts(text: str) -> None:
    try:
        config = parse(text)
    except ConfigError:
        return
    see_that_nodes_take(config)


@pytest.mark.parametrize(
    "said",
    [
        {"scheduler": {"netname": "lab/2"}},
        {"scheduler": {"netname": "_lab"}},
        {"scheduler": {"netname": "a=b"}},
        {"scheduler": {"netname": "x" * 64, "port": 65534}},
        {"name": "x" * 32, "http_port": 65535, "nodes": {"telemetry_port": 65535, "slots": 1024}},
        {"nodes": {"authorized_keys": [key(comment="jürgen"), key(1), key(2, comment="a  'b' \"c\" \\")]}},
        {"nodes": {"authorized_keys": [f'from="10.77.0.0/24,!10.77.0.9",no-pty {key()}', f"restrict,pty {key(1)}"]}},
        {"nodes": {"authorized_keys": [key(number) for number in range(MAX_KEYS - 1)]}},
        {"nodes": {"authorized_keys": [key(number, comment='"' * 256) for number in range(MAX_KEYS - 1)]}},
        {"nodes": {"authorized_keys": [key(number, comment="ü" * 250) for number in range(MAX_KEYS - 1)]}},
        {
            "nodes": {
                "authorized_keys": [key(number, comment='"' * 256) for number in range(MAX_KEYS - 1)],
                "files": [{"path": f"/opt/{'x' * 60}/{'y' * 59}{n:02}", "source": "a"} for n in range(MAX_FILES)],
            }
        },
        {"nodes": {"kernel_options": 'mitigations=auto dyndbg="file a.c +p" loglevel=7'}},
    ],
    ids=lambda said: str(said)[:60],
)
def test_at_its_limits_too(said: dict[str, Any]) -> None:
    see_that_nodes_take(parse(yaml.safe_dump(said)))


def wrong(said: dict[str, Any]) -> list[str]:
    """The keys that the check complains of."""
    return [dotted(problem.place) for problem in check(msgspec.convert(said, Config))]


@pytest.mark.parametrize("netname", ["-x", "a!b", "a$b", "lab;reboot", "(x)", 'a"b', "~lab", "#x"])
def test_a_netname_that_a_node_refuses_is_refused(netname: str) -> None:
    assert ["scheduler.netname"] == wrong({"scheduler": {"netname": netname}})
    with pytest.raises(SettingsError):
        parse_settings(
            msgspec.json.encode(machine_settings(Config(scheduler=SchedulerConfig(netname)), FARM_KEY)["default.json"])
        )


@pytest.mark.parametrize(
    "line",
    [
        f'command="id" {key()}',
        f'restrict,command="id" {key()}',
        f'environment="LD_PRELOAD=x" {key()}',
        f'from="\\"x" {key()}',
        f" {key()}",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 AAAA!",
        key(comment="x" * 257),
        f"ssh-rsa AAAA{'x' * 8189}",
    ],
    ids=lambda line: line[:40],
)
def test_a_key_that_a_node_refuses_is_refused(line: str) -> None:
    assert ["nodes.authorized_keys[0]"] == wrong({"nodes": {"authorized_keys": [line]}})


def test_more_keys_than_a_node_takes_are_refused() -> None:
    many = [key(number) for number in range(MAX_KEYS)]
    assert ["nodes.authorized_keys"] == wrong({"nodes": {"authorized_keys": many}})
    long = [f"ssh-rsa AAAA{number:08}{'x' * 5000}" for number in range(KEYS_BYTES // 5000 + 1)]
    assert ["nodes.authorized_keys"] == wrong({"nodes": {"authorized_keys": long}})
    config = Config(nodes=NodesConfig(authorized_keys=long[:-1]))
    assert [] == check(config)
    assert len(msgspec.json.encode(machine_settings(config, FARM_KEY)["default.json"])) < MAX_BYTES


@pytest.mark.parametrize(
    "options",
    ["farm.server=1.2.3.4", "x farm.http=1", "BOOTIF=01-x", "boot=local", "a || exit", "#x", "x=${y}", 'a="b'],
)
def test_kernel_options_that_a_node_would_not_get_or_go_by_are_refused(options: str) -> None:
    assert ["nodes.kernel_options"] == wrong({"nodes": {"kernel_options": options}})
    machine = {"mac": "52:54:00:00:00:01", "name": "a", "kernel_options": options}
    assert ["machines[0].kernel_options"] == wrong({"machines": [machine]})


@given(NETNAMES)
def test_a_netname_that_can_be_joined_is_one_that_a_farm_may_have(name: str) -> None:
    try:
        check_netname(name)
    except FarmError:
        refused = True
    else:
        refused = False
    assert refused == bool(check(Config(scheduler=SchedulerConfig(name)))) or not name


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/sudoers.d/x",
        "/etc/ssh/sshd_config",
        "/root/.ssh/authorized_keys",
        "/etc/systemd/system/x.service",
        "/usr/local/lib/systemd/system/x.service",
        "/etc/cron.d/x",
        "/etc/ld.so.preload",
        "/etc/profile.d/x.sh",
        "/etc/hostname",
        "/run/farm/node.json",
        "/opt/../etc/passwd",
        "/opt//x",
        "/opt/.ssh",
        "/opt",
        "/opt/x/",
        "/opt/" + "x" * 65,
    ],
)
def test_a_place_that_a_node_refuses_is_refused(path: str) -> None:
    assert ["nodes.files[0].path"] == wrong({"nodes": {"files": [{"path": path, "source": "a"}]}})
    said = json.loads(msgspec.json.encode(machine_settings(Config(), FARM_KEY)["default.json"]))
    told = parse_settings(json.dumps({**said, "files": [{"path": path, "sha256": HASH, "mode": "0644"}]}).encode())
    assert ([], [path]) == (told.files, list(told.refused))


def test_more_files_than_a_node_takes_are_refused() -> None:
    many = [{"path": f"/opt/{number}", "source": "a"} for number in range(MAX_FILES + 1)]
    assert ["nodes.files"] == wrong({"nodes": {"files": many}})
    machine = {"mac": "52:54:00:00:00:01", "name": "a", "files": many[:1]}
    assert ["nodes.files"] == wrong({"nodes": {"files": many[1:]}, "machines": [machine]})


def test_the_nearest_file_of_a_path_wins() -> None:
    said = {
        "nodes": {"files": [{"path": "/opt/a", "source": "all"}, {"path": "/opt/b", "source": "all"}]},
        "groups": {"room": {"machines": ["pc"], "files": [{"path": "/opt/a", "source": "room"}]}},
        "machines": [
            {"mac": "52:54:00:00:00:01", "name": "pc", "files": [{"path": "/opt/b", "source": "pc", "mode": "0755"}]}
        ],
    }
    config = parse(yaml.safe_dump(said))
    assert {"/opt/a": "room", "/opt/b": "pc"} == {file.path: file.source for file in config.files_of(config.listed[0])}
    assert {"/opt/a": "all", "/opt/b": "all"} == {file.path: file.source for file in config.files_of(None)}
