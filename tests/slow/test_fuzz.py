"""Every reader of what comes from the network or from a person: 100,000 bent inputs each, no escape, no growth."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farm.config.file import parse as parse_config
from farm.doctor.workstation.chain import parse_cmake_cache
from farm.errors import NOT_JSON, FarmError
from farm.image.apt_sources import parse_targets
from farm.image.build import parse_packages
from farm.image.kiwi import parse_log_line
from farm.image.store import Manifest, Selection
from farm.instance import decode
from farm.netboot.boot_logs import parse_dnsmasq, parse_nginx
from farm.netboot.leases import parse_leases
from farm.netboot.rival import client_payload, discover_packet, offering_server
from farm.node.contract import SettingsError
from farm.node.settings import parse_cmdline, parse_settings, parse_stages
from farm.nodes.pending import Ordered
from farm.scheduler import channel, control, protocol
from farm.scheduler.discovery import parse_reply, parse_target
from farm.simulate import wire
from farm.watch.events import Remembered, SchedulerSaid
from farm.watch.mdns import parse_beacon, parse_farm
from farm.watch.node_telemetry import parse as parse_telemetry
from farm.watch.state import Farm, fold
from farm.workstation.env.formats import to_presets
from farm.workstation.env.shell_undo import VARIABLE, changes_back
from farm.workstation.explain import icecc_log
from farm.workstation.explain.last_run import LastRun
from farm.workstation.join import icecc_conf as joining_settings
from farm.workstation.join.machine_undo import Undo
from farm.workstation.local_iceccd import parse_options
from farm.workstation.membership import Membership
from farm.workstation.run.own_calls import OwnCalls
from tests.slow.fuzz import fuzz
from tests.unit.test_environment_setup import setup_of
from tui import filter as job_filter
from tui import keys

NOW = 1_800_000_000.0
MAC = "52:54:00:fa:00:01"
DATA = Path(__file__).parents[1] / "data"

Reader = tuple[Callable[[bytes], object], Sequence[bytes]]


def text(data: bytes) -> str:
    """As programs see arguments and files: bytes that are no UTF-8 are kept in surrogates."""
    return data.decode(errors="surrogateescape")


def stats_text(*lines: str) -> bytes:
    body = struct.pack("!I", 1) + channel.encode_text("\n".join(lines))
    return channel.encode(protocol.MonitorMessage.MON_STATS, body)


GREETING = channel.encode_version(43) * 2
STATS = stats_text("Name:pc01", "IP:10.77.0.57", "MaxJobs:4", "Platform:x86_64", "Version:43", "Load:1", "Speed:3.2")
JOBS = [
    channel.encode(protocol.MonitorMessage.MON_GET_CS, channel.encode_text("a/b.c") + struct.pack("!III", 0, 7, 1)),
    channel.encode(protocol.MonitorMessage.MON_JOB_BEGIN, struct.pack("!III", 7, 1, 1)),
    channel.encode(protocol.MonitorMessage.MON_JOB_DONE, struct.pack("!12I", 7, 0, *[5] * 9, 0)),
    channel.encode(
        protocol.MonitorMessage.MON_LOCAL_JOB_BEGIN, struct.pack("!III", 1, 9, 1) + channel.encode_text("x.c")
    ),
    channel.encode(protocol.MonitorMessage.JOB_LOCAL_DONE, struct.pack("!I", 9)),
]


def monitor(data: bytes) -> None:
    """What a scheduler sends goes into the state, and all that is shown of it is printable."""
    session, farm = protocol.MonitorSession(), Farm(name="farm")
    try:
        events, _ = session.receive(GREETING)
        more, _ = session.receive(data)
    except channel.ProtocolError:
        more = session.events
        events = []
    for event in [*events, *more]:
        farm = fold(farm, SchedulerSaid(event, NOW))
    for host in farm.activity.hosts.values():
        assert host.name.isprintable()
        assert host.address.isprintable()
        assert host.platform.isprintable()
    for job in farm.activity.jobs.values():
        assert job.file.isprintable()


def control_reply(data: bytes) -> None:
    lines = data.decode(errors="replace").split("\n")
    control.parse_nodes(lines)
    control.parse_jobs(lines)
    control.parse_blocks(lines)


def order_word(data: bytes) -> None:
    with contextlib.suppress(FarmError):
        control.check_word(text(data))


def simulated(data: bytes) -> None:
    session = wire.DaemonSession("pc01")
    with contextlib.suppress(FarmError):
        session.receive(channel.encode_version(43) * 2 + data)


def properties(data: bytes) -> dict[bytes, bytes | None]:
    """A TXT record's pairs, a line each."""
    pairs = (line.partition(b"=") for line in data.split(b"\n"))
    return {key: value if equals else None for key, equals, value in pairs}


