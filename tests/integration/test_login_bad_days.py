"""Bad days of a log-in, with real PAM and sshd: nobody gets in by them, and what is said is the case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import until
from tests.login_room import PASSWORD, SERVER, USER, LoginRoom, login_room

SILENT = "import socket, time; door = socket.socket(type=socket.SOCK_DGRAM); door.bind(('', 53)); time.sleep(600)"
"""A name server that does not answer."""
RATED = (
    "import socket; door = socket.create_server(('', 9571))\n"
    "while True:\n with door.accept()[0] as peer: peer.sendall(b'rating:70\\n')"
)


@pytest.fixture(scope="module")
def shared() -> Iterator[LoginRoom]:
    with login_room() as room:
        room.server.add_user("anna", "apple pie")
        yield room


@pytest.fixture
def room(shared: LoginRoom) -> LoginRoom:
    """Nobody is logged in, and there is no lts.conf."""
    shared.client.set_lts()
    shared.client.log_out()
    return shared


def test_the_next_log_in_at_a_machine_waits_for_the_one_before(room: LoginRoom) -> None:
    machine = room.client.machine
    typing = "until [ -e /tmp/typed ]; do sleep 0.05; done; echo apple pie"
    machine.start("anna", "sh", "-c", f"({typing}) | pamtester lightdm anna authenticate; echo over")
    until(lambda: "anna" in room.client.users(), "the first log-in does not begin")
    entered, said = room.client.log_in(USER, PASSWORD)
    machine.write("/tmp/typed", "")
    until(lambda: "over" in machine.log("anna"), "the first log-in does not end")

    assert (False, True) == (entered, "Somebody else is logging in at this machine; try again." in said)
    assert "anna" == room.client.ssh("whoami").stdout.strip()


def test_an_ssh_that_can_not_ask_is_not_called_the_servers_fault(room: LoginRoom) -> None:
    askpass = room.client.machine.path("/usr/lib/farm/askpass")
    content = askpass.read_text()
    askpass.unlink()
    try:
        entered, said = room.client.log_in(USER, PASSWORD)
    finally:
        room.client.machine.write("/usr/lib/farm/askpass", content, 0o755)

    assert not entered
    assert "because of this machine itself, where ssh can not ask for your password." in said.replace("  ", " ")
    assert "does not let you in" not in said


def test_nothing_is_left_of_a_log_in_that_failed_at_its_end(room: LoginRoom) -> None:
    room.client.set_lts(LDM_DIRECTX="true")
    nft = room.client.machine.run("sh", "-c", "command -v nft").stdout.strip()
    room.client.machine.run("mv", nft, f"{nft}.away")
    try:
        entered, said = room.client.log_in(USER, PASSWORD)
    finally:
        room.client.machine.run("mv", f"{nft}.away", nft)

    assert (False, True) == (entered, "because of this machine itself" in said)
    assert not room.client.connected()
    assert USER not in room.client.users()


def test_a_server_whose_name_nobody_tells_keeps_no_other_from_being_asked(room: LoginRoom) -> None:
    room.server.machine.start("silence", "/usr/bin/python3", "-I", "-c", SILENT)
    room.server.machine.start("ldminfod", "/usr/bin/python3", "-I", "-c", RATED)
    room.server.machine.namespace.wait_for(9571)
    room.client.machine.write("/etc/resolv.conf", f"nameserver {SERVER}\n")
    try:
        asked = (
            "from farm.node.session.pam.ldminfo import server_infos\n"
            f"print([each.rating for each in server_infos(['silent.lan', '{SERVER}'], 1.0)])"
        )
        assert "[None, 70]\n" == room.client.machine.run("/usr/bin/python3", "-I", "-c", asked).stdout
    finally:
        room.client.machine.path("/etc/resolv.conf").unlink()
