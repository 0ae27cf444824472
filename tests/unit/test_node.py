from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node import VERSION, configure, metrics
from farm.node.agent import crowding
from farm.node.contract import MAX_BYTES, MAX_ROLES, ROLES, SettingsError
from farm.node.retry import pauses
from farm.node.roles import load
from farm.node.roles.compile import iceccd_environment
from farm.node.settings import node_name, parse_cmdline, parse_settings, parse_stages

CHECKOUT = Path(__file__).parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfarm farm@server"
SAID: dict[str, Any] = {
    "schema": 1,
    "farm": "lab",
    "name": "pc01",
    "netname": "icecream-lab",
    "scheduler": "10.77.0.1:8765",
    "slots": 0,
    "telemetry_port": 9105,
    "authorized_keys": [KEY],
    "roles": ["compile"],
}


def parse(**changes: object) -> Any:
    return parse_settings(json.dumps({**SAID, **changes}).encode())


def test_settings_are_taken_as_said() -> None:
    settings = parse(future="ignored")
    assert vars(settings) == {
        "farm": "lab",
        "name": "pc01",
        "roles": {
            "compile": {
                "netname": "icecream-lab",
                "scheduler": "10.77.0.1:8765",
                "slots": 0,
                "when_used": "half",
                "free_after": 10,
            }
        },
        "unknown": [],
        "telemetry_port": 9105,
        "authorized_keys": [KEY],
        "files": [],
        "refused": {},
    }
    assert node_name(settings, "52:54:00:12:34:56") == "pc01"
    assert node_name(parse(name=None), "52:54:00:12:34:56") == "node-123456"


def test_a_server_from_before_roles_names_none_and_means_compile() -> None:
    said = {key: value for key, value in SAID.items() if key != "roles"}
    assert ["compile"] == list(parse_settings(json.dumps(said).encode()).roles)


def test_only_what_its_roles_need_is_asked_of_the_settings() -> None:
    said = {key: SAID[key] for key in ("schema", "farm", "name", "telemetry_port", "authorized_keys")}
    settings = parse_settings(json.dumps({**said, "roles": []}).encode())
    assert ({}, []) == (settings.roles, settings.unknown)
    with pytest.raises(SettingsError, match="netname"):
        parse_settings(json.dumps({**said, "roles": ["compile"]}).encode())


def test_a_role_that_this_image_does_not_have_keeps_it_from_none_of_the_others() -> None:
    settings = parse(roles=["brew", "compile"])
    assert (["compile"], ["brew"]) == (list(settings.roles), settings.unknown)


def test_each_role_is_a_module_of_its_own() -> None:
    assert set(ROLES) == {path.stem for path in (CHECKOUT / "farm/node/roles").iterdir() if path.stem[:1] != "_"}
    assert [True] * len(ROLES) == [bool(load(name)) for name in ROLES]
    with pytest.raises(KeyError):
        load("os")


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"name": "a; reboot"},
        {"name": "PC01\n"},
        {"netname": 'x"\nLD_PRELOAD=/tmp/x'},
        {"netname": "-x"},
        {"scheduler": "10.77.0.1"},
        {"scheduler": "٣.٣.٣.٣:٣"},
        {"scheduler": "999.999.999.999:99999"},
        {"scheduler": "10.77.0.256:8765"},
        {"scheduler": "010.77.0.1:8765"},
        {"scheduler": "0.0.0.0:8765"},
        {"scheduler": "224.0.0.1:8765"},
        {"scheduler": "255.255.255.255:8765"},
        {"scheduler": "10.77.0.1:0"},
        {"scheduler": "10.77.0.1:08765"},
        {"scheduler": "10.77.0.1:65536"},
        {"scheduler": "10.77.0.1:8765\n"},
        {"farm": "lab\n"},
        {"name": "pc٣"},
        {"slots": -1},
        {"slots": True},
        {"slots": "4"},
        {"telemetry_port": 0},
        {"authorized_keys": KEY},
        {"authorized_keys": [KEY] * 65},
        {"authorized_keys": [f'command="id" {KEY}']},
        {"authorized_keys": [f"{KEY}\n{KEY}"]},
        {"authorized_keys": [f"{KEY}\x85"]},
        {"authorized_keys": [f"{KEY}\ud800"]},
        {"farm": None},
        {"roles": "compile"},
        {"roles": ["../os"]},
        {"roles": [["compile"]]},
        {"roles": ["compile"] * (MAX_ROLES + 1)},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        parse(**changes)


