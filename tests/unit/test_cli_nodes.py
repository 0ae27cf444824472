from __future__ import annotations

import pytest
import rich_click as click
from immutables import Map
from msgspec.structs import replace
from rich.console import Console

from farm.cli.node import everyone, pick
from farm.cli.node import node as node_commands
from farm.cli.node_access import require_idle
from farm.cli.node_orders import carried_out
from farm.cli.scheduler import _facts, summarize
from farm.cli.status import view
from farm.errors import FarmError
from farm.scheduler.discovery import FoundScheduler
from farm.view.from_state import build_bare, host_status, other_status
from farm.view.live import Live
from farm.view.status import NodeStatus, Overview, SchedulerStatus, Status
from farm.watch.activity import Host
from farm.watch.activity import Scheduler as SchedulerRecord
from farm.watch.events import Stage
from farm.watch.state import initial

HOST = Host(name="pc01", address="10.0.0.2", slots=4, platform="x86_64", protocol=43, features=("env_xz", "env_zstd"))
OLD = Host(name="pc02", address="10.0.0.3", slots=2, platform="i686", protocol=39, load=1000)
SUBMITTER = Host(name="dev", address="10.0.0.1", platform="x86_64", protocol=43, pending=3)
UP = SchedulerRecord(up=True, address="10.0.0.9:8765", protocol=43)


def status(*hosts: Host) -> Status:
    farm = initial("", {})
    activity = replace(farm.activity, scheduler=UP, hosts=Map({host.key: host for host in hosts}))
    return build_bare(replace(farm, activity=activity), "office")


def node(host: Host) -> NodeStatus:
    return other_status(host, UP)


def live(*nodes: NodeStatus, blocked: tuple[str, ...] = ()) -> Live:
    found = Live()
    scheduler = SchedulerStatus(True, "", "", 0.0, "", blocked=blocked)
    found.overview = Overview(farm="", farmd=False, scheduler=scheduler)
    found.nodes = {each.key: each for each in nodes}
    return found


def text(renderable: object) -> str:
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_node_is_found_by_whatever_it_is_called() -> None:
    machine = replace(node(HOST), key="52:54:00:00:00:01", mac="52:54:00:00:00:01")
    nodes = [machine, node(OLD)]
    for name in ("pc01", "10.0.0.2", "52:54:00:00:00:01", "52-54-00-00-00-01"):
        assert machine == pick(nodes, name)
    assert node(OLD) == pick(nodes, "pc02@10.0.0.3")
    with pytest.raises(FarmError, match=r"There is no node pc09") as caught:
        pick(nodes, "pc09")
    assert caught.value.fix == "Did you mean pc02 or pc01? List them: farm node list"
    with pytest.raises(FarmError, match=r"There is no node"):
        pick([node(OLD)], "")


def test_who_is_there_goes_before_who_has_moved_away() -> None:
    moved = replace(HOST, address="10.0.0.77", online=False)
    assert node(HOST) == pick([node(moved), node(HOST)], "pc01")
    twin = replace(HOST, address="10.0.0.78")
    with pytest.raises(FarmError, match=r"Several nodes have the name pc01") as error:
        pick([node(twin), node(HOST)], "pc01")
    assert "pc01@10.0.0.78" in error.value.why


def test_submitters_count_among_everyone() -> None:
    found = everyone(status(HOST, SUBMITTER))
    assert ["pc01", "dev"] == [each.name for each in found]
    assert [3] == [each.host.jobs_pending for each in found if each.host and each.name == "dev"]


def test_orders_are_seen_to_be_carried_out() -> None:
    before, gone = node(HOST), node(replace(HOST, online=False))
    again = node(replace(HOST, logins=2))
    assert not carried_out("block", before, live(before))
    assert not carried_out("block", before, live(before, blocked=("pc01",))), "it is still there"
    assert not carried_out("drain", before, live(gone)), "its block is not listed"
    assert carried_out("block", before, live(gone, blocked=("pc01",)))
    assert carried_out("drain", before, live(gone, blocked=("10.0.0.2",)))
    assert not carried_out("unblock", gone, live(gone, blocked=("pc01",)))
    assert carried_out("unblock", gone, live(gone))
    assert not carried_out("kick", before, live(before))
    assert carried_out("kick", before, live(gone))
    assert carried_out("kick", before, live(again))
    assert carried_out("reboot", before, live(gone))
    assert not carried_out("off", before, live(before))


def test_the_scheduler_is_summarized() -> None:
    report = summarize(status(HOST, OLD, SUBMITTER, replace(HOST, name="pc03", online=False)), 100.0)
    assert (3, 6) == (report.daemons, report.slots)
    assert {39: 1, 43: 2} == report.protocols
    assert {"i686": 1, "x86_64": 2} == report.platforms
    assert {"env_xz": 1, "env_zstd": 1} == report.features
    said = text(_facts(report, 160.0))
    assert "up for 1m00s" in said
    assert "39 ×1, 43 ×2" in said
    rival = FoundScheduler("10.0.0.66", 8765, 44, 0, "office")
    rivalled = replace(report, scheduler=replace(report.scheduler, rivals=(rival,), blocked=("pc\x1b[2J",)))
    said = text(_facts(rivalled, 160.0))
    assert "10.0.0.66:8765 (protocol 44)" in said
    assert "\x1b" not in said


def test_a_scheduler_without_a_farm_has_a_status_of_its_own() -> None:
    said = text(view(status(HOST, OLD, SUBMITTER), 100.0))
    assert "Scheduler 10.0.0.9:8765 up, network office, protocol 43" in said
    assert "Nodes 2, 6 slots, 1 other daemon" in said
    assert "Jobs 0 running, 3 waiting" in said
    assert "Farm" not in said


def test_a_host_is_a_host() -> None:
    assert host_status(HOST, UP) == node(HOST).host
    assert Stage.REGISTERED is node(OLD).stage


def test_a_node_with_jobs_is_not_powered_off_or_rebooted_unasked() -> None:
    busy, idle = node(replace(HOST, running=2)), node(OLD)

    require_idle([idle], "off")
    with pytest.raises(FarmError) as caught:
        require_idle([busy, idle], "off")

    assert "Jobs are running: pc01 2 jobs." == caught.value.what
    assert "sudo farm node drain --then off pc01" in caught.value.fix
    assert "sudo farm node off --force pc01" in caught.value.fix


def test_the_group_holds_every_command() -> None:
    context = click.Context(node_commands)
    for name in (
        "list",
        "show",
        "ssh",
        "console",
        "screen",
        "type",
        "reboot",
        "off",
        "block",
        "unblock",
        "kick",
        "drain",
    ):
        command = node_commands.get_command(context, name)
        assert command is not None and command.name == name
    assert node_commands.get_command(context, "statsu") is None
