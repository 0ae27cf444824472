"""The screens of a thin client that has booted in the virtual lab, and what its lts.conf says of the machine."""

from __future__ import annotations

from collections import Counter

import pytest

from farm.home import Home
from tests.e2e.conftest import Lab
from tests.lab import until
from tests.screen_colours import screen_colours

NAME = "virtual-1"
COLOUR = b"\x12\xab\x34"
LTS = """[default]
SCREEN_02 = shell
SCREEN_07 = ldm
SCREEN_08 = xterm
SCREEN_DEFAULT = 02
HOSTNAME = school7
XKBLAYOUT = de
X_NUMLOCK = yes
TIMEZONE = Europe/Athens
SHUTDOWN_TIME = 05:00
TIMESERVER = 10.77.0.1
SYSLOG_HOST = 10.77.0.1
USE_LOCAL_SWAP = yes
RM_SYSTEM_SERVICES = udisks2
"""
XTERM = "#!/bin/sh\nxsetroot -solid '#12ab34'\nexec sleep infinity\n"
"""In place of a program that the image does not have."""


@pytest.fixture(scope="module")
def client(lab: Lab) -> Lab:
    """A lab with one thin client, which is ready."""
    (lab.home / "farm.yaml").write_text(f"name: {lab.name}\nvirtual: {{memory: 1024}}\nnodes: {{image: thin-client}}\n")
    (lab.home / "lts.conf").write_text(LTS)
    lab.farm("image", "build", "thin-client")
    lab.farm("up", "--virtual", "1")
    return lab


def on_node(lab: Lab, command: str) -> str:
    """What a command prints there."""
    return lab.farm("node", "ssh", NAME, "--", f"{command}; true").stdout


def colours(lab: Lab) -> Counter[bytes]:
    """How many points of its screen have each colour."""
    return screen_colours(Home.at(lab.home), NAME)


def test_the_screen_that_lts_conf_says_is_shown_first_and_takes_what_is_typed(client: Lab) -> None:
    until(lambda: "tty2" in on_node(client, "cat /sys/class/tty/tty0/active"), "the shell is not shown")
    client.farm("node", "type", NAME, "--enter", "id -un > /run/typed; uname -n >> /run/typed")
    until(lambda: "root\nschool7\n" == on_node(client, "cat /run/typed"), "the shell does not take what is typed")


def test_keys_lead_to_the_log_in_and_to_a_screen_of_its_own(client: Lab) -> None:
    client.farm("node", "type", NAME, "--keys", "ctrl-alt-f7")
    until(lambda: len(colours(client)) > 16, "there is no greeter on the screen")
    on_display = "DISPLAY=:0 XAUTHORITY=/var/run/lightdm/root/:0"
    assert "de" in on_node(client, f"{on_display} setxkbmap -query")
    assert "Num Lock:    on" in on_node(client, f"{on_display} xset q")

    assert "add xterm to images.thin-client.packages" in on_node(client, "journalctl -u farm-screen-x@8")
    script = f"cat > /usr/bin/xterm <<'END'\n{XTERM}END\nchmod 755 /usr/bin/xterm; systemctl restart farm-screen-x@8"
    client.farm("node", "ssh", NAME, "--", script)
    client.farm("node", "type", NAME, "--keys", "ctrl-alt-f8")
    until(lambda: colours(client)[COLOUR] > 100_000, "the screen is not shown")


def test_the_machine_is_what_lts_conf_says(client: Lab) -> None:
    assert "EET" in on_node(client, "date +%Z") or "EEST" in on_node(client, "date +%Z")
    assert "05:00:00" in on_node(client, "systemctl show farm-shutdown.timer")
    assert "NTP=10.77.0.1" in on_node(client, "cat /etc/systemd/timesyncd.conf.d/farm.conf")
    active = on_node(client, "systemctl is-active systemd-timesyncd farm-send-log farm-shutdown.timer").split()
    assert ["active"] * 3 == active
    assert "masked-runtime" in on_node(client, "systemctl is-enabled udisks2")
    assert "" == on_node(client, "systemctl --failed --plain --no-legend")
    assert "" == on_node(client, "journalctl -u farm-node-configure | grep lts.conf")