@given(st.binary(max_size=200))
def test_any_answer_is_tolerated(data: bytes) -> None:
    with pytest.raises(SettingsError):
        parse_settings(data)


@pytest.mark.parametrize("data", [b"[" * 60000, b" " * (MAX_BYTES + 1), b'{"schema":1}', b"[1]", b"\xff"], ids=len)
def test_answers_of_the_wrong_shape_are_refused(data: bytes) -> None:
    with pytest.raises(SettingsError):
        parse_settings(data)


def test_the_command_line_names_nic_and_server() -> None:
    boot = parse_cmdline(
        "quiet BOOTIF=01-52-54-00-AB-00-01 farm.server=10.77.0.1 farm.http=80 farm.image=2026-1 x=y=z "
        "farm.root=nbd:10.77.0.1:10809:2026-1 farm.other=10.77.0.2\n"
    )
    expected = {"mac": "52:54:00:ab:00:01", "server": "10.77.0.1", "http_port": 80, "image": "2026-1", "root": "nbd"}
    assert {**expected, "other": "10.77.0.2"} == vars(boot)
    other = parse_cmdline("farm.server=10.77.0.1 BOOTIF=x farm.image=../x farm.root=N\x1bD:1 farm.other=x")
    assert ("", "", "", "") == (other.mac, other.image, other.root, other.other)
    for bootif in ("52-54-00-ab-00-01", "52:54:00:AB:00:01", "01:52:54:00:ab:00:01"):
        assert parse_cmdline(f"farm.server=10.77.0.1 BOOTIF={bootif}").mac == "52:54:00:ab:00:01"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "farm.server=-o",
        "farm.server=٣.٣.٣.٣",
        "farm.server=999.1.1.1",
        "farm.server=0.0.0.0",
        "farm.server=10.77.0.1 farm.http=x",
        "farm.server=10.77.0.1 farm.http=٨٠",
        "farm.server=10.77.0.1 farm.http=0",
        "farm.server=10.77.0.1 farm.http=65536",
        f"farm.server=10.77.0.1 farm.http={'8' * 5000}",
    ],
    ids=lambda line: line[:50],
)
def test_a_command_line_that_names_no_server_is_refused(line: str) -> None:
    with pytest.raises(SettingsError):
        parse_cmdline(line)


def test_the_first_of_two_equal_options_counts_as_for_the_initrd() -> None:
    assert "10.77.0.1" == parse_cmdline("farm.server=10.77.0.1 farm.server=10.77.0.2").server


@given(st.text())
def test_any_command_line_is_tolerated(line: str) -> None:
    try:
        boot = parse_cmdline(f"farm.server=10.77.0.1 {line}")
    except SettingsError:
        return
    assert "10.77.0.1" == boot.server
    assert 0 < boot.http_port < 65536


def test_the_first_time_of_each_stage_counts() -> None:
    text = "kernel 1.25\nnic 2\nroot nan\nroot 3.5\nkernel 9\nbad line here\n"
    assert parse_stages(text) == {"kernel": 1.25, "nic": 2.0, "root": 3.5}


@given(st.text())
def test_any_boot_file_is_tolerated(text: str) -> None:
    assert all(seconds >= 0 for seconds in parse_stages(text).values())


def test_iceccd_is_told_in_variables() -> None:
    lines = iceccd_environment(parse(slots=4).roles["compile"], "pc01").splitlines()
    assert lines == [
        'FARM_SCHEDULER="10.77.0.1:8765"',
        'FARM_NETNAME="icecream-lab"',
        'FARM_NAME="pc01"',
        'FARM_SLOTS="4"',
    ]


