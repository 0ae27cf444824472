"""A farm's server for thin clients: ldminfod asked over the network, sshd's drop-in, and what the doctor says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from farm.config import Config
from farm.home import Home
from farm.image.store import Store
from farm.instance import Instance, encode
from farm.node.ports import LDMINFO_PORT
from farm.node.session.pam import ldminfo
from farm.serve import firewall, health
from farm.virtual.namespace import exec_prefix
from tests.diskless import Diskless, copy_into, diskless
from tests.lab import PATIENCE, namespaces, until
from tests.login_room import SSHD
from tests.made_up_store import add_version

SERVER, CLIENT = "10.99.27.1", "10.99.27.2"
CONFIG = Config(name="offering", address=f"{SERVER}/24")
HOME, DROP_IN = "/tmp/home", "/etc/ssh/sshd_config.d/zz-farm-offering.conf"
DEBIANS = "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\n" + SSHD
SILENT = f"""
import socket
listening = socket.create_server(("{SERVER}", {LDMINFO_PORT}))
while True:
    listening.accept()[0].close()
"""
RUNNING = Instance(config=CONFIG, interface="lab0", images={}, exports=[], started=0.0, roles=["session"])


class SessionServer:
    """A machine with sshd as Debian has it, on which a farm with thin clients is up."""

    def __init__(self, machine: Diskless) -> None:
        self.machine = machine
        machine.run("sh", "-c", "rm -f /etc/ssh/sshd_config.d/* /etc/ssh/ssh_host_* && ssh-keygen -A")
        machine.write("/etc/ssh/sshd_config", DEBIANS)
        self.start()
        self.told(self.host_keys())

    def start(self) -> None:
        """Start sshd."""
        self.machine.start("sshd", "/usr/sbin/sshd", "-D", "-e")
        self.machine.namespace.wait_for(22)

    def python(self, code: str) -> str:
        """Run a few lines there, which know this farm."""
        head = "from pathlib import Path\nfrom farm.home import Home\nfrom farm.session_server import sshd_settings\n"
        head += f"home = Home.at(Path('{HOME}'))\nhome.create()\n"
        done = self.machine.run(sys.executable, "-P", "-c", head + code, check=False)
        assert 0 == done.returncode, done.stderr
        return done.stdout.strip()

    def improve(self) -> str:
        """As `farm up` does."""
        return self.python(
            "from farm.errors import FarmError\n"
            f"try: print(sshd_settings.improve('offering', home.config, '{SERVER}'))\n"
            "except FarmError as error: print('error:', error.what, error.why)"
        )

    def revert(self) -> str:
        """As `farm down` does."""
        return self.python("print(sshd_settings.revert('offering', home.config))")

    def effective(self, address: str) -> dict[str, str]:
        """What sshd goes by for connections to an address."""
        who = f"user=nobody,host=x,addr={CLIENT},laddr={address},lport=22"
        said = self.machine.run("sshd", "-T", "-C", who).stdout
        return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)

    def methods(self, address: str = SERVER) -> str:
        """What the sshd that runs offers to somebody."""
        ssh = ["ssh", "-F", "none", "-o", "PreferredAuthentications=none", "-o", "StrictHostKeyChecking=no"]
        options = ["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
        return self.machine.run(*ssh, *options, f"nobody@{address}", "true", check=False).stderr

    def has_drop_in(self) -> bool:
        """Whether the file is there."""
        return self.machine.path(DROP_IN).exists()

    def host_keys(self) -> list[str]:
        """Its public keys, in the order of their files."""
        files = sorted(self.machine.path("/etc/ssh").glob("ssh_host_*.pub"))
        return [" ".join(file.read_text().split()[:2]) for file in files]

    def told(self, keys: list[str]) -> None:
        """Write down what machines are told."""
        servers = [{"host": SERVER, "port": 22, "host_keys": keys}]
        self.machine.write(f"{HOME}/run/http/nodes/default.json", json.dumps({"session": {"servers": servers}}))

    def doctor(self, code: str, *words: str) -> dict[str, Any]:
        """What `farm doctor` finds."""
        main = [sys.executable, "-P", "-c", "from farm.cli import main; main()", "--home", HOME]
        done = self.machine.run(*main, "doctor", "--json", "--only", code, *words, check=False)
        assert done.returncode in (0, 3), done.stderr
        found: dict[str, Any] = next(each for each in json.loads(done.stdout)["results"] if each["code"] == code)
        return found


@pytest.fixture(scope="module")
def server() -> Iterator[SessionServer]:
    with namespaces(f"{SERVER}/24", f"{CLIENT}/24") as (place, _), diskless(place, "server") as machine:
        found = SessionServer(machine)
        found.machine.write(f"{HOME}/run/running.json", encode(RUNNING).decode())
        yield found


def ask(address: str = SERVER) -> list[str]:
    """As LDM asks: connect, say nothing, read to the end."""
    with socket.create_connection((address, LDMINFO_PORT), 10) as sock, sock.makefile("rb") as answer:
        return answer.read().decode().splitlines()


def test_many_clients_at_once_are_told_what_a_server_offers() -> None:
    with namespaces(f"{SERVER}/24", f"{CLIENT}/24") as (here, client):
        ldminfod = here.start("ldminfod", sys.executable, "-P", "-m", "farm.session_server.ldminfod", SERVER)
        here.wait_for(LDMINFO_PORT)

        said = client.call(ask)
        assert {"language", "session", "session-with-name", "xsession", "rating"} >= {x.split(":")[0] for x in said}
        assert 0 <= int(said[-1].removeprefix("rating:")) <= 100
        assert client.call(lambda: ldminfo.rating(ldminfo.ask(SERVER))) in range(101), "thin clients read it"
        # Those that take nothing keep nobody else waiting, and who talks too much is told all the same.
        idle = client.call(lambda: [socket.create_connection((SERVER, LDMINFO_PORT)) for _ in range(100)])
        idle[0].sendall(b"GET / HTTP/1.0\r\n\r\n")
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: client.call(ask), range(60)))
        assert 60 == len([each for each in answers if each[-1].startswith("rating:")])
        with idle[0].makefile("rb") as answer:
            assert b"rating:" in answer.read()
        for each in idle:
            each.close()
        assert "nobody" == psutil.Process(ldminfod.pid).username()


def test_ldminfod_is_for_the_lab_alone() -> None:
    with namespaces(f"{SERVER}/24", f"{CLIENT}/24") as (here, client):
        here.run("ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1")
        here.start("ldminfod", sys.executable, "-P", "-m", "farm.session_server.ldminfod", SERVER)
        here.wait_for(LDMINFO_PORT)
        firewall.apply(CONFIG, "lab0", [], exec_prefix(here.name))
        assert client.call(ask)
        assert here.call(ask), "the farm itself asks whether it answers"
        firewall.apply(CONFIG, "other0", [], exec_prefix(here.name))
        with pytest.raises(TimeoutError):
            client.call(lambda: socket.create_connection((SERVER, LDMINFO_PORT), 1))


def test_ldminfod_is_healthy_when_it_answers(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    with namespaces(f"{SERVER}/24", f"{CLIENT}/24") as (here, _):
        ldminfod = here.start("ldminfod", sys.executable, "-P", "-m", "farm.session_server.ldminfod", SERVER)
        here.wait_for(LDMINFO_PORT)
        assert here.call(lambda: health.ask(home, RUNNING, "ldminfod", ldminfod.pid, quiet=True)).ok
        here.stop(ldminfod)
        silent = here.start("silent", sys.executable, "-c", SILENT)
        here.wait_for(LDMINFO_PORT)
        said = here.call(lambda: health.ask(home, RUNNING, "ldminfod", silent.pid))
        assert (False, "ldminfod closed the connection") == (said.ok, said.detail)


def test_a_farm_with_thin_clients_comes_up_and_goes_again(server: SessionServer) -> None:
    place = "/tmp/real"
    with tempfile.TemporaryDirectory() as folder:
        add_version(Store(Path(folder)), "v1", kind="thin-client")
        Store(Path(folder)).use("thin-client/v1")
        copy_into(server.machine, Path(folder), f"{place}/state/images")
    lab = f"interface: lab0\naddress: {SERVER}/24\ndhcp: {{first: 10.99.27.50, last: 10.99.27.60}}\n"
    config = f"name: real{os.getpid()}\n{lab}nodes: {{image: thin-client}}\n"
    server.machine.write(f"{place}/farm.yaml", config)

    def farm(*words: str) -> subprocess.CompletedProcess[str]:
        argv = server.machine.argv(sys.executable, "-P", "-m", "farm", "--home", place, *words)
        return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)

    try:
        up = farm("up")
        assert 0 == up.returncode, up.stdout + up.stderr
        assert "yes" == server.effective(SERVER)["kbdinteractiveauthentication"]
        assert "rating:" in server.machine.namespace.call(ask)[-1]
        found = json.loads(farm("doctor", "--json", "--only", "services").stdout)
        assert any(line.startswith("ldminfod: tells") for line in found["results"][0]["evidence"]), found
    finally:
        down = farm("down")
    assert 0 == down.returncode, down.stdout + down.stderr
    assert "no" == server.effective(SERVER)["kbdinteractiveauthentication"]
    assert not list(server.machine.path("/etc/ssh/sshd_config.d").iterdir())
    with pytest.raises(OSError):
        server.machine.namespace.call(ask)


def test_sshd_is_better_for_the_lab_alone_until_the_farm_goes(server: SessionServer) -> None:
    before, elsewhere = server.effective(SERVER), server.effective("127.0.0.1")
    assert "keyboard-interactive" not in server.methods()

    assert f"wrote {DROP_IN}" == server.improve()
    lab = server.effective(SERVER)
    assert ("yes", "15", "yes") == tuple(
        lab[key] for key in ("kbdinteractiveauthentication", "clientaliveinterval", "streamlocalbindunlink")
    )
    assert elsewhere == server.effective("127.0.0.1")
    until(lambda: "keyboard-interactive" in server.methods(), "sshd goes by its old settings")
    assert "keyboard-interactive" not in server.methods("127.0.0.1")
    assert "" == server.improve(), "nothing is done twice"

    content = server.machine.path(DROP_IN).read_text()
    server.revert()
    until(lambda: "keyboard-interactive" not in server.methods(), "sshd goes by the farm's settings")
    server.machine.write(DROP_IN, content)  # as a `farm up` leaves it that is killed before sshd reads it
    assert "" == server.improve()
    until(lambda: "keyboard-interactive" in server.methods(), "sshd goes by its old settings")

    assert f"removed {DROP_IN}" == server.revert()
    assert before == server.effective(SERVER)
    until(lambda: "keyboard-interactive" not in server.methods(), "sshd goes by the farm's settings")
    assert "" == server.revert()


@pytest.mark.parametrize(
    ("admins", "kept"),
    [
        ("PasswordAuthentication no\n", {"kbdinteractiveauthentication": "no", "clientaliveinterval": "15"}),
        ("ClientAliveInterval 300\n", {"kbdinteractiveauthentication": "yes", "clientaliveinterval": "300"}),
        (f"Match LocalAddress {SERVER}\nClientAliveInterval 7\n", {"clientaliveinterval": "7"}),
        ("Match User nobody\nKbdInteractiveAuthentication no\n", {"kbdinteractiveauthentication": "no"}),
    ],
)
def test_what_an_administrator_has_set_stays(server: SessionServer, admins: str, kept: dict[str, str]) -> None:
    server.machine.write("/etc/ssh/sshd_config.d/50-admin.conf", admins)
    try:
        server.improve()
        found = server.effective(SERVER)
        assert kept == {key: found[key] for key in kept}
    finally:
        server.revert()
        server.machine.path("/etc/ssh/sshd_config.d/50-admin.conf").unlink()


def test_a_farm_that_was_moved_takes_its_file_along(server: SessionServer) -> None:
    former = f"{HOME}/before.yaml"
    server.revert()
    there = f"print(sshd_settings.improve('offering', Path('{former}'), '{SERVER}'))"
    server.machine.write(former, "")
    assert f"wrote {DROP_IN}" == server.python(there)
    # Another farm of this name is there still.
    assert f"left {DROP_IN}, whose first line does not name" in server.revert()
    assert server.has_drop_in()
    server.machine.path(former).unlink()
    assert f"removed {DROP_IN}" == server.revert()

    server.machine.write(former, "")
    server.python(there)
    server.machine.path(former).unlink()
    assert f"wrote {DROP_IN}" == server.improve()
    assert f"removed {DROP_IN}" == server.revert()


@pytest.mark.parametrize("port", [2222, 22])
def test_what_holds_for_a_port_alone_is_an_administrators_wish(server: SessionServer, port: int) -> None:
    settings = server.machine.path("/etc/ssh/sshd_config")
    before = settings.read_text()
    server.machine.path(DROP_IN).unlink(missing_ok=True)
    ours = f"Match LocalPort {port}\n  ClientAliveInterval 7\n"
    settings.write_text(before.replace("Port 22\n", f"Port {port}\n") + ours)
    try:
        code = f"print(*(sshd_settings.effective(each)['clientaliveinterval'] for each in ('', '{SERVER}')))"
        assert "0 7" == server.python(code)
    finally:
        settings.write_text(before)


def test_an_sshd_with_an_error_or_without_drop_ins_is_left_as_it_is(server: SessionServer) -> None:
    path = "/etc/ssh/sshd_config"
    try:
        server.machine.write(path, DEBIANS + "NoSuchThing yes\n")
        assert server.improve().startswith("error: sshd failed")
        assert not server.has_drop_in()
        server.machine.write(path, DEBIANS.partition("\n")[2])
        assert f"error: sshd does not go by {DROP_IN}." in server.improve()
        assert not server.has_drop_in()
        server.machine.write(path, DEBIANS)
        server.machine.write(DROP_IN, "# mine\n")
        assert "is not this farm's" in server.improve()
        assert f"left {DROP_IN}, whose first line does not name {HOME}/farm.yaml" == server.revert()
        assert server.has_drop_in()
    finally:
        server.machine.path(DROP_IN).unlink(missing_ok=True)
        server.machine.write(path, DEBIANS)


def test_the_doctor_finds_sshd(server: SessionServer) -> None:
    found = server.doctor("session-sshd")
    assert ("ok", True) == (found["state"], "SSH-2.0-OpenSSH" in found["evidence"][0])
    server.machine.run("pkill", "-o", "-x", "sshd")
    until(lambda: "fail" == server.doctor("session-sshd")["state"], "sshd goes on")
    assert f"sshd does not answer at {SERVER}, port 22" in server.doctor("session-sshd")["cause"]
    server.machine.run("mv", "/usr/sbin/sshd", "/usr/sbin/sshd.gone")
    assert "sshd is not installed: nobody can log in." == server.doctor("session-sshd")["cause"]
    server.machine.run("mv", "/usr/sbin/sshd.gone", "/usr/sbin/sshd")
    server.start()


@pytest.mark.parametrize(
    ("line", "state", "words"),
    [
        ("PasswordAuthentication no", "fail", "sshd takes no passwords"),
        ("X11Forwarding no", "fail", "sshd has x11forwarding no: no session starts."),
        ("DisableForwarding yes", "fail", "sshd has disableforwarding yes"),
        ("AllowStreamLocalForwarding no", "warn", "sessions have no sound"),
        ("NoSuchThing yes", "fail", "Bad configuration option: NoSuchThing"),
        ("Protocol 2", "warn", "sshd lacks KbdInteractiveAuthentication yes, ClientAliveInterval 15"),
    ],
)
def test_the_doctor_reads_sshds_settings(server: SessionServer, line: str, state: str, words: str) -> None:
    server.machine.write("/etc/ssh/sshd_config.d/50-admin.conf", f"{line}\n")
    try:
        found = server.doctor("session-sshd-settings")
        assert state == found["state"], found
        assert words in found["cause"]
    finally:
        server.machine.path("/etc/ssh/sshd_config.d/50-admin.conf").unlink()


def test_the_doctor_sets_what_is_better(server: SessionServer) -> None:
    found = server.doctor("session-sshd-settings", "--fix")
    assert ("ok", f"sshd: wrote {DROP_IN}.") == (found["state"], found["fixed"])
    server.revert()


def test_the_doctor_compares_host_keys(server: SessionServer) -> None:
    assert "ok" == server.doctor("session-host-keys")["state"]
    server.machine.run("sh", "-c", "mkdir /tmp/keys && mv /etc/ssh/ssh_host_* /tmp/keys")
    none = server.doctor("session-host-keys")
    assert ("fail", "sshd has no host keys.") == (none["state"], none["cause"])
    made = server.doctor("session-host-keys", "--fix")
    assert ("fail", True) == (made["state"], made["cause"].startswith("Thin clients are told other host keys"))
    assert made["fixed"].startswith("Made host keys")
    server.told(server.host_keys())
    assert "ok" == server.doctor("session-host-keys")["state"]


def test_the_doctor_looks_for_a_desktop(server: SessionServer) -> None:
    server.machine.write("/usr/share/xsessions/plain.desktop", "[Desktop Entry]\nName=Plain\nExec=sh\n")
    server.machine.write("/usr/bin/sshfs", "#!/bin/sh\n", 0o755)
    well = server.doctor("session-desktop")
    assert ("ok", True) == (well["state"], "Plain" in well["evidence"][0]), well
    for hidden, cause in {
        "/usr/bin/sshfs": "sshfs is not installed",
        "/usr/share/xsessions": "There is no desktop",
        "/etc/X11/Xsession": "There is no Xsession",
        "/usr/bin/xauth": "xauth is not installed",
    }.items():
        server.machine.run("sh", "-c", 'mv "$0" "$0.gone"; rm -f /etc/alternatives/x-session-manager', hidden)
        found = server.doctor("session-desktop")
        assert found["cause"].startswith(cause), found
    assert 3 == len([line for line in found["evidence"] if line.startswith("Also: ")])


def test_the_doctor_asks_nothing_of_a_server_to_which_nobody_logs_in(server: SessionServer) -> None:
    checks = ("session-sshd", "session-sshd-settings", "session-host-keys", "session-desktop")
    server.machine.write(f"{HOME}/lts.conf", "[default]\nLDM_SERVER = far.lan\n")
    for code in checks:
        found = server.doctor(code)
        assert ("skipped", "other servers" in found["evidence"][0]) == (found["state"], True)
    server.machine.write(f"{HOME}/lts.conf", "[default]\nLDM_SERVER = far.lan\nLDM_GUEST_SERVER = server\n")
    assert "skipped" != server.doctor("session-sshd")["state"]
    server.machine.path(f"{HOME}/lts.conf").unlink()
