"""The role session: what a machine tells of its greeter and of who is logged in, and how that is shown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.cli.node_access import require_idle
from farm.config import Config, NodesConfig
from farm.errors import FarmError
from farm.netboot import host_keys
from farm.netboot.settings import machine_settings
from farm.node.contract import SettingsError
from farm.node.roles import load
from farm.node.roles.session import NO_GPU, XORG, SessionProbe, logged_in
from farm.node.session.pam import greeter_mark
from farm.node.session.room_warning import Room, RoomWatch
from farm.node.session.session_settings import read_session
from farm.node.settings import parse_settings
from farm.nodes.power import who_sits_there
from farm.view.boot import advice_for
from farm.view.from_state import node_status
from farm.view.idle import idle_reason
from farm.view.roles import stage_word
from farm.view.status import NodeStatus, Overview, SchedulerStatus
from farm.watch.events import BootEvent, Stage, TelemetrySeen
from farm.watch.node_telemetry import LoggedIn, RolesTold, SessionTold, Telemetry
from farm.watch.state import Farm, fold, initial
from tui import node_detail, state_words
from tui.actions import warning
from tui.anonymize import Mask

MAC, ADDRESS = "52:54:00:00:00:01", "10.77.0.50"
NOBODY = Overview(farm="lab", farmd=True, scheduler=SchedulerStatus(False, "", "lab", since=0.0, why="It is off."))
AT_GREETER = """\
# This is private data. Do not parse.
UID=104
USER=lightdm
ACTIVE=1
STATE=active
TYPE=x11
CLASS=greeter
SEAT=seat0
REALTIME=1700000000000000
"""
USER = AT_GREETER.replace("104", "64000").replace("lightdm", "farm-session").replace("greeter", "user")


THIN = Config(nodes=NodesConfig(image="thin-client"))
NODE = {"name": "pc01", "address": "10.0.0.5", "mac": "52:54:00:00:00:01", "roles": {"session": {}}}


def sessions(folder: Path, *texts: str) -> str:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / str(number)).write_text(text)
        os.mkfifo(folder / f"{number}.ref")
    return str(folder)


# -- on the machine


def test_who_is_logged_in_has_the_name_that_was_typed(tmp_path: Path) -> None:
    there = sessions(tmp_path / "s", AT_GREETER, USER)
    accounts = tmp_path / "passwd"
    assert [] == logged_in(there, str(accounts)), "the session is being taken down"

    accounts.write_text("alice:*:64000:64000::/run/farm/home:/bin/sh\n")

    assert [{"name": "alice", "since": 1.7e9}] == logged_in(there, str(accounts))


@pytest.mark.parametrize(
    "text",
    [
        USER.replace("STATE=active", "STATE=closing"),
        USER.replace("SEAT=seat0\n", ""),
        USER.replace("SEAT=seat0", "SEAT="),
        USER.replace("REALTIME=17", "REALTIME=x"),
        "",
    ],
)
def test_others_are_not_at_the_screen(tmp_path: Path, text: str) -> None:
    assert [] == logged_in(sessions(tmp_path / "s", text), "")


@pytest.mark.parametrize(("kind", "told"), [("fat", 1), ("thin", 0), ("", 0)])
def test_who_works_at_a_fat_client_is_told_that_its_ram_is_nearly_used_up(tmp_path: Path, kind: str, told: int) -> None:
    said: list[str] = []
    low = Room(available=100 << 20, total=4 << 30, written=0, space=0)
    folder = tmp_path / "sessions"
    watch = RoomWatch(lambda: low, said.append)
    probe = SessionProbe(str(folder), str(tmp_path / "accounts"), kind=lambda: kind, room=watch)
    probe.look()
    assert [] == said, "nobody is there"
    sessions(folder, USER.replace("farm-session", "bob"))
    probe.look()
    probe.look()
    assert told == len(said)


def test_without_logind_nobody_is_logged_in(tmp_path: Path) -> None:
    assert [] == logged_in(str(tmp_path / "none"), str(tmp_path / "none"))


@given(st.text(), st.text())
def test_any_file_is_tolerated(text: str, accounts: str) -> None:
    with TemporaryDirectory() as name:
        (Path(name) / "accounts").write_text(accounts)
        logged_in(sessions(Path(name) / "s", USER + text, text), f"{name}/accounts")


def test_only_a_machine_whose_screens_have_no_gpu_is_spared_the_search(tmp_path: Path) -> None:
    for number, (kind, vendor, device) in enumerate(
        [("0x020000", "0x1af4", "0x1000"), ("0x030000", "0x1234", "0x1111")], 1
    ):
        card = tmp_path / f"sys/bus/pci/devices/0000:00:0{number}.0"
        card.mkdir(parents=True)
        for name, text in (("class", kind), ("vendor", vendor), ("device", device)):
            (card / name).write_text(f"{text}\n")
    role = load("session")

    assert "log-in on the screen, which has no GPU" == role.set_up(str(tmp_path), NODE)
    assert NO_GPU == (tmp_path / XORG).read_text()

    (tmp_path / XORG).unlink()
    (card / "vendor").write_text("0x8086\n")
    assert "log-in on the screen" == role.set_up(str(tmp_path), NODE)
    assert "log-in on the screen" == role.set_up(str(tmp_path / "elsewhere"), NODE)
    assert not (tmp_path / XORG).exists()


def test_a_log_in_finds_the_server_that_the_farm_says(tmp_path: Path) -> None:
    (tmp_path / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAAC3Nz root@server\n")
    (tmp_path / "ssh_host_odd_key.pub").write_text("no key\n")
    keys = host_keys.read(tmp_path)
    assert ["ssh-ed25519 AAAAC3Nz"] == keys
    written = machine_settings(THIN, "ssh-ed25519 AAAAC3Nz farm", host_keys=keys)["default.json"]
    assert "scheduler" not in written
    told = parse_settings(json.dumps(written).encode())

    load("session").set_up(str(tmp_path), {**NODE, "roles": told.roles})

    (server,) = read_session(str(tmp_path)).servers
    assert (Config().server, 22, ("ssh-ed25519 AAAAC3Nz",)) == (server.host, server.port, server.host_keys)


@pytest.mark.parametrize("wrong", [[], "x", {"servers": []}, {"servers": [{"host": "-oProxyCommand=x"}]}])
def test_settings_that_cannot_be_are_refused(wrong: object) -> None:
    with pytest.raises(SettingsError):
        load("session").parse({"session": wrong})


def test_a_server_from_before_them_says_no_settings(tmp_path: Path) -> None:
    load("session").set_up(str(tmp_path), {**NODE, "roles": {"session": load("session").parse({})}})

    with pytest.raises(SettingsError, match="was not told a server"):
        read_session(str(tmp_path))


@pytest.fixture
def greeter(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a greeter; on the machine that runs the test there may be another."""
    program = tmp_path / f"greeter-{os.getpid()}"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([program, "infinity"]) as process:
        yield process
        process.kill()


