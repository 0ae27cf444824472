"""`farm join` and `farm leave` on a machine of their own, against a real scheduler and a real node on another one."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from farm.scheduler.control import list_nodes
from tests.lab import NETNAME, PATIENCE, Namespace, namespaces, until
from tests.workstation import ADVERTISE, FARM, GROUP, NAME, Workstation, tree, workstation

SERVER, DESK = "10.99.41.1", "10.99.41.2"
USER_MANAGER = """
mkdir -p /run/systemd/system "$0" && chown nobody "$0" &&
exec setpriv --reuid nobody --regid nogroup --clear-groups /usr/bin/systemd --user
"""
"""systemd's user manager, without a systemd below: it wants a sign that there is one."""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Namespace, Namespace]]:
    """A scheduler that hears broadcasts, a node, and the farm's advertisement; the other end of the cable is free."""
    with namespaces(f"{SERVER}/24", f"{DESK}/24") as (server, desk):
        server.start("scheduler", "icecc-scheduler", "-n", NETNAME, "-r", "-vvv")
        server.wait_for(8765)
        server.iceccd("pc01", SERVER, "-m", "2")
        server.start("advertise", sys.executable, "-c", ADVERTISE.format(server=SERVER))
        until(lambda: "advertised" in server.log("advertise"), "the farm is not advertised")
        until(lambda: [one for one in server.gather(list_nodes(SERVER, 8765)) if one.load < 1000], "no node gets jobs")
        yield server, desk


@pytest.fixture
def desk(server: tuple[Namespace, Namespace]) -> Iterator[Workstation]:
    with workstation(server[1]) as machine:
        yield machine


@pytest.fixture
def desk_with_systemd(server: tuple[Namespace, Namespace]) -> Iterator[Workstation]:
    with workstation(server[1], systemd=True) as machine:
        yield machine


def compiles_on_node(desk: Workstation, node: Namespace, name: str, root: bool = False, **environment: str) -> None:
    """A file goes to the node, and its object comes back."""
    before = node.log("pc01").count("Remote compilation completed with exit code 0")
    source = desk.folder / name
    source.mkdir()
    source.chmod(0o777)
    (source / "part.c").write_text("#include <stdio.h>\nint part(void) { return puts(__FILE__); }\n")
    settings = {"ICECC_PREFERRED_HOST": "pc01", "ICECC_DEBUG": "debug", **environment}
    wrapper = "/usr/lib/icecc/bin/gcc"
    done = desk.run(wrapper, "-c", source / "part.c", "-o", source / "part.o", root=root, **settings)
    assert (source / "part.o").read_bytes().startswith(b"\x7fELF")
    after = node.log("pc01").count("Remote compilation completed with exit code 0")
    assert before + 1 == after, done.stderr[-3000:]


def test_what_is_there_is_listed(desk: Workstation) -> None:
    found = json.loads(desk.farm("join", "--json").stdout)["found"]
    expected = {"farm": "test", "netname": NETNAME, "scheduler": SERVER, "port": 8765, "protocol": 43, "api": ""}
    assert [{**expected, "found": ["zeroconf", "icecream"]}] == found
    assert f"{SERVER}:8765" in desk.farm("join", "--list").stdout


def test_none_is_joined_by_guess(desk: Workstation) -> None:
    before = tree(desk.home)
    done = desk.farm("join", check=False)
    assert 1 == done.returncode
    assert f"{SERVER}:8765" in done.stdout
    assert f"farm join {SERVER}" in done.stderr
    assert (before, {}) == (tree(desk.home), desk.processes())