def beacon(data: bytes) -> None:
    found = parse_beacon(text(data[:40]), ["10.77.0.57"], 9105, properties(data))
    if found:
        assert all(len(word) <= 256 for word in msgspec.structs.astuple(found) if isinstance(word, str))


def farm_beacon(data: bytes) -> None:
    found = parse_farm(properties(data))
    if found:
        assert found.name.isprintable()
        assert found.netname.isprintable()


def target(data: bytes) -> None:
    with contextlib.suppress(FarmError):
        parse_target(text(data))


def dhcp_answer(data: bytes) -> None:
    offering_server(client_payload(data), b"abcd")
    offering_server(data, b"abcd")


def cmdline(data: bytes) -> None:
    with contextlib.suppress(SettingsError):
        parse_cmdline(text(data))


def node_settings(data: bytes) -> None:
    with contextlib.suppress(SettingsError):
        parse_settings(data)


def telemetry(data: bytes) -> None:
    with contextlib.suppress(*NOT_JSON):
        parse_telemetry(data)


def record(kind: type[msgspec.Struct]) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        with contextlib.suppress(*NOT_JSON):
            msgspec.json.decode(data, type=kind)

    return read


def instance(data: bytes) -> None:
    with contextlib.suppress(*NOT_JSON):
        decode(data)


def configuration(data: bytes) -> None:
    with contextlib.suppress(FarmError):
        parse_config(data.decode(errors="replace"))


def shell_settings(data: bytes) -> None:
    """Files that no shell can read are refused before: what is set in those need not be read back."""
    after = joining_settings.assign(text(data), {"ICECC_NETNAME": "lab"})
    joining_settings.value(after, "ICECC_NETNAME")
    joining_settings.without(after, "ICECC_")


def apt_sources(data: bytes) -> None:
    with contextlib.suppress(FarmError):
        parse_targets(text(data))


def compile_log(data: bytes) -> None:
    for call in icecc_log.parse(data.splitlines(keepends=True)):
        assert call.file.isprintable()
        assert call.command.isprintable()