def test_a_machine_is_ready_from_its_first_greeter_on(tmp_path: Path, greeter: subprocess.Popen[bytes]) -> None:
    folder, mark, accounts = tmp_path / "s", str(tmp_path / "mark"), tmp_path / "passwd"
    accounts.write_text("alice:*:64000:64000::/run/farm/home:/bin/sh\n")
    patient, strict = (
        SessionProbe(str(folder), str(accounts), f"greeter-{os.getpid()}", gap, mark) for gap in (3600.0, 0.0)
    )
    # Its process alone cannot be typed at.
    assert {"ready": False, "greeter": False, "users": []}.items() >= patient.look().items()
    greeter_mark.put(mark)

    for probe in (patient, strict):
        assert {"ready": True, "greeter": True, "users": []}.items() >= probe.look().items()
        assert ["greeter"] == list(probe.stages())
    greeter.kill()
    greeter.wait()
    assert [True, False] == [probe.look()["ready"] for probe in (patient, strict)]
    sessions(folder, USER)
    for probe in (patient, strict):
        assert (True, False, 1) == (probe.look()["ready"], probe.look()["greeter"], len(probe.look()["users"]))
        assert ["greeter", "session"] == list(probe.stages())


def test_its_metrics_count_who_is_there() -> None:
    section = {"ready": True, "greeter": False, "users": [{"name": "alice", "since": 1.0}]}
    assert {"greeter_up": 0.0, "sessions": 1.0} == {
        name: samples[0][1] for name, _, _, samples in load("session").metrics(section)
    }


