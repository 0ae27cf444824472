"""`farm join --share`: a workstation offers its slots, fewer while somebody uses it, and `farm leave` undoes it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from farm.scheduler.control import list_nodes
from tests.integration.test_desk_slots import LOGINCTL, SESSION
from tests.lab import Namespace, namespaces, until
from tests.workstation import NAME, Workstation, tree, workstation

SERVER, DESK = "10.99.62.1", "10.99.62.2"
FAKE_LOGIND = "[Service]\nEnvironment=PATH=/etc/fake:/usr/sbin:/usr/bin\n"


@pytest.fixture(scope="module")
def room() -> Iterator[tuple[Namespace, Workstation]]:
    with namespaces(f"{SERVER}/24", f"{DESK}/24") as (server, desk):
        server.scheduler()
        with workstation(desk, systemd=True) as machine:
            (machine.etc / "fake").mkdir()
            (machine.etc / "fake/loginctl").write_text(LOGINCTL)
            (machine.etc / "fake/loginctl").chmod(0o755)
            dropin = machine.etc / "systemd/system/farm-desk.service.d"
            dropin.mkdir()
            (dropin / "test.conf").write_text(FAKE_LOGIND)
            machine.run("mkdir", "-p", "/run/systemd/sessions", root=True)
            yield server, machine


def slots(server: Namespace) -> dict[str, int]:
    return {each.name: each.max_jobs for each in server.gather(list_nodes(SERVER, 8765))}


def test_a_workstation_shares_its_slots(room: tuple[Namespace, Workstation]) -> None:
    server, desk = room
    before = tree(desk.etc)
    said = desk.farm("join", SERVER, "--share", "half", "--accept-jobs=4", root=True)
    assert "offers 2 of its 4 slots while somebody uses it" in said.stderr
    assert "TCP ports 10245 and 10246" in said.stderr
    until(lambda: slots(server) == {NAME: 2, f"{NAME}.spare": 2}, "not all slots are offered")
    running = [words for words in desk.processes().values() if words[-1:] == ["desk"]]
    assert [[os.path.realpath("/usr/bin/python3"), "-I", "/etc/farm/desk.pyz", "desk"]] == running
    again = desk.farm("join", SERVER, "--share", "half", "--accept-jobs=4", root=True)
    assert "Already joined" in again.stdout

    desk.run("sh", "-c", f"printf '{SESSION}' > /run/systemd/sessions/3", root=True)
    until(lambda: slots(server) == {NAME: 2}, "the spare slots do not go")
    desk.farm("leave", root=True)
    assert before == tree(desk.etc)
    until(lambda: f"{NAME}.spare" not in slots(server), "the spare daemon stays")
    assert not [words for words in desk.processes().values() if "desk" in words]


def test_sharing_needs_root(room: tuple[Namespace, Workstation]) -> None:
    done = room[1].farm("join", SERVER, "--share", "half", check=False)
    assert done.returncode == 2
    assert "Only root can accept jobs from others." in done.stderr