def test_at_a_terminal_it_asks(desk: Workstation) -> None:
    master, slave = pty.openpty()
    argv = desk.argv(sys.executable, "-c", "from farm.cli import main; main()", "join", "--json", TERM="dumb")
    argv.remove("--json")
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        seen = b""
        while b"Join number" not in seen:
            seen += os.read(master, 4096)
        os.write(master, b"1\n")
        while b"Build on it" not in seen:
            seen += os.read(master, 4096)
        assert 0 == process.wait(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    desk.farm("leave")


def test_a_user_joins_compiles_and_leaves(desk: Workstation, server: tuple[Namespace, Namespace]) -> None:
    home, etc = tree(desk.home), tree(desk.etc)

    joined = json.loads(desk.farm("join", "test", "--json").stdout)
    membership = joined["membership"]
    assert ("test", NETNAME, SERVER, 8765) == tuple(membership[key] for key in ("farm", "netname", "scheduler", "port"))
    assert ("user", f"{NAME}-nobody", False) == (membership["how"], membership["submitter"], joined["already"])
    assert str(desk.home / ".iceccd.socket") == membership["socket"]
    assert (True, 1, 2) == (joined["logged_in"], joined["nodes"], joined["slots"])
    (daemon,) = desk.processes()
    compiles_on_node(desk, server[0], "user")

    again = json.loads(desk.farm("join", SERVER, "--json").stdout)
    assert (True, [daemon]) == (again["already"], list(desk.processes())), "it goes on as it was"
    assert f"logged in as {NAME}-nobody: 2 slots on 1 node" in desk.farm("join", "--status").stdout

    desk.run("kill", "-9", str(daemon))
    until(lambda: not desk.processes(), "iceccd does not end")
    assert 3 == desk.farm("join", "--status", check=False).returncode
    assert not json.loads(desk.farm("join", SERVER, "--json").stdout)["already"]
    assert desk.processes().keys() not in (set(), {daemon}), "it was started again"

    desk.farm("leave")
    assert {} == desk.processes()
    assert home == tree(desk.home)
    assert etc == tree(desk.etc)
    assert 1 == desk.farm("leave", check=False).returncode


def test_a_user_beside_the_systems_iceccd(desk: Workstation, server: tuple[Namespace, Namespace]) -> None:
    """Debian starts iceccd when icecc is installed, and icecc goes to that one unless it is told otherwise."""
    desk.run("/etc/init.d/iceccd", "start", root=True)
    until(lambda: desk.processes(), "the system's iceccd does not start")
    home, system = tree(desk.home), desk.processes()
    joined = json.loads(desk.farm("join", SERVER, "--json").stdout)
    assert "a bare icecc uses that one first" in joined["notes"][0]
    compiles_on_node(desk, server[0], "beside", ICECC_TEST_SOCKET=joined["membership"]["socket"])
    desk.farm("leave")
    assert (home, system) == (tree(desk.home), desk.processes())


def test_by_the_users_systemd(desk: Workstation, server: tuple[Namespace, Namespace]) -> None:
    runtime = "/run/user/65534"
    start = ("sh", "-c", GROUP, desk.group, "nobody", "sh", "-c", USER_MANAGER, runtime)
    argv = desk.argv(*start, root=True, XDG_RUNTIME_DIR=runtime, HOME=str(desk.home))
    manager = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    session = {"XDG_RUNTIME_DIR": runtime}
    try:
        ready = ("systemctl", "--user", "is-active", "--quiet", "default.target")
        until(lambda: desk.run(*ready, check=False, **session).returncode == 0, "systemd --user does not come up")
        home = tree(desk.home)

        joined = json.loads(desk.farm("join", SERVER, "--json", **session).stdout)
        assert joined["logged_in"]
        unit = ("farm-iceccd.service",)
        assert "enabled\n" == desk.run("systemctl", "--user", "is-enabled", *unit, **session).stdout
        assert "active\n" == desk.run("systemctl", "--user", "is-active", *unit, **session).stdout
        compiles_on_node(desk, server[0], "systemd")
        assert json.loads(desk.farm("join", SERVER, "--json", **session).stdout)["already"]

        desk.farm("leave", **session)
        assert "inactive\n" == desk.run("systemctl", "--user", "is-active", *unit, check=False, **session).stdout
        assert home == tree(desk.home)
        assert not [words for words in desk.processes().values() if "iceccd" in words[0]]
    finally:
        desk.shut_down()
        manager.wait(timeout=PATIENCE)


def test_root_joins_compiles_and_leaves(desk: Workstation, server: tuple[Namespace, Namespace]) -> None:
    conf = desk.etc / "icecc" / "icecc.conf"
    conf.write_text(conf.read_text() + "# ours\n\tICECC_NETNAME='elsewhere'   # a note")  # no newline at the end
    conf.chmod(0o640)
    subprocess.run(["chown", "root:icecc", str(conf)], check=True)
    original = conf.read_text()
    etc = tree(desk.etc)

    joined = json.loads(desk.farm("join", SERVER, "--json", root=True).stdout)
    assert ("system", NAME, True) == (
        joined["membership"]["how"],
        joined["membership"]["submitter"],
        joined["logged_in"],
    )
    changed = [
        line for line in zip(original.splitlines(), conf.read_text().splitlines(), strict=True) if len({*line}) > 1
    ]
    assert [
        ('ICECC_NETNAME=""', f'ICECC_NETNAME="{NETNAME}"'),
        ('ICECC_ALLOW_REMOTE="yes"', 'ICECC_ALLOW_REMOTE="no"'),
        ('ICECC_SCHEDULER_HOST=""', f'ICECC_SCHEDULER_HOST="{SERVER}"'),
        ("\tICECC_NETNAME='elsewhere'   # a note", f'\tICECC_NETNAME="{NETNAME}"   # a note'),
    ] == changed
    compiles_on_node(desk, server[0], "root")
    assert json.loads(desk.farm("join", SERVER, "--json", root=True).stdout)["already"]
    assert "Root has joined" in desk.farm("join", SERVER).stderr

    joined = json.loads(desk.farm("join", SERVER, "--accept-jobs=3", "--json", root=True).stdout)
    assert (False, True) == (joined["already"], joined["logged_in"])
    assert 'ICECC_MAX_JOBS="3"' in conf.read_text()

    desk.farm("leave", root=True)
    assert etc == tree(desk.etc)
    assert {} == desk.processes(), "iceccd did not run before"


def test_root_leaves_the_service_as_it_was(desk: Workstation) -> None:
    desk.run("/etc/init.d/iceccd", "start", root=True)
    etc = tree(desk.etc)
    (before,) = desk.processes().values()
    desk.farm("join", SERVER, root=True)
    (during,) = desk.processes().values()
    assert SERVER in during
    desk.farm("leave", root=True)
    (after,) = desk.processes().values()
    assert (etc, before) == (tree(desk.etc), after)


def test_root_joins_where_systemd_runs(desk_with_systemd: Workstation, server: tuple[Namespace, Namespace]) -> None:
    desk = desk_with_systemd

    def state() -> tuple[str, str]:
        active = desk.run("systemctl", "is-active", "iceccd", root=True, check=False).stdout.strip()
        return active, desk.run("systemctl", "is-enabled", "iceccd", root=True, check=False).stdout.strip()

    desk.run("systemctl", "disable", "iceccd", root=True)
    etc = tree(desk.etc)
    assert ("inactive", "disabled") == state()
    joined = json.loads(desk.farm("join", SERVER, "--json", root=True).stdout)
    assert (True, []) == (joined["logged_in"], joined["notes"])
    assert ("active", "enabled") == state()
    compiles_on_node(desk, server[0], "systemd")
    desk.farm("leave", root=True)
    assert ("inactive", "disabled") == state()
    assert etc == tree(desk.etc)

    desk.run("systemctl", "enable", "iceccd", root=True)
    desk.run("systemctl", "start", "iceccd", root=True)
    etc = tree(desk.etc)
    assert not json.loads(desk.farm("join", SERVER, "--json", root=True).stdout)["already"]
    assert json.loads(desk.farm("join", SERVER, "--json", root=True).stdout)["already"]
    desk.farm("leave", root=True)
    assert ("active", "enabled") == state()
    assert etc == tree(desk.etc)


def test_what_went_wrong_half_way_can_be_undone(desk: Workstation) -> None:
    script = desk.etc / "init.d" / "iceccd"
    script.write_text("#!/bin/sh\nexit 7\n")
    etc = tree(desk.etc)
    assert 1 == desk.farm("join", SERVER, root=True, check=False).returncode
    assert etc != tree(desk.etc)
    assert 1 == desk.farm("join", SERVER, root=True, check=False).returncode, "the first record stays"
    desk.farm("leave", root=True)
    assert etc == tree(desk.etc)


def test_what_others_changed_meanwhile_is_kept(desk: Workstation) -> None:
    conf = desk.etc / "icecc" / "icecc.conf"
    conf.chmod(0o640)
    original = conf.read_text()
    desk.farm("join", SERVER, root=True)
    conf.write_text(conf.read_text().replace('NICE_LEVEL="5"', 'NICE_LEVEL="6"'))
    edited = conf.read_text()
    assert "icecc.conf.before-leave" in desk.farm("leave", root=True).stderr
    copy = conf.with_name("icecc.conf.before-leave")
    assert (original, edited) == (conf.read_text(), copy.read_text())
    assert copy.stat().st_mode == conf.stat().st_mode


def test_a_configuration_that_no_shell_can_read_is_named_and_left_alone(desk: Workstation) -> None:
    conf = desk.etc / "icecc" / "icecc.conf"
    conf.write_text(conf.read_text() + 'ICECC_LOG_FILE="/var/log/icecc\n')
    etc = tree(desk.etc)
    refused = desk.farm("join", SERVER, root=True, check=False)
    assert 1 == refused.returncode
    assert "icecc.conf cannot be changed: a shell cannot read it." in refused.stderr
    assert "sh -n /etc/icecc/icecc.conf" in refused.stderr
    assert (etc, {}) == (tree(desk.etc), desk.processes())


def test_a_machine_without_a_network(desk: Workstation) -> None:
    for words, told in ((["join", "--list"], "No farm was found."), (["join", SERVER], "Network is unreachable")):
        done = desk.run("unshare", "--net", "--", *FARM, *words, root=True, check=False)
        assert (told in done.stderr, "Traceback" in done.stderr) == (True, False), done.stderr


def test_what_cannot_be_joined_is_named_and_nothing_changed(
    desk: Workstation, server: tuple[Namespace, Namespace]
) -> None:
    home = tree(desk.home)
    for words, told in (
        (["join", f"{SERVER}:9999"], "No scheduler at 10.99.41.1:9999 can be reached."),
        (["join", "no-such-farm"], "Farms found: test."),
        (["join", f"{SERVER}:8766"], "does not answer like a scheduler"),
        (["join", SERVER, "--netname", "$(reboot)"], "is not valid"),
        (["join", SERVER, "--accept-jobs"], "Only root can accept jobs"),
    ):
        done = desk.farm(*words, check=False)
        assert done.returncode in (1, 2)
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    assert (home, {}) == (tree(desk.home), desk.processes())
