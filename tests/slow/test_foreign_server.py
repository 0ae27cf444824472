"""A session on a server of which nothing is ours: from the greeter to its desktop, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from farm.config import Config
from farm.config.known_hosts import parse_known_hosts
from farm.netboot.settings import SshKeys, machine_document
from tests.diskless import diskless
from tests.foreign_server import WINDOW, ForeignServer, debian
from tests.lab import namespaces, until
from tests.login_room import CLIENT, PASSWORD, SERVER, USER, ThinClient

OWN = Config(address="10.99.7.99/24")
"""The farm's own server, which has no sshd: lts.conf and ssh_known_hosts, both beside farm.yaml, name the other one."""
SETTLE = f"""
from farm.node.lts.precedence import KnownMachine
from farm.node.session.lts_values import settle
settle("/", KnownMachine("pc01", "{CLIENT}", "52:54:00:00:00:01"))
"""


@dataclass
class ForeignRoom:
    """A thin client and a server that knows nothing of it."""

    client: ThinClient
    server: ForeignServer


@pytest.fixture
def room() -> Iterator[ForeignRoom]:
    with (
        namespaces(f"{SERVER}/24", f"{CLIENT}/24") as (there, here),
        diskless(there, "far", debian()) as far,
        diskless(here, "pc01") as pc01,
    ):
        found = ForeignRoom(ThinClient(pc01), ForeignServer(far, SERVER))
        found.server.set_up()
        found.client.set_up()
        known = parse_known_hosts("".join(f"{SERVER} {key}\n" for key in found.server.host_keys()))
        document = machine_document(OWN, None, "", ["session"], SshKeys(known=known.keys))
        pc01.write("/etc/farm/session.json", json.dumps(document["session"]))
        pc01.write("/etc/lts.conf", f"[default]\n  LDM_SERVER = {SERVER}\n")
        pc01.run("/usr/bin/python3", "-I", "-c", SETTLE)
        yield found


def test_a_session_on_a_server_of_which_nothing_is_ours(room: ForeignRoom) -> None:
    assert room.server.version("ltsp").startswith("23.")
    room.client.start_greeter()
    room.client.type(USER)
    room.client.wait_for_question()
    room.client.type(PASSWORD)
    until(lambda: WINDOW in room.client.screen(), "the session does not appear")

    environment = room.server.machine.path(f"/home/{USER}/session-environment")
    until(environment.exists, "the session's program does not start")
    lines = environment.read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert (CLIENT, "pc01") == (found["LTSP_CLIENT"], found["LTSP_CLIENT_HOSTNAME"])
    assert "openbox" in " ".join(room.server.machine.processes(USER))

    room.server.machine.run("pkill", "-x", "openbox")
    room.client.wait_for_greeter(times=2)
    assert "" == room.client.users()
    until(lambda: not room.server.machine.processes(USER), "programs stay on the server")


def test_an_expired_password_is_changed_where_sshd_does_not_ask(room: ForeignRoom) -> None:
    room.server.machine.run("passwd", "--expire", USER)
    new = "a longer new password"
    assert room.client.log_in(USER, PASSWORD, new, new)[0]
    room.client.log_out()
    assert room.client.log_in(USER, new)[0]
