"""How a session on a fat client ends that does not want to: on a booted one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farm.virtual.own_root import OwnRoot
from tests.e2e.conftest import Lab
from tests.fat_lab import HOME, SLOW_SECONDS, UID, boot_fat_client, home_server, log_out, on_node
from tests.lab import until
from tests.slow.test_thin_client import NAME, USER, log_in, told

SLICE = f"/sys/fs/cgroup/user.slice/user-{UID}.slice"
ROOM = 30
"""Processes that the user may still start."""
MULTIPLY = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
IN_SESSION = f"""
echo $(($(cat {SLICE}/pids.current) + {ROOM})) > {SLICE}/pids.max
echo $$ > $(ls -d {SLICE}/session-*.scope)/cgroup.procs
exec setpriv --reuid={UID} --regid={UID} --clear-groups setsid python3 /run/multiply > /dev/null 2>&1
"""
AUTOSTART = f"[Desktop Entry]\nType=Application\nName=begun\nExec=touch {HOME}/begun\n"
"""Says that the session's programs run."""


@pytest.fixture(scope="module")
def client(lab: Lab) -> Lab:
    """A lab with one fat client, which is ready."""
    boot_fat_client(lab)
    until(lambda: told(lab)["greeter"], "there is no greeter")
    return lab


@pytest.fixture(scope="module")
def server(client: Lab) -> Iterator[OwnRoot]:
    """Where the homes are: the user's desktop says when it begins."""
    with home_server(client) as host:
        host.write(f"{HOME}/.config/autostart/begun.desktop", AUTOSTART)
        host.run("chown", "-R", f"{USER}:{USER}", HOME)
        yield host


def sit_down(client: Lab, server: OwnRoot) -> None:
    """Log in, and wait until the session's program runs."""
    server.run("rm", "-f", f"{HOME}/begun")
    log_in(client)
    until(lambda: server.path(f"{HOME}/begun").exists(), "no program of the session runs", SLOW_SECONDS)


def test_programs_that_multiply_do_not_outlive_the_log_out(client: Lab, server: OwnRoot) -> None:
    sit_down(client, server)
    for name, text in (("multiply", MULTIPLY), ("in-session", IN_SESSION)):
        client.farm("node", "ssh", NAME, "--", f"cat > /run/{name} << 'END'{text}END")
    client.farm("node", "ssh", NAME, "--", "setsid sh /run/in-session < /dev/null > /dev/null 2>&1 &")
    full = f"test $(cat {SLICE}/pids.current) -ge $(cat {SLICE}/pids.max) && echo full"
    until(lambda: "full" in on_node(client, full), "not all that the user may start is there", SLOW_SECONDS)

    log_out(client)

    assert "none\n" == on_node(client, f"pgrep -u {UID} > /dev/null || echo none")
    assert "" == on_node(client, "cat /run/farm/unsaved.json")
