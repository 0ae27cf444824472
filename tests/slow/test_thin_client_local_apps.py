"""At a booted thin client's greeter a session is chosen by keys, and that session starts a program of the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from farm.node.session.pam import greeter_mark
from farm.virtual.own_root import OwnRoot
from tests.e2e.conftest import Lab
from tests.lab import until
from tests.slow.test_thin_client import COLOUR, NAME, PASSWORD, USER, colours, questions, server, told

__all__ = ["server"]

OTHER = "10.77.0.9"
"""Of the same server, where it offers its sessions: at the farm's address it offers those of this computer."""
LTS = f"""[default]
LDM_SERVER = {OTHER}
LOCAL_APPS = True
LOCAL_APPS_MENU = True
LOCAL_APPS_MENU_ITEMS = painter
"""
PAINTER = f"""#!/bin/sh
xsetroot -solid '#{COLOUR.hex()}'
uname -n > "$HOME/from-the-client"
exec sleep 2000
"""
ENTRY = "[Desktop Entry]\nType=Application\nName=Painter\nExec=painter %U\n"
FIRST = """#!/bin/sh
echo "$DESKTOP_SESSION" > "$HOME/noted"
$(sed -n 's/^Exec=//p' "${XDG_DATA_DIRS%%:*}/applications/painter.desktop")
exec xterm -e sleep infinity
"""
SESSION_MENU = ("left", "left")
"""Where it is from the one that F10 opens."""
WHITE, OF_A_MENU = b"\xff\xff\xff", 2000
"""Points of a menu at the least."""


@pytest.fixture(scope="module")
def client(lab: Lab) -> Lab:
    """A lab with one thin client, which is ready, and has a program of its own."""
    (lab.home / "farm.yaml").write_text(f"name: {lab.name}\nvirtual: {{memory: 1024}}\nnodes: {{image: thin-client}}\n")
    (lab.home / "lts.conf").write_text(LTS)
    keys = (" ".join(file.read_text().split()[:2]) for file in Path("/etc/ssh").glob("ssh_host_*_key.pub"))
    (lab.home / "ssh_known_hosts").write_text("".join(f"{OTHER} {key}\n" for key in keys))
    lab.farm("image", "build", "thin-client")
    lab.farm("up", "--virtual", "1")
    write_on_node(lab, "/usr/bin/painter", PAINTER)
    write_on_node(lab, "/usr/share/applications/painter.desktop", ENTRY)
    return lab


def on_node(lab: Lab, command: str) -> str:
    """What a command prints there."""
    return lab.farm("node", "ssh", NAME, "--", f"{command}; true").stdout


def write_on_node(lab: Lab, path: str, text: str) -> None:
    """Write a program or a file there, as an image has it."""
    on_node(lab, f"mkdir -p {path.rpartition('/')[0]}; cat > {path} <<'END'\n{text}END\nchmod 755 {path}")


def offer_sessions(lab: Lab, host: OwnRoot) -> None:
    """Give the server two sessions, and its other address with what tells of them; start the greeter again for them."""
    host.run("sh", "-c", "rm -f /usr/share/xsessions/*")
    for name in ("first", "plain"):
        host.write(f"/usr/share/xsessions/{name}.desktop", f"[Desktop Entry]\nName={name.title()}\nExec={name}\n")
    host.write("/usr/bin/first", FIRST, 0o755)
    host.run("chown", f"{USER}:", f"/home/{USER}/.dmrc")
    subprocess.run(["ip", "-n", lab.namespace, "address", "add", f"{OTHER}/24", "dev", "farm0"], check=True)
    host.start("ldminfod", sys.executable, "-P", "-m", "farm.session_server.ldminfod", OTHER)
    until(lambda: ":9571" in host.run("ss", "-Htln", "src", OTHER).stdout, "nothing tells of the sessions")

    asks = f"cat {greeter_mark.FILE}"
    before = on_node(lab, asks)
    on_node(lab, "systemctl restart lightdm")
    until(lambda: on_node(lab, asks) not in ("", before), "the greeter does not start again")
    offered = on_node(lab, "grep -h ^Name= /run/farm/xsessions/*.desktop").split("\n")
    assert {"Name=First", "Name=Plain"} <= set(offered), offered


def choose_first(lab: Lab) -> None:
    """Take the second session of the greeter's menu, by keys: what is pressed before it is open is lost."""
    closed = colours(lab)[WHITE]
    lab.farm("node", "type", NAME, "--keys", "f10")
    until(lambda: colours(lab)[WHITE] > closed + OF_A_MENU, "the menu does not open")
    lab.farm("node", "type", NAME, "--keys", *SESSION_MENU, "down", "down", "ret")
    until(lambda: colours(lab)[WHITE] < closed + OF_A_MENU, "the menu does not close")


def test_the_chosen_session_starts_a_program_of_the_machine_on_the_users_files(client: Lab, server: OwnRoot) -> None:
    until(lambda: told(client)["greeter"], "there is no greeter")
    offer_sessions(client, server)
    before = questions(client)
    client.farm("node", "type", NAME, "--enter", USER)
    until(lambda: questions(client) > before, "the greeter does not ask for a password")
    choose_first(client)
    client.farm("node", "type", NAME, "--enter", PASSWORD)

    home = server.path(f"/home/{USER}")
    until(lambda: (home / "noted").exists() and (home / "noted").read_text(), "the chosen session does not start")
    assert "first\n" == (home / "noted").read_text()
    assert "Session=first" in (home / ".dmrc").read_text()
    written = home / "from-the-client"
    until(lambda: written.exists() and written.read_text(), "the program's file is not in the home")
    assert f"{NAME}\n" == written.read_text()
    assert written.stat().st_uid == home.stat().st_uid
    until(lambda: colours(client)[COLOUR] > 100_000, "the program's colour is not on the screen")
    assert not [line for line in server.processes(USER) if "painter" in line and "local-app" not in line]

    server.run("pkill", "-U", USER, "xterm")
    until(lambda: told(client)["greeter"], "the greeter does not come back")
    assert "" == on_node(client, "pgrep -f '[p]ainter'")
