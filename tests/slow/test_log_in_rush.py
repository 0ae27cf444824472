"""A whole room logs in at one moment: real thin clients but for their screens, and one sshd with its usual limits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from farm.node.session.pam import log_ins
from tests.diskless import diskless
from tests.lab import namespaces
from tests.login_room import PASSWORD, SERVER, LoginServer, ThinClient

CLIENTS = 30
"""More than sshd takes at once: its MaxStartups begins to drop connections at ten."""


@pytest.fixture
def rush() -> Iterator[list[ThinClient]]:
    addresses = (SERVER, *(f"10.99.7.{20 + number}" for number in range(CLIENTS)))
    with contextlib.ExitStack() as stack:
        places = stack.enter_context(namespaces(*(f"{address}/24" for address in addresses)))
        names = ["server", *(f"pc{number:02}" for number in range(CLIENTS))]
        machines = [stack.enter_context(diskless(place, name)) for place, name in zip(places, names, strict=True)]
        server = LoginServer(machines[0], SERVER)
        server.set_up()
        clients = [ThinClient(machine) for machine in machines[1:]]
        for number, client in enumerate(clients):
            client.set_up()
            client.told(server.settings())
            server.add_user(f"user{number:02}", PASSWORD)
        yield clients


def test_thirty_clients_at_one_moment(rush: list[ThinClient]) -> None:
    typed = f"echo '{PASSWORD}' | pamtester lightdm user%02d authenticate"

    tries = [client.machine.start("pam", "sh", "-c", typed % number) for number, client in enumerate(rush)]

    assert [0] * CLIENTS == [each.wait(300) for each in tries]
    for number, client in enumerate(rush):
        assert f"user{number:02}" == client.ssh("whoami").stdout.strip()
        (noted,) = map(json.loads, client.machine.path(log_ins.FILE).read_text().splitlines())
        assert (f"user{number:02}", "") == (noted["user"], noted["failed"])
