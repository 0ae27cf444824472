"""`sudo farm join` where icecream is configured as on Fedora and openSUSE: their files laid out over Debian's iceccd.

What starts iceccd here was written after what those distributions' scripts read: the keys of /etc/sysconfig/icecream.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import NETNAME, Namespace, namespaces
from tests.workstation import Workstation, tree, workstation

SERVER, DESK = "10.99.43.1", "10.99.43.2"
SYSCONFIG = """\
## Type: integer(0:19)
## ServiceRestart: icecream
ICECREAM_NICE_LEVEL="5"

# Identification for the network the scheduler and daemon run on.
ICECREAM_NETNAME=""
ICECREAM_SCHEDULER_HOST=""

# Note: a value of "0" is actually interpreted as "1"
ICECREAM_MAX_JOBS=""
ICECREAM_ALLOW_REMOTE="yes"
ICECREAM_BASEDIR="/var/cache/icecc"
"""
WRAPPER = """\
#!/bin/sh
. /etc/sysconfig/icecream
[ "$ICECREAM_ALLOW_REMOTE" = no ] && alone=--no-remote
exec /usr/sbin/iceccd ${ICECREAM_NETNAME:+-n "$ICECREAM_NETNAME"} \\
    ${ICECREAM_SCHEDULER_HOST:+-s "$ICECREAM_SCHEDULER_HOST"} ${ICECREAM_MAX_JOBS:+-m "$ICECREAM_MAX_JOBS"} $alone \\
    --nice "$ICECREAM_NICE_LEVEL" -u icecc -b "$ICECREAM_BASEDIR" "$@"
"""
UNIT = """\
[Unit]
Description=Icecream Distributed Compiler
DefaultDependencies=no
[Service]
ExecStart=/etc/icecream-wrapper
[Install]
WantedBy=bare.target
"""
INIT_SCRIPT = """\
#!/bin/sh
case "$1" in
    start) /etc/icecream-wrapper -d -l /var/log/iceccd.log ;;
    stop) start-stop-daemon --stop --quiet --oknodo --retry 5 --exec /usr/sbin/iceccd ;;
esac
"""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Namespace, Namespace]]:
    with namespaces(f"{SERVER}/24", f"{DESK}/24") as (server, desk):
        server.scheduler()
        yield server, desk


def lay_out(etc: Path) -> Path:
    """Have no file of Debian's, and those of the others; where their settings are."""
    shutil.rmtree(etc / "icecc")
    for name in ("default/icecc", "init.d/iceccd"):
        (etc / name).unlink(missing_ok=True)
    wrapper, sysconfig = etc / "icecream-wrapper", etc / "sysconfig" / "icecream"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    sysconfig.parent.mkdir(exist_ok=True)
    sysconfig.write_text(SYSCONFIG)
    return sysconfig


def join_and_leave(desk: Workstation, sysconfig: Path, service: str) -> None:
    """Its three keys are set, iceccd is logged in by them, and `farm leave` leaves no trace."""
    before = tree(desk.etc)
    joined = json.loads(desk.farm("join", SERVER, "--json", root=True).stdout)
    assert (True, "system") == (joined["logged_in"], joined["membership"]["how"])
    expected = SYSCONFIG.replace('NETNAME=""', f'NETNAME="{NETNAME}"').replace('HOST=""', f'HOST="{SERVER}"')
    assert expected.replace('REMOTE="yes"', 'REMOTE="no"') == sysconfig.read_text()
    (argv,) = (argv for argv in desk.processes().values() if argv[0] == "/usr/sbin/iceccd")
    assert {"-n", NETNAME, "-s", SERVER, "--no-remote"} <= set(argv)
    report = json.loads(desk.farm("doctor", "--json", "--only", "iceccd-login", root=True).stdout)
    assert {"ok"} == {result["state"] for result in report["results"]}, report
    assert service == json.loads((desk.etc / "farm/workstation.undo.json").read_text())["service"]
    accepting = json.loads(desk.farm("join", SERVER, "--accept-jobs=3", "--json", root=True).stdout)
    assert (True, False) == (accepting["logged_in"], accepting["already"])
    assert 'MAX_JOBS="3"\nICECREAM_ALLOW_REMOTE="yes"' in sysconfig.read_text()
    desk.farm("leave", root=True)
    assert before == tree(desk.etc)
    assert [] == [argv for argv in desk.processes().values() if argv[0] == "/usr/sbin/iceccd"]


def test_fedora_and_opensuse_of_today(server: tuple[Namespace, Namespace]) -> None:
    """A unit iceccd.service, whose script reads /etc/sysconfig/icecream."""
    with workstation(server[1], systemd=True) as desk:
        sysconfig = lay_out(desk.etc)
        (desk.etc / "systemd/system/iceccd.service").write_text(UNIT)
        desk.run("systemctl", "daemon-reload", root=True)
        join_and_leave(desk, sysconfig, "iceccd")


def test_opensuse_of_old(server: tuple[Namespace, Namespace]) -> None:
    """An init script icecream, and no systemd."""
    with workstation(server[1]) as desk:
        sysconfig = lay_out(desk.etc)
        script = desk.etc / "init.d" / "icecream"
        script.write_text(INIT_SCRIPT)
        script.chmod(0o755)
        join_and_leave(desk, sysconfig, "icecream")
