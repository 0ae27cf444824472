"""A fat client boots in the virtual lab: who logs in at its greeter has a desktop there, on the server's home.

Beside that it compiles: its slots go and return as users come and go, and no job takes what the desktop needs.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.home import Home
from farm.virtual.own_root import OwnRoot
from tests.e2e.conftest import Lab
from tests.fat_lab import (
    HOME,
    SLOW_SECONDS,
    UID,
    boot_fat_client,
    building,
    home_server,
    homes_by_nfs,
    jobs_done,
    log_out,
    on_node,
    slots,
    start_in_session,
    wait_for_windows,
)
from tests.lab import until
from tests.screen_colours import screen_colours
from tests.slow.test_thin_client import NAME, USER, log_in, node, told

MADE = f"{HOME}/made-here"
"""A file that a program of the session makes."""
OWN_ID = "tr -d : < /sys/class/net/$(cat /run/farm/boot-nic)/address"
"""Says the address of the card that the machine has booted from."""
PAUSE_SECONDS = 1.0
"""Before a look at the screen, each of which costs the machine some of its time."""
PANEL, BELOW = (0, 20), (200, 300)
"""Lines of the screen: those of the panel, and some of the picture behind all windows."""


@pytest.fixture(scope="module")
def client(lab: Lab) -> Lab:
    """A lab with one fat client, which is ready."""
    boot_fat_client(lab)
    return lab


@pytest.fixture
def server(client: Lab) -> Iterator[OwnRoot]:
    """The server of its users' homes; nobody is logged in before and after."""
    with home_server(client) as host:
        until(lambda: told(client)["greeter"], "there is no greeter")
        yield host


def panel_is_on_the_screen(lab: Lab) -> bool:
    """By QEMU's picture of it: lines that have one colour in common, which is not that of the picture behind."""
    time.sleep(PAUSE_SECONDS)
    panel, below = (screen_colours(Home.at(lab.home), NAME, *lines) for lines in (PANEL, BELOW))
    (colour, points), (behind, _) = panel.most_common(1)[0], below.most_common(1)[0]
    return len(panel) > 16 and points > panel.total() / 2 and colour != behind


def keep_picture(lab: Lab) -> None:
    """Save the screen; for the documentation where FARM_PICTURES says (`script/pictures fat`)."""
    target = lab.home / "fat-client.png"
    lab.farm("node", "screen", NAME, target)
    if folder := os.environ.get("FARM_PICTURES"):
        shutil.copy(target, folder)


def desktop(lab: Lab) -> None:
    """Log in, and wait for the desktop."""
    log_in(lab)
    until(lambda: told(lab)["users"], "nobody is logged in")
    until(lambda: panel_is_on_the_screen(lab), "the panel is not on the screen", SLOW_SECONDS)
    wait_for_windows(lab, "xfce4-panel", "xfdesktop")


def test_a_user_works_there_while_it_compiles(client: Lab, server: OwnRoot, tmp_path: Path) -> None:
    assert "fat" == told(client)["kind"]
    own, *ids = on_node(client, f"{OWN_ID}; cat /etc/machine-id /var/lib/dbus/machine-id").split()
    assert [own + 20 * "0"] * 2 == ids
    until(lambda: slots(client) == (2, False, True), "not all slots are offered")
    assert on_node(client, "cat /sys/fs/cgroup/iceccd.slice/cpu.idle").strip() == "1"
    most = int(on_node(client, "cat /sys/fs/cgroup/iceccd.slice/memory.max"))
    assert 512 << 20 < most < 1 << 30, "of 2 GiB a session keeps one"

    with building(client, tmp_path / "sources", tmp_path / "record.json"):
        until(lambda: node(client)["compile"]["spare"]["jobs_done"] > 0, "the spare slot gets no jobs")
        desktop(client)
        until(lambda: slots(client) == (1, True, False), "the slot does not go")
        assert [USER] == [user["name"] for user in told(client)["users"]]
        start_in_session(client, "xfce4-terminal --geometry=80x16+200+300")
        wait_for_windows(client, f"Terminal - {USER}@")
        client.farm("node", "type", NAME, "--enter", f"echo mine > {MADE}; ls -l")
        until(lambda: server.path(MADE).exists(), "what is typed makes no file", SLOW_SECONDS)
        until(lambda: server.path(MADE).read_text() == "mine\n", "nothing is in the file")
        assert (UID, UID) == (server.path(MADE).stat().st_uid, server.path(MADE).stat().st_gid)
        assert f"{HOME} fuse.sshfs" in on_node(client, "cat /proc/mounts")
        panel = f"/proc/$(pgrep -u {USER} -x xfce4-panel)"
        assert "/run/farm/cache" in on_node(client, f"tr '\\0' '\\n' < {panel}/environ")
        keep_picture(client)

        done = jobs_done(client)
        until(lambda: jobs_done(client) > done, "the other slot gets no jobs")
        assert on_node(client, "cat /proc/$(pgrep -o -x iceccd)/oom_score_adj").strip() == "1000"
        log_out(client)
        until(lambda: slots(client) == (2, False, True), "the slot does not return")
    until(lambda: not server.processes(USER), "the connection stays")
    assert server.path(MADE).exists()

    found = json.loads((tmp_path / "record.json").read_text())
    # What only waits for the spare slot at that moment is compiled by its submitter; nothing else fails.
    assert found["failed"] == found["failed_over"] <= 2
    assert {NAME, f"{NAME}.spare"} <= {name for name, each in found["nodes"].items() if each["jobs"]}


def test_a_home_by_nfs_where_lts_conf_says_so(client: Lab, server: OwnRoot) -> None:
    homes_by_nfs(client, server)

    desktop(client)
    assert f"{HOME} nfs4" in on_node(client, "cat /proc/mounts")
    client.farm("node", "ssh", NAME, "--", f"runuser -u {USER} -- sh -c 'echo fast > {MADE}'")
    assert f"{UID} {UID} fast\n" == server.run("sh", "-c", f"echo $(stat -c '%u %g' {MADE}) $(cat {MADE})").stdout
    log_out(client)
