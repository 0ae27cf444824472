"""A machine at which people sit: who counts as using it, how many slots stay, what iceccd is shown of memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FarmError
from farm.node.contract import SettingsError
from farm.node.desk.input_watch import InputWatch
from farm.node.desk.job_memory import ShownMemory, bounds, free_for_jobs
from farm.node.desk.policy import slots_when_used
from farm.node.desk.presence import LogindSession, Presence, is_used, parse_sessions
from farm.node.desk.spare_daemon import AGAIN_SECONDS, NOTICE_SECONDS, SpareDaemon
from farm.node.roles.compile import ROLE, iceccd_environment
from farm.workstation.join.candidates import Target
from farm.workstation.join.desk_program import PROGRAM, interpreter, packed
from farm.workstation.join.shared_slots import DESK_FILE, SPARE_FILE, Share, contents, paths

SAID = {"netname": "n", "scheduler": "10.0.0.1:8765", "slots": 4}
GREETER = "Id=c1\nClass=greeter\nSeat=seat0\nState=active\nIdleHint=no\nIdleSinceHintMonotonic=0\nLockedHint=no\n"
SSH = "Id=7\nClass=user\nSeat=\nState=active\nIdleHint=no\nIdleSinceHintMonotonic=0\nLockedHint=no\n"
ANNA = "Id=3\nClass=user\nSeat=seat0\nState=active\nIdleHint=no\nIdleSinceHintMonotonic=0\nLockedHint=no\n"
CLOSING = ANNA.replace("active", "closing")
IDLE = ANNA.replace("IdleHint=no\nIdleSinceHintMonotonic=0", "IdleHint=yes\nIdleSinceHintMonotonic=2500000")
LOCKED = ANNA.replace("LockedHint=no", "LockedHint=yes")
GIB = 1 << 30


@pytest.mark.parametrize(
    ("policy", "slots", "stay"),
    [("full", 4, 4), ("half", 4, 2), ("half", 3, 1), ("half", 1, 1), ("one", 4, 1), ("none", 4, 0)],
)
def test_slots_that_stay(policy: str, slots: int, stay: int) -> None:
    assert slots_when_used(policy, slots) == stay


def test_people_at_the_screen_are_told_from_greeters_and_ssh() -> None:
    assert parse_sessions("\n".join([GREETER, SSH, CLOSING])) == []
    assert parse_sessions("\n".join([GREETER, ANNA])) == [LogindSession("3", None, False)]
    assert parse_sessions("\n".join([SSH, IDLE])) == [LogindSession("3", 2.5, False)]
    assert parse_sessions(LOCKED) == [LogindSession("3", None, True)]


@given(st.text())
def test_whatever_logind_says_is_read(text: str) -> None:
    parse_sessions(text)
    parse_sessions(ANNA + text)


@pytest.mark.parametrize(
    ("session", "last_input", "used"),
    [
        (ANNA, 900.0, True),
        (ANNA, None, True),
        (ANNA, 400.0, False),
        (IDLE, 900.0, False),
        (IDLE.replace("2500000", "800000000"), 900.0, True),
        (LOCKED, 900.0, False),
    ],
)
def test_a_screen_that_was_left_counts_as_free(session: str, last_input: float | None, used: bool) -> None:
    assert (
        is_used(parse_sessions(session), {"3": 300.0} if session == LOCKED else {}, last_input, 1000.0, 600.0) == used
    )


def test_logind_is_asked_when_somebody_comes(tmp_path: Path) -> None:
    said: list[str] = []
    asked: list[float] = []

    def ask() -> str:
        asked.append(now)
        return said[-1] if said else ""

    presence = Presence(600.0, ask, InputWatch(str(tmp_path / "none")), str(tmp_path))
    now = 1.0
    assert not presence.look(now)
    now = 2.0
    assert not presence.look(now)
    assert asked == [1.0]
    said.append(LOCKED)
    (tmp_path / "3").touch()
    os.utime(tmp_path, ns=(1, 1))
    now = 3.0
    assert presence.look(now), "the screen has just been locked"
    now = 700.0
    assert not presence.look(now)
    said.append(ANNA)
    now = 703.0
    assert presence.look(now), "it was unlocked"


def test_input_counts_and_is_forgotten(tmp_path: Path) -> None:
    watch = InputWatch(str(tmp_path))
    assert watch.last(1.0) is None
    os.mkfifo(tmp_path / "event0")
    assert watch.last(2.0) == 2.0, "a keyboard was plugged in"
    keyboard = os.open(tmp_path / "event0", os.O_WRONLY)
    assert watch.last(3.0) == 2.0
    os.write(keyboard, b"x" * 10_000)
    assert watch.last(4.0) == 4.0
    assert watch.last(5.0) == 4.0
    os.close(keyboard)
    (tmp_path / "event0").unlink()
    assert watch.last(6.0) is None


@given(st.integers(min_value=256 << 20, max_value=1 << 45))
def test_a_session_keeps_memory(total: int) -> None:
    high, most = bounds(total)
    assert 0 < high < most < total
    assert total - most >= min(GIB, total * 0.7)


def test_memory_for_jobs_is_counted(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 4194304 kB\nMemAvailable: 3145728 kB\n")
    assert free_for_jobs(str(tmp_path), 2 * GIB) == 2 * GIB
    group = tmp_path / "sys/fs/cgroup/iceccd.slice"
    group.mkdir(parents=True)
    (group / "memory.current").write_text(f"{GIB}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\nactive_file {GIB // 4}\n")
    assert free_for_jobs(str(tmp_path), 2 * GIB) == 3 * GIB // 2, "cached files are given up"
    (tmp_path / "proc/meminfo").write_text("MemTotal: 4194304 kB\nMemAvailable: 1024 kB\n")
    assert free_for_jobs(str(tmp_path), 2 * GIB) == 1 << 20


def test_what_is_shown_is_written_in_place(tmp_path: Path) -> None:
    shown = ShownMemory(str(tmp_path / "desk/meminfo"))
    shown.show(1 << 44, 1 << 43)
    before = (tmp_path / "desk/meminfo").stat()
    shown.show(1 << 44, 0)
    after = (tmp_path / "desk/meminfo").stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert before.st_size < 255, "iceccd reads no more"
    text = (tmp_path / "desk/meminfo").read_text()
    assert text.splitlines()[:2] == ["MemTotal:        17179869184 kB", "MemFree:                   0 kB"]


def test_the_spare_daemon_is_closed_when_its_jobs_have_ended(tmp_path: Path) -> None:
    orders: list[str] = []

    def order(words: Sequence[str]) -> str:
        orders.append(words[0])
        return "77\n"

    children = tmp_path / "77/task/77/children"
    children.parent.mkdir(parents=True)
    children.write_text("78 79 ")
    spare = SpareDaemon(order, str(tmp_path))
    spare.follow(True, 0.0)
    assert (spare.state, orders) == ("open", ["start"])
    spare.follow(False, 10.0)
    spare.follow(False, 100.0)
    assert (spare.state, spare.jobs) == ("closing", 2)
    children.write_text("")
    spare.follow(True, 101.0)
    assert (spare.state, spare.jobs, orders[-1]) == ("open", 0, "start"), "the one who came has gone again"
    spare.follow(False, 102.0)
    assert spare.state == "closing", "the scheduler does not know yet"
    spare.follow(False, 102.0 + NOTICE_SECONDS)
    assert (spare.state, orders[-1]) == ("closed", "stop")


def test_a_spare_daemon_that_does_not_start_is_started_again(capsys: pytest.CaptureFixture[str]) -> None:
    tried: list[str] = []

    def order(words: Sequence[str]) -> str:
        tried.append(words[0])
        raise OSError("no such unit")

    spare = SpareDaemon(order)
    spare.follow(True, 0.0)
    spare.follow(True, 1.0)
    assert tried == ["start"]
    spare.follow(True, AGAIN_SECONDS)
    assert tried == ["start", "start"]
    assert "iceccd-spare.service: no such unit" in capsys.readouterr().err


def test_a_workstation_has_the_units_of_the_image() -> None:
    target = Target(farm="lab", netname="icecream-lab", scheduler="10.0.0.1", port=8765, protocol=43)
    files = contents(Share("none", 4, 3), target, "desk", "iceccd")
    assert set(paths("iceccd")) == {PROGRAM, *files}
    units = "".join(text for path, text in files.items() if path.suffix == ".service")
    assert "/run/farm/iceccd.env" not in units
    assert "farm-node-configure.service\n" not in "".join(re.findall("(?:Wants|PartOf)=.*\n", units))
    assert '{"slots": 4, "stay": 0, "free_after": 180.0}\n' == files[DESK_FILE]
    assert 'FARM_SPARE_NAME="desk.spare"\nFARM_SPARE_SLOTS="4"\n' in files[SPARE_FILE]


def test_root_runs_no_program_that_others_can_change(tmp_path: Path) -> None:
    system = os.path.realpath("/usr/bin/python3")
    (tmp_path / "venv").symlink_to(system)
    assert system == interpreter(str(tmp_path / "venv"))

    own = tmp_path / "python3"
    shutil.copy(system, own)
    with pytest.raises(FarmError, match="Slots cannot be shared with this Python"):
        interpreter(str(own))

    assert packed() == packed()
    (tmp_path / "desk.pyz").write_bytes(packed())
    done = subprocess.run(
        [system, "-I", tmp_path / "desk.pyz", "desk", "--root", tmp_path], capture_output=True, text=True, check=False
    )
    assert f"{tmp_path}/run/farm/desk/settings.json" in done.stderr


def test_a_server_from_before_says_no_policy() -> None:
    settings = ROLE.parse(SAID)
    assert (settings["when_used"], settings["free_after"]) == ("half", 10)
    assert ROLE.parse({**SAID, "when_used": "none", "free_after": 3})["when_used"] == "none"
    with pytest.raises(SettingsError, match="when_used"):
        ROLE.parse({**SAID, "when_used": ["half"]})
    with pytest.raises(SettingsError, match="free_after"):
        ROLE.parse({**SAID, "free_after": 0})


def test_the_spare_daemon_has_the_other_slots() -> None:
    assert "SPARE" not in iceccd_environment(SAID, "pc01")
    said = iceccd_environment(SAID, "pc01", 1).splitlines()
    assert said[-3:] == ['FARM_SLOTS="1"', 'FARM_SPARE_NAME="pc01.spare"', 'FARM_SPARE_SLOTS="3"']
