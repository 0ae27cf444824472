"""A thin client boots in the virtual lab; at its greeter users log in to the server by typing, and see its programs."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.home import Home
from farm.virtual.own_root import OwnRoot, own_root
from tests.e2e.conftest import Lab
from tests.lab import until
from tests.login_room import SSHD, SSHD_PAM
from tests.screen_colours import screen_colours

NAME = "virtual-1"
USER, PASSWORD = "alice", "correct horse"
MESSAGE = "Please save your work"
COLOUR, WINDOW = b"\x12\xab\x34", "on the server"
SESSION = f"""#!/bin/sh
echo "$DISPLAY ${{XAUTHORITY:-$HOME/.Xauthority}}" > "$HOME/display"
xsetroot -solid '#{COLOUR.hex()}'
exec xterm -geometry 40x5 -T "{WINDOW}" -e sleep infinity
"""
DRIVERS = (
    *("i915", "amdgpu", "radeon", "nouveau", "ast", "mgag200", "bochs"),
    *(
        "snd-hda-intel",
        "snd-usb-audio",
        "snd-hda-codec-hdmi",
        "usb-storage",
        "uas",
        "usblp",
        "parport_pc",
        "lp",
        "sdhci-pci",
    ),
    *("vfat", "exfat", "isofs", "udf", "ixgbe", "igc", "r8169", "b44", "hv_netvsc"),
)
"""Of an ordinary PC's screen, sound, sticks, printers and network cards."""
LACKING = """
import re, sys
from pathlib import Path

modules = Path(*Path("/lib/modules").iterdir())
built_in = {Path(line).name[:-3].replace("-", "_") for line in (modules / "modules.builtin").read_text().split()}
there = {path.name[:-3].replace("-", "_"): path for path in modules.rglob("*.ko")}
wanted, seen = [name.replace("-", "_") for name in sys.argv[1:]], set()
while wanted:
    name = wanted.pop()
    if name in seen or name in built_in:
        continue
    seen.add(name)
    if name not in there:
        print(name)
        continue
    wanted += re.search(rb"\\0depends=([^\\0]*)", there[name].read_bytes())[1].decode().replace("-", "_").split(",")
    wanted = [each for each in wanted if each]
"""
"""Which of some drivers, and of those that they need, are not in the image."""


@pytest.fixture(scope="module")
def client(lab: Lab) -> Lab:
    """A lab with one thin client, which is ready."""
    (lab.home / "farm.yaml").write_text(f"name: {lab.name}\nvirtual: {{memory: 1024}}\nnodes: {{image: thin-client}}\n")
    lab.farm("image", "build", "thin-client")
    lab.farm("up", "--virtual", "1")
    return lab


def node(lab: Lab) -> dict[str, Any]:
    """What `farm node show` says."""
    shown: dict[str, Any] = json.loads(lab.farm("node", "show", NAME, "--json").stdout)["node"]
    return shown


def colours(lab: Lab) -> Counter[bytes]:
    """How many points of its screen have each colour."""
    return screen_colours(Home.at(lab.home), NAME)


@pytest.fixture
def server(client: Lab) -> Iterator[OwnRoot]:
    """The lab's server with a root of its own, in which sshd runs with this machine's keys and alice has an account."""
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        own_root(client.namespace, Path(folder), "server") as host,
    ):
        host.write("/etc/pam.d/sshd", SSHD_PAM)
        host.write("/usr/share/xsessions/plain.desktop", "[Desktop Entry]\nName=Plain\nExec=plain\n")
        host.write("/usr/bin/plain", SESSION, 0o755)
        host.run("useradd", "--create-home", "--shell", "/bin/bash", USER)
        host.run("chpasswd", "--crypt-method", "SHA256", input=f"{USER}:{PASSWORD}\n")
        host.write(f"/home/{USER}/.dmrc", "[Desktop]\nSession=plain\n")
        host.write("/etc/ssh/sshd_config", SSHD + "KbdInteractiveAuthentication yes\n")
        host.start("sshd", "/usr/sbin/sshd", "-D", "-e")
        yield host


def told(lab: Lab) -> dict[str, Any]:
    """What its agent says of who is there."""
    agent: dict[str, Any] = node(lab)["session"]["agent"]
    return agent


def questions(lab: Lab) -> int:
    """How many times lightdm has let the greeter ask for something since the machine booted."""
    counted = lab.farm("node", "ssh", NAME, "--", "grep -c 'Prompt greeter' /var/log/lightdm/lightdm.log || true")
    return int(counted.stdout)


