"""Why a node compiles nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from farm.view.idle import idle_reason
from farm.view.status import NodeStatus, Overview, SchedulerStatus, host_status, other_status
from farm.watch.activity import Host, Scheduler
from farm.watch.events import Stage, Telemetry

NOW = 1000.0
SCHEDULER = SchedulerStatus(up=True, address="10.77.0.1:8765", netname="lab", since=0.0, why="")
OVERVIEW = Overview(farm="lab", farmd=True, scheduler=SCHEDULER)
HOST = Host(name="pc01", address="10.77.0.57", slots=4, platform="x86_64", protocol=43, since=900.0)
SUBMITTER = other_status(
    Host(name="dev", address="10.77.0.2", no_remote=True, platform="x86_64", protocol=43, pending=7), Scheduler()
)
NODE = NodeStatus(
    key="m", name="pc01", mac="m", address="10.77.0.57", stage=Stage.READY, since=900.0,
    host=host_status(HOST, Scheduler()),
)  # fmt: skip
TOLD = Telemetry(farm="lab", name="pc01", mac="m", uptime=20.0, iceccd=False)


def code(node: NodeStatus, *others: NodeStatus, overview: Overview = OVERVIEW) -> str:
    reason = idle_reason(node, [node, *others], overview, NOW)
    assert reason is None or reason.why.endswith(".")
    return "" if reason is None else reason.code


def having(**changes: object) -> NodeStatus:
    assert NODE.host is not None
    return replace(NODE, host=replace(NODE.host, **changes))


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (having(jobs_running=1), ""),
        (having(no_remote=True), "no-remote"),
        (having(slots=0), "no-slots"),
        (having(installing=990.0, load=1000), "installing"),
        (having(load=1000), "load-1000"),
        (replace(NODE, host=None, stage=Stage.OFF), "off"),
        (replace(NODE, host=None, stage=Stage.LOST), "unreachable"),
        (replace(NODE, host=None, stage=Stage.LOST, order="off"), "off"),
        (replace(NODE, host=None, stage=Stage.LOST, order="reboot"), "rebooting"),
        (replace(NODE, order="off"), "switching-off"),
        (replace(NODE, order="drain"), "draining"),
        (replace(having(jobs_running=1), order="drain"), ""),
        (replace(NODE, host=None, stage=Stage.KERNEL), "booting"),
        (replace(NODE, host=None, stage=Stage.AGENT, telemetry=TOLD), "not-registered"),
        (having(platform="aarch64"), "platform"),
        (having(protocol=39), "version"),
        (NODE, "passed-over"),
        (having(last=990.0), "next"),
    ],
)
def test_the_most_fundamental_reason_is_named(node: NodeStatus, expected: str) -> None:
    assert expected == code(node, SUBMITTER)


def test_without_work_nobody_works() -> None:
    assert code(NODE) == "nothing-queued"


def test_a_blocked_node_is_known_by_name_or_address() -> None:
    for blocked in ("pc01", "10.77.0.57"):
        overview = replace(OVERVIEW, scheduler=replace(SCHEDULER, blocked=(blocked,)))
        assert code(replace(NODE, host=None, stage=Stage.AGENT), overview=overview) == "blocked"


def test_a_scheduler_that_is_away_comes_first() -> None:
    overview = replace(OVERVIEW, scheduler=replace(SCHEDULER, up=False, why="Connection refused."))
    assert code(replace(NODE, host=None), overview=overview) == "scheduler-down"


def test_what_to_do_at_a_scheduler_without_a_farm() -> None:
    bare = Overview(farm="", farmd=True, scheduler=replace(SCHEDULER, blocked=("pc01",)))
    blocked = idle_reason(replace(NODE, host=None), [], bare, NOW)
    assert blocked and blocked.mend == f"farm node unblock --scheduler {SCHEDULER.address} pc01"
    full = idle_reason(having(load=1000), [], replace(bare, scheduler=SCHEDULER), NOW)
    assert full and full.mend == f"farm node show --scheduler {SCHEDULER.address} pc01"
    passed_over = idle_reason(NODE, [NODE, SUBMITTER], replace(bare, scheduler=SCHEDULER), NOW)
    assert passed_over and "farm logs" not in passed_over.mend
