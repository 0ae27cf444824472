"""A message on a thin client's screen, and the end of its session, by the farm's ssh: real lightdm, real windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config import Config
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.node.session import round_trip
from farm.nodes import screens, ssh
from farm.nodes.screens import MAX_MESSAGE, check_text
from farm.view.status import NodeStatus, SessionStatus
from farm.watch.events import Stage
from farm.watch.node_telemetry import SessionTold, Telemetry
from tests.lab import until
from tests.login_room import CLIENT, PASSWORD, USER, WINDOW, LoginRoom, ThinClient, login_room

MAC = "52:54:00:00:00:01"
TEXT = "Please save your work; 'the server' restarts at 18:00 & <b>on time</b> $(reboot) – Grüße"
NODE = NodeStatus(
    key=MAC,
    name="pc01",
    mac=MAC,
    address=CLIENT,
    stage=Stage.READY,
    since=0.0,
    verified=True,
    telemetry=Telemetry(farm="lab", name="pc01", mac=MAC, uptime=60.0),
    session=SessionStatus(SessionTold(ready=True, greeter=True)),
)
SSHD = """
PermitRootLogin prohibit-password
PidFile /run/sshd-of-the-farm.pid
HostKey /etc/ssh/ssh_host_ed25519_key
"""


KIOSK = ("DISPLAY=:7", "XAUTHORITY=/run/farm/screens/7/.Xauthority")
"""A further screen, as lts.conf's SCREEN_07 makes one."""


def start_kiosk(client: ThinClient) -> None:
    """Start the X server of that screen with a cookie, and a program on it."""
    client.machine.run("mkdir", "-p", "/run/farm/screens/7", "/run/farm/screens/8", "/run/farm/screens/none")
    client.machine.run("env", *KIOSK, "xauth", "add", ":7", "MIT-MAGIC-COOKIE-1", "0123456789abcdef" * 2)
    client.machine.run("ln", "-s", "/etc/shadow", "/run/farm/screens/8/.Xauthority")
    client.machine.start("X7", "Xvfb", ":7", "-auth", "/run/farm/screens/7/.Xauthority", "-noreset")
    until(lambda: client.machine.path("/tmp/.X11-unix/X7").exists(), "there is no X server")


class Desk:
    """A room whose thin client obeys the farm's key."""

    def __init__(self, room: LoginRoom, folder: Path) -> None:
        self.room, self.client = room, room.client
        self.home = Home.at(folder)
        self.home.create()
        self.instance = Instance(config=Config(), interface="lab0", images={}, started=0.0)
        machine = self.client.machine
        machine.write("/root/.ssh/authorized_keys", ssh.farm_key(self.home), 0o600)
        machine.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/key")
        machine.run("mv", "/tmp/key", "/etc/ssh/ssh_host_ed25519_key")
        machine.write("/etc/ssh/sshd_config", SSHD)
        machine.start("sshd", "/usr/sbin/sshd", "-D", "-e")
        room.namespace.wait_for(22)

    def order(self, what: screens.ScreenOrder, text: str = "", node: NodeStatus = NODE) -> list[str]:
        """Give an order as the server does; who is, or was, logged in."""
        return self.room.server.machine.namespace.call(
            lambda: screens.order(self.home, self.instance, node, what, text)
        )

    def sit_down(self) -> None:
        """Log in by typing."""
        self.client.type(USER)
        self.client.wait_for_question()
        self.client.type(PASSWORD)
        until(lambda: WINDOW in self.client.screen(), "the session does not appear")

    def windows(self, name: str) -> list[str]:
        """The windows of that name which can be seen."""
        found = self.client.on_screen("xdotool", "search", "--onlyvisible", "--name", f"^{name}").stdout
        return found.split()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with login_room() as room:
        room.client.told(room.server.settings())
        yield Desk(room, tmp_path)


def test_a_message_at_the_greeter_and_in_the_session_and_the_log_out(desk: Desk) -> None:
    client = desk.client
    with pytest.raises(FarmError, match="has not done it") as refused:
        desk.order("message", TEXT)
    assert "No X server runs there" in refused.value.why
    client.start_greeter()
    with pytest.raises(FarmError, match="Nobody is logged in at pc01"):
        desk.order("logout")

    start_kiosk(client)
    assert [] == desk.order("message", TEXT)
    assert TEXT[:70] in client.screen()
    assert TEXT[:70] in client.machine.run("env", *KIOSK, "xwininfo", "-root", "-tree").stdout
    assert ["farm.node.session.on_screen.message_window"] * 2 == [
        each.split()[3] for each in client.machine.processes("nobody")
    ]
    desk.sit_down()
    # What came later lies below it; the uppermost window is listed first.
    until(lambda: TEXT[:20] in client.screen().partition(WINDOW)[0], "the session's window covers the message")
    assert [USER] == desk.order("message", "Second")
    (second,) = desk.windows("Second")
    # The button is at the lower right.
    size = dict(
        line.split("=")
        for line in client.on_screen("xdotool", "getwindowgeometry", "--shell", second).stdout.splitlines()
    )
    where = str(int(size["X"]) + int(size["WIDTH"]) - 60), str(int(size["Y"]) + int(size["HEIGHT"]) - 40)
    client.on_screen("xdotool", "mousemove", *where, "click", "1")
    until(lambda: not desk.windows("Second"), "the message stays")
    assert 1 == len(desk.windows("Please save your work"))

    # The session's connection is the one that is measured.
    uid = 64000
    listing = client.machine.run(*round_trip.LIST, "state", "established").stdout
    seconds = round_trip.of_listing(listing, uid)
    assert seconds is not None, listing
    assert 0 < seconds < 60

    assert [USER] == desk.order("logout")
    client.wait_for_greeter(times=2)
    until(lambda: not desk.room.server.machine.processes(USER), "programs stay on the server")
    assert ("", []) == (client.users(), client.machine.processes("farm-session"))
    assert [] == desk.windows("Please save your work")
    assert [] == list(client.machine.path("/tmp").glob("farm-message-*"))


def test_a_session_that_does_not_end_is_ended(desk: Desk) -> None:
    client = desk.client
    # What the session is here pays no heed to the end of its windows.
    client.machine.write(
        "/usr/lib/farm/thin-session", "#!/bin/sh\ntrap '' TERM HUP\nwhile :; do sleep 1; done\n", 0o755
    )
    client.start_greeter()
    client.type(USER)
    client.wait_for_question()
    client.type(PASSWORD)
    until(lambda: "/bin/sh /usr/lib/farm/thin-session" in client.machine.processes("farm-session"), "no session")

    assert [USER] == desk.order("logout")

    client.wait_for_greeter(times=2)
    assert [] == client.machine.processes("farm-session")


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "\x1b[31mred", "x" * (MAX_MESSAGE + 1), "\ud800"])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(FarmError):
        check_text(text)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=MAX_MESSAGE))
def test_any_other_text_is_one(text: str) -> None:
    check_text(text)