def followed_log(data: bytes) -> None:
    calls = OwnCalls()
    calls.feed(data[: len(data) // 2])
    calls.feed(data[len(data) // 2 :])


def filter_line(data: bytes) -> None:
    with contextlib.suppress(FarmError):
        job_filter.parse(text(data))


def presets(data: bytes) -> None:
    with contextlib.suppress(FarmError):
        json.loads(to_presets(setup_of(), data.decode(errors="replace")))


def environment_record(data: bytes) -> None:
    changes_back({VARIABLE: text(data), "PATH": "/bin"})


def keys_file(path: Path) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(FarmError):
            keys.read_keys(path, {})

    return read


def as_json(**values: Any) -> bytes:
    return json.dumps(values).encode()


SETTINGS = as_json(
    schema=1,
    farm="farm",
    name="pc01",
    netname="icecream-farm",
    scheduler="10.77.0.1:8765",
    slots=4,
    roles=["compile"],
    telemetry_port=9105,
    authorized_keys=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMg me"],
)
TELEMETRY = as_json(
    schema=1,
    mac=MAC,
    processors={"percent": [1.5, 2]},
    memory={"total": 1, "available": 1},
    roles={"compile": {"ready": True, "environments": [{"name": "a", "bytes": 3}]}},
    traffic={"nic": "eth0", "received": 1},
)
DISCOVER = discover_packet(b"abcd", b"\x02farm1")
LOG = (
    b"[2026] 2026-11-23 01:28:22: ICECC[4211] 01:28:22: <main> gcc -c a.c -o a.o\n"
    b"ICECC[4211] 01:28:22: Have to use host 10.77.0.57:10245 - Job ID: 7 - env: /x.tar.gz - has env: true\n"
    b"ICECC[4211] 2026-11-23 01:28:22: invoking: /usr/bin/gcc -c my file.c\n"
)
CONFIG = b"""\
name: lab
interface: eno2
address: 10.77.0.1/24
netname: icecream-farm
nodes: {slots: 4, authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMg me]}
machines:
- {mac: "52:54:00:fa:00:01", name: pc01}
dhcp: {first: 10.77.0.100, last: 10.77.0.200}
"""

READERS: dict[str, Reader] = {
    "monitor": (monitor, [STATS, STATS + b"".join(JOBS), *JOBS, stats_text("Name:x", "IP:1.2.3.4", "Name:y")]),
    "control": (
        control_reply,
        [
            b" pc01 (10.77.0.57:10245) [x86_64] speed=3.20 jobs=0/4 load=10 busy installing since 3 s\n200 done",
            b"  7 COMP sub:dev on:pc01 a/b.c\n   pc02\n200 done",
        ],
    ),
    "order word": (order_word, [b"pc01", b"10.77.0.57"]),
    "simulated daemon": (
        simulated,
        [channel.encode(kind, struct.pack("!III", 1, 2, 3)) for kind in wire.DaemonMessage],
    ),
    "scheduler's answer": (
        parse_reply,
        [
            bytes([46]) + struct.pack("<IQ", 43, 5).ljust(13, b"\0") + b"lab".ljust(254, b"\0"),
            b"ICF" + struct.pack("!BQ", 43, 5) + b"lab".ljust(256, b"\0"),
            bytes([45]) + b"lab".ljust(15, b"\0"),
        ],
    ),
    "HOST:PORT": (target, [b"farm.example:8765", b"10.77.0.1"]),
    "node's beacon": (beacon, [b"farm=farm\nmac=52:54:00:fa:00:01\nimage=1\nversion=1\nslots=4\nstage=ready\nboot=x"]),
    "farm's beacon": (
        farm_beacon,
        [b"farm=farm\nnetname=lab\nscheduler=10.77.0.1:8765\napi=http://10.77.0.1:8766", b"farm=a\nnetname=b"],
    ),
    "dnsmasq's log": (
        lambda data: parse_dnsmasq(data.decode(errors="replace").split("\n"), NOW),
        [
            b"Nov 23 01:28:22 dnsmasq-dhcp[123]: DHCPDISCOVER(farm0) 52:54:00:fa:00:01",
            b"Nov 23 01:28:22 dnsmasq-dhcp[123]: 7 DHCPACK(farm0) 10.77.0.57 52:54:00:fa:00:01 pc01",
            b"Feb 29 01:28:22 dnsmasq-tftp[123]: sent /srv/http/boot/52-54-00-fa-00-01.ipxe to 10.77.0.57",
        ],
    ),
    "nginx's log": (
        lambda data: parse_nginx(data.decode(errors="replace")),
        [as_json(time=100.5, address="10.77.0.57", uri=f"/nodes/{MAC}.json?kernel=1&agent=2", status=200, bytes=7)],
    ),
    "DHCP answer": (
        dhcp_answer,
        [
            discover_packet(b"abcd", b"\x02farm1"),
            b"\2" + discover_packet(b"abcd", b"\x02farm1")[1:] + b"\x36\4abcd\xff",
        ],
    ),
    "kernel command line": (
        cmdline,
        [b"farm.server=10.77.0.1 farm.http=8069 farm.image=20261123.1 BOOTIF=01-52-54-00-fa-00-01 quiet"],
    ),
    "boot stages": (lambda data: parse_stages(text(data)), [b"kernel 0.5\nnic 1.25\nroot 3\n"]),
    "node's settings": (node_settings, [SETTINGS]),
    "telemetry": (telemetry, [TELEMETRY]),
    "running.json": (instance, [as_json(config={"name": "a"}, interface="e", images={"k": "1"}, started=1.0)]),
    "running.json of before": (instance, [as_json(config={"name": "a"}, interface="e", image="1", started=1.0)]),
    "manifest": (record(Manifest), [as_json(schema=1, version="1", created=1.0, files=[])]),
    "selection": (record(Selection), [as_json(current="1", previous="2")]),
    "membership": (record(Membership), [as_json(farm="a", scheduler="10.77.0.1", port=8765, netname="lab")]),
    "farm.yaml": (configuration, [CONFIG, b"name: lab\n", b"nodes: {slots: 0}\n"]),
    "icecc's settings": (shell_settings, [b"ICECC_NETNAME=\"x\"\n# c\nexport ICECC_NETNAME='y'\n", b"A=b\n"]),
    "apt's sources": (apt_sources, [b"http://deb.example/debian|bookworm|main|/usr/share/keyrings/x.gpg\n"]),
    "icecc's log": (compile_log, [LOG]),
    "icecc's log as it grows": (followed_log, [LOG]),
    "iceccd's options": (
        lambda data: parse_options(text(data).split("\0")),
        [b"iceccd\0-s\0farm:8765\0-n\0lab\0-N\0pc01\0-m\x004\0--no-remote\0-b\0/tmp", b"iceccd\0--netname=lab\0-nlab"],
    ),
    "KIWI's log": (
        lambda data: parse_log_line(data.decode(errors="replace")),
        [b"[ DEBUG   ]: 01:28:22 | EXEC: [mount]", b"[ INFO    ]: 01:28:22 | Setup root directory"],
    ),
    "KIWI's packages": (
        lambda data: parse_packages(data.decode(errors="replace")),
        [b"icecc|None|1.4-1|None|amd64|None\n"],
    ),
    "leases": (
        lambda data: parse_leases(data.decode(errors="replace")),
        [b"1800000000 52:54:00:fa:00:01 10.77.0.57 pc01 01:52:54:00:fa:00:01\nduid 00:01\n"],
    ),
    "CMake's cache": (
        lambda data: parse_cmake_cache("x", data.decode(errors="replace")),
        [b"# c\nCMAKE_C_COMPILER:FILEPATH=/usr/bin/cc\nCMAKE_C_COMPILER_LAUNCHER:STRING=icecc;ccache\n"],
    ),
    "CMake's presets": (
        presets,
        [as_json(version=3, configurePresets=[{"name": "farm", "cacheVariables": {"A": "b"}}], buildPresets=[])],
    ),
    "farm env's record": (
        environment_record,
        [as_json(before={"PATH": "/bin"}, after={"PATH": "/x:/bin", "CC": None})],
    ),
    "undo file": (record(Undo), [as_json(files=[{"path": "/etc/x", "mode": 1}], folders=["/a"], service="iceccd")]),
    "last run": (record(LastRun), [as_json(argv=["make"], started=1.0, ended=2.0, settings={"ICECC": "no"})]),
    "orders given": (record(Ordered), [as_json(order="drain", time=1.0)]),
    "what farmd remembers": (record(Remembered), [as_json(mac=MAC, time=1.0)]),
    "filter line": (filter_line, [b"node:pc01 state:failed -file:moc_ took:>5", b"'a b' exit:>0 lang:c++"]),
}


@pytest.mark.parametrize("name", READERS)
def test_nothing_gets_out_of_a_reader_and_it_does_not_grow(name: str) -> None:
    read, seeds = READERS[name]
    fuzz(read, seeds)


def test_nothing_gets_out_of_the_reader_of_keys(tmp_path: Path) -> None:
    fuzz(keys_file(tmp_path / "keys.toml"), [b"top.pause = 'space'\n", b"[nodes]\nsearch = 'ctrl+f'\n"])