def test_a_node_asks_for_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the one thing here that is not real: 1,500 questions take hours."""
    failures = iter([ConnectionRefusedError("nobody"), SettingsError("nonsense")] * 750)
    slept: list[float] = []

    def answer(*_: object, **__: object) -> object:
        for failure in failures:
            raise failure
        return "told"

    monkeypatch.setattr(configure, "_ask_once", answer)
    monkeypatch.setattr(configure.time, "sleep", slept.append)
    assert "told" == configure.ask(parse_cmdline("farm.server=10.77.0.1"), "52:54:00:12:34:56", "", {})
    assert 1500 == len(slept)
    assert 7.5 <= slept[-1] <= 15.0
    assert sum(slept) > 7000


def test_a_machine_that_no_farm_has_booted_is_told_apart_from_a_failure(tmp_path: Path) -> None:
    unit = (CHECKOUT / "images/common/root/etc/systemd/system/farm-node-configure.service").read_text()
    assert os.EX_CONFIG == configure.main(str(tmp_path))
    assert f"RestartPreventExitStatus={os.EX_CONFIG}\n" in unit


def test_pauses_grow_to_their_limit_and_go_on() -> None:
    for longest, pause in zip([0.5, 1, 2, 4, 5, 5], pauses(0.5, 5), strict=False):
        assert longest / 2 <= pause <= longest
    assert 15.0 <= next(islice(pauses(1.0, 30.0), 5000, None)) <= 30.0


def test_nodes_that_were_cut_off_at_one_moment_do_not_come_back_in_one() -> None:
    seconds = [sum(islice(pauses(0.2, 15.0), 8)) for _ in range(500)]

    assert max(sum(at <= each < at + 1 for each in seconds) for at in range(45)) < len(seconds) / 3


def test_a_new_client_takes_the_place_of_the_one_with_the_most_connections() -> None:
    first, second, third = (socket.socket(socket.AF_UNIX) for _ in range(3))
    with first, second, third:
        assert second is crowding([("10.77.0.1", first), ("10.77.0.9", second), ("10.77.0.9", third)])
        assert first is crowding([("10.77.0.1", first), ("10.77.0.9", second)])


def test_metrics_are_prometheus_text() -> None:
    snapshot = {
        "version": "1", "uptime": 20.5, "farm": "lab", "name": 'a"b\\c\n', "mac": "m", "image": "v1",
        "roles": {"compile": {"ready": True, "slots": 4, "environments": []}},
        "boot": {"root": 3.5}, "load": [0.5, 1, 2], "memory": {"total": 10, "available": 5},
        "overlay": {"total": 8, "used": 1}, "network": {"nic": "eth0", "received": 7, "sent": 9}, "temperatures": {},
    }  # fmt: skip
    text = metrics.render(snapshot, [{"user": 1.5, "idle": 2.0}])
    lines = text.splitlines()
    assert r'farm_node_info{farm="lab",name="a\"b\\c\n",mac="m",image="v1",version="1"} 1.0' in lines
    assert 'farm_node_cpu_seconds_total{cpu="0",mode="user"} 1.5' in lines
    assert "# TYPE farm_node_cpu_seconds_total counter" in lines
    assert 'farm_node_load{minutes="15"} 2.0' in lines
    assert "farm_node_iceccd_up 1.0" in lines
    assert "farm_node_slots 4.0" in lines
    assert "temperature" not in text


def test_a_machine_without_roles_has_no_metrics_of_any() -> None:
    told = {
        "version": "1", "uptime": 20.5, "farm": "lab", "name": "a", "mac": "m", "image": "v1", "roles": {},
        "boot": {}, "load": [0.5, 1, 2], "memory": {"total": 10, "available": 5}, "overlay": {"total": 8, "used": 1},
        "network": {"nic": "eth0", "received": 7, "sent": 9}, "temperatures": {},
    }  # fmt: skip
    assert "iceccd" not in metrics.render(told, [])
    assert "slots" not in metrics.render(told, [])


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_configure_imports_little() -> None:
    code = "import sys, farm.node.configure, farm.node.roles as roles; "
    code += "[roles.load(name) for name in roles.contract.ROLES]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    modules = set(done.stdout.split())
    heavy = {"subprocess", "http.client", "urllib.request", "logging", "asyncio", "typing", "dataclasses", "psutil"}
    assert not modules & (heavy - set(sys.builtin_module_names)) - startup_modules()


def startup_modules() -> set[str]:
    """What this interpreter's site packages bring along by themselves."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())