# -- as it is shown

ALICE = LoggedIn("alice", 140.0)


def state_of(told: SessionTold | None) -> Farm:
    """A farm with a thin client that has booted, and of which no scheduler knows."""
    events = [
        BootEvent(Stage.POWERED, 100.0, MAC),
        BootEvent(None, 100.0, MAC, ADDRESS),
        BootEvent(Stage.KERNEL, 107.0, MAC, ADDRESS, "v1"),
    ]
    farm = reduce(fold, events, initial("lab", {MAC: "pc01"}, kind="thin-client"))
    if told is not None:
        telemetry = Telemetry(farm="lab", name="pc01", mac=MAC, uptime=20.0, boot={"agent": 9.0})
        farm = fold(farm, TelemetrySeen(MAC, ADDRESS, telemetry, 136.0, RolesTold(session=told)))
    return farm


def shown(told: SessionTold | None) -> NodeStatus:
    """That machine."""
    farm = state_of(told)
    return node_status(farm, farm.nodes[MAC], {})


def test_a_machine_at_which_a_user_is_logged_in_is_not_switched_off_unasked() -> None:
    used, free = shown(SessionTold(ready=True, users=[ALICE])), shown(SessionTold(ready=True, users=[]))
    require_idle([free], "off")
    with pytest.raises(FarmError) as caught:
        require_idle([used, free], "off")
    assert "Users are logged in: pc01: alice." == caught.value.what
    assert "sudo farm node message pc01 'Please log out.'" in caught.value.fix
    assert "sudo farm node off --force pc01" in caught.value.fix

    assert "alice is logged in there, and loses what is not saved." == warning(used, "reboot")
    assert "" == warning(used, "drain") == warning(free, "reboot")
    assert [] == who_sits_there([free, replace(used, stage=Stage.OFF)])


def test_it_is_ready_without_a_scheduler_as_soon_as_its_greeter_is_up() -> None:
    booting = shown(None)
    assert (("session",), Stage.KERNEL, "kernel") == (booting.roles, booting.stage, stage_word(booting))
    waits = shown(SessionTold(ready=False))
    assert (Stage.AGENT, "agent") == (waits.stage, stage_word(waits))
    assert "no greeter on its screen" == advice_for(waits)[0]
    there = shown(SessionTold(ready=True, greeter=True))
    assert (Stage.READY, "greeter", None) == (there.stage, stage_word(there), there.compile)
    used = shown(SessionTold(ready=True, users=[ALICE]))
    assert (Stage.READY, "session", [ALICE]) == (used.stage, stage_word(used), used.users)


def test_why_nobody_works_at_it_is_told() -> None:
    nodes = [
        shown(None),
        shown(SessionTold(ready=False)),
        shown(SessionTold(ready=True, greeter=True)),
        shown(SessionTold(ready=True, users=[ALICE])),
    ]
    reasons = [idle_reason(node, nodes, NOBODY, 140.0) for node in nodes]
    assert ["booting", "booting", "nobody-there", None] == [reason and reason.code for reason in reasons]


def test_the_dashboard_names_who_is_there_unless_names_are_hidden() -> None:
    used = shown(SessionTold(ready=True, users=[ALICE]))
    assert state_words.BUSY == state_words.state(used)
    assert dict(node_detail.facts(used, 200.0))["logged in"].startswith("alice for 1m00s, since ")
    assert "in use" in str(node_detail.idle_text(used, None))
    assert [replace(ALICE, name="user1")] == Mask().node(used).users