def log_in(lab: Lab, password: str = PASSWORD) -> None:
    """Type a name and a password, each when the greeter asks for it: what is typed before is lost."""
    until(lambda: told(lab)["greeter"], "there is no greeter")
    before = questions(lab)
    lab.farm("node", "type", NAME, "--enter", USER)
    until(lambda: questions(lab) > before, "the greeter does not ask for a password")
    lab.farm("node", "type", NAME, "--enter", password)


def windows(host: OwnRoot) -> str:
    """What alice's programs on the server see on her screen."""
    told = host.path(f"/home/{USER}/display")
    until(lambda: told.exists() and told.read_text(), "the session does not start")
    display, authority = told.read_text().split()
    as_user = ("setpriv", f"--reuid={USER}", "--regid=1000", "--clear-groups", "env")
    return host.run(*as_user, f"DISPLAY={display}", f"XAUTHORITY={authority}", "xwininfo", "-root", "-tree").stdout


def test_it_is_ready_when_its_greeter_is_up_and_compiles_nothing(client: Lab) -> None:
    shown = node(client)
    assert ("ready", None, "nobody-there") == (shown["stage"], shown["compile"], shown["idle"]["code"])
    agent = shown["session"]["agent"]
    assert (True, True, []) == (agent["ready"], agent["greeter"], agent["users"])
    assert "greeter" in shown["uptime"]
    assert "greeter" in client.farm("node", "list").stdout
    target = client.home / "greeter.png"
    client.farm("node", "screen", NAME, target)
    assert target.stat().st_size
    until(lambda: len(colours(client)) > 16, "there is no picture on the screen")


def test_a_user_of_the_server_works_there_and_nobody_else_does(client: Lab, server: OwnRoot) -> None:
    log_in(client)
    until(lambda: told(client)["users"], "nobody is logged in")
    assert (True, [USER]) == (told(client)["ready"], [user["name"] for user in told(client)["users"]])
    assert "session" in client.farm("node", "list").stdout
    until(lambda: WINDOW in windows(server), "the session's window does not appear")
    until(lambda: colours(client)[COLOUR] > 100_000, "the session's colour is not on the screen")

    agent = told(client)
    assert (USER, "") == (agent["log_ins"][-1]["user"], agent["log_ins"][-1]["failed"])
    assert agent["server"] == agent["log_ins"][-1]["server"]
    assert 0 < agent["round_trip"] < 60
    assert f"shown to {USER}" in client.farm("node", "message", NAME, MESSAGE).stdout
    assert MESSAGE in windows(server)

    assert f"{USER} logged out" in client.farm("node", "logout", NAME, "--yes").stdout
    until(lambda: not told(client)["users"] and told(client)["greeter"], "the greeter does not come back")
    until(lambda: not server.processes(USER), "programs stay on the server")

    log_in(client, "wrong")
    until(lambda: "Failed" in server.log("sshd"), "a wrong password is not refused")
    assert [] == told(client)["users"]


def test_with_ldm_directx_its_programs_draw_past_ssh(client: Lab, server: OwnRoot) -> None:
    (client.home / "lts.conf").write_text("[default]\n  LDM_DIRECTX = yes\n")
    client.farm("up")
    powered = time.time()
    client.farm("node", "reboot", NAME, "--force")
    client.wait_for_boot(NAME, powered)

    log_in(client)
    until(lambda: WINDOW in windows(server), "the session does not appear")
    until(lambda: told(client)["users"], "nobody is logged in")
    display = server.path(f"/home/{USER}/display").read_text().split()[0]
    assert f"{node(client)['address']}:0" == display.removesuffix(".0")
    until(lambda: colours(client)[COLOUR] > 100_000, "the session's colour is not on the screen")

    server.run("pkill", "-U", USER, "xterm")
    until(lambda: told(client)["greeter"], "the greeter does not come back")


def test_the_drivers_of_ordinary_pcs_are_there_with_all_that_they_need(client: Lab, tmp_path: Path) -> None:
    script = f"python3 - {' '.join(DRIVERS)} <<'END'\n{LACKING}\nEND\n"
    assert "" == client.farm("node", "ssh", NAME, "--", script).stdout


def test_its_doctor_finds_nothing_wrong(client: Lab) -> None:
    said = client.farm("node", "ssh", NAME, "--", "python3 -I -m farm.node doctor", check=False).stdout
    assert ["ok   node-configured", "ok   node-greeter"] == [line.partition(":")[0] for line in said.splitlines()[:2]]
