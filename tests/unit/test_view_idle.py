"""Why a node compiles nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from farm.node.contract import ROLES
from farm.view import roles
from farm.view.from_state import host_status, other_status
from farm.view.idle import idle_reason
from farm.view.roles import RoleView
from farm.view.status import CompileStatus, NodeStatus, Overview, SchedulerStatus
from farm.watch.activity import Host, Scheduler
from farm.watch.events import Stage
from farm.watch.node_telemetry import CompileTold, RolesTold

NOW = 1000.0
SCHEDULER = SchedulerStatus(up=True, address="10.77.0.1:8765", netname="lab", since=0.0, why="")
OVERVIEW = Overview(farm="lab", farmd=True, scheduler=SCHEDULER)
HOST = Host(name="pc01", address="10.77.0.57", slots=4, platform="x86_64", protocol=43, since=900.0)
SUBMITTER = other_status(
    Host(name="dev", address="10.77.0.2", no_remote=True, platform="x86_64", protocol=43, pending=7), Scheduler()
)
NODE = NodeStatus(
    key="m", name="pc01", mac="m", address="10.77.0.57", stage=Stage.READY, since=900.0,
    compile=CompileStatus(host_status(HOST, Scheduler())),
)  # fmt: skip
TOLD = CompileTold(ready=False)


def code(node: NodeStatus, *others: NodeStatus, overview: Overview = OVERVIEW) -> str:
    reason = idle_reason(node, [node, *others], overview, NOW)
    assert reason is None or reason.why.endswith(".")
    return "" if reason is None else reason.code


def having(**changes: object) -> NodeStatus:
    assert NODE.host is not None
    return replace(NODE, compile=CompileStatus(replace(NODE.host, **changes)))


assert NODE.host is not None
NO_SLOTS = replace(NODE.host, slots=0)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (having(jobs_running=1), ""),
        (having(no_remote=True), "no-remote"),
        (having(slots=0), "no-slots"),
        (replace(NODE, compile=CompileStatus(NO_SLOTS, CompileTold(True, 4, offered=0, in_use=True))), "in-use"),
        (having(installing=990.0, load=1000), "installing"),
        (having(load=1000), "load-1000"),
        (replace(NODE, compile=CompileStatus(), stage=Stage.OFF), "off"),
        (replace(NODE, compile=CompileStatus(), stage=Stage.LOST), "unreachable"),
        (replace(NODE, compile=CompileStatus(), stage=Stage.LOST, order="off"), "off"),
        (replace(NODE, compile=CompileStatus(), stage=Stage.LOST, order="reboot"), "rebooting"),
        (replace(NODE, order="off"), "switching-off"),
        (replace(NODE, order="drain"), "draining"),
        (replace(having(jobs_running=1), order="drain"), ""),
        (replace(NODE, compile=CompileStatus(), stage=Stage.KERNEL), "booting"),
        (replace(NODE, compile=CompileStatus(agent=TOLD), stage=Stage.AGENT), "not-registered"),
        (having(platform="aarch64"), "platform"),
        (having(protocol=39), "version"),
        (NODE, "passed-over"),
        (having(last=990.0), "next"),
    ],
)
def test_the_most_fundamental_reason_is_named(node: NodeStatus, expected: str) -> None:
    assert expected == code(node, SUBMITTER)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "no-role"),
        ({"stage": Stage.OFF}, "off"),
        ({"stage": Stage.LOST}, "unreachable"),
        ({"stage": Stage.ROOT}, "booting"),
        ({"order": "reboot"}, "rebooting"),
    ],
)
def test_a_machine_without_roles_asks_nothing_of_the_scheduler(changes: dict[str, Any], expected: str) -> None:
    down = replace(OVERVIEW, scheduler=replace(SCHEDULER, up=False))
    assert expected == code(replace(NODE, compile=None, **changes), SUBMITTER, overview=down)


def test_a_role_says_only_that_a_machine_is_not_there_unless_it_knows_more() -> None:
    codes = [RoleView().idle(replace(NODE, stage=stage), [], OVERVIEW, NOW) for stage in (Stage.OFF, Stage.READY)]
    assert ["off", None] == [each and each.code for each in codes]


def test_each_role_has_a_view_and_a_section() -> None:
    assert set(ROLES) == {path.stem for path in Path(roles.__file__).parent.iterdir() if path.stem[:1] != "_"}
    assert all(isinstance(roles.load(name), RoleView) for name in ROLES)
    assert set(ROLES) <= set(NodeStatus.__struct_fields__)
    assert ROLES == RolesTold.__struct_fields__


def test_without_work_nobody_works() -> None:
    assert code(NODE) == "nothing-queued"


def test_a_blocked_node_is_known_by_name_or_address() -> None:
    for blocked in ("pc01", "10.77.0.57"):
        overview = replace(OVERVIEW, scheduler=replace(SCHEDULER, blocked=(blocked,)))
        assert code(replace(NODE, compile=CompileStatus(), stage=Stage.AGENT), overview=overview) == "blocked"


def test_a_scheduler_that_is_away_comes_first() -> None:
    overview = replace(OVERVIEW, scheduler=replace(SCHEDULER, up=False, why="Connection refused."))
    assert code(replace(NODE, compile=CompileStatus()), overview=overview) == "scheduler-down"


def test_what_to_do_at_a_scheduler_without_a_farm() -> None:
    bare = Overview(farm="", farmd=True, scheduler=replace(SCHEDULER, blocked=("pc01",)))
    blocked = idle_reason(replace(NODE, compile=CompileStatus()), [], bare, NOW)
    assert blocked and blocked.mend == f"farm node unblock --scheduler {SCHEDULER.address} pc01"
    full = idle_reason(having(load=1000), [], replace(bare, scheduler=SCHEDULER), NOW)
    assert full and full.mend == f"farm node show --scheduler {SCHEDULER.address} pc01"
    passed_over = idle_reason(NODE, [NODE, SUBMITTER], replace(bare, scheduler=SCHEDULER), NOW)
    assert passed_over and "farm logs" not in passed_over.mend
