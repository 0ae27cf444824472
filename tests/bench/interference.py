"""Whether who sits at a fat client notices that it compiles, and what it compiles when nobody sits there.

Emulated machines of two processors each. Keys are timed on the machine itself, by turns without jobs and with jobs in
all slots (`nodes.when_used: full`); throughput is that of the same build on a compile node, booted after it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from farm.virtual.own_root import own_root
from tests.e2e.conftest import Lab, environment
from tests.lab import PATIENCE, until
from tests.login_room import SSHD, SSHD_PAM
from tests.slow.test_thin_client import NAME, PASSWORD, USER, log_in, node, told

ROUNDS, KEYS = 4, 50
"""Rounds of each kind in turns, and keys in each."""
SOURCES, BUILDS = 24, 3
MEMORY = 2048
SOURCE = """
template<int N> struct Sum {{ enum {{ value = Sum<N - 1>::value + {n} }}; }};
template<> struct Sum<0> {{ enum {{ value = 0 }}; }};
int sum{n}() {{ return Sum<899>::value; }}
"""
TERMINAL = (
    f"systemd-run --quiet --collect --uid={USER} --slice=user.slice -E DISPLAY=:0 "
    f"-E XAUTHORITY=/home/{USER}/.Xauthority "
    "xfce4-terminal --disable-server --hide-menubar --geometry=80x20+0+150 -x cat"
)
PART = "8 182 600 100"
"""Of the screen: the terminal's first lines, below the panel with its clock."""
PROBE = Path(__file__).with_name("key_echo.py")


class Interference(NamedTuple):
    """Seconds that keys took, and seconds that builds took."""

    idle: list[float]
    compiling: list[float]
    desk: list[float]
    """Of the build on the fat client, with nobody there."""
    node: list[float]
    """Of the same build on a compile node."""


def measure() -> Interference:
    """Takes about a quarter of an hour; both images are built, unless FARM_TEST_IMAGES has them."""
    with tempfile.TemporaryDirectory(prefix="farm-bench-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        sources = _sources(Path(folder))
        with _booted(Path(folder), "fat-client") as lab:
            until(lambda: (node(lab)["compile"]["spare"] or {"online": True})["online"], "slots are missing")
            desk = [_build(lab, sources) for _ in range(BUILDS)]
            idle, compiling = _keys(lab, sources, Path(folder))
        with _booted(Path(folder), "icecream-node") as lab:
            return Interference(idle, compiling, desk, [_build(lab, sources) for _ in range(BUILDS)])


@contextlib.contextmanager
def _booted(folder: Path, image: str) -> Iterator[Lab]:
    home = folder / image
    home.mkdir()
    lab = Lab(home, f"b{image[:3]}")
    (home / "farm.yaml").write_text(
        f"name: {lab.name}\nvirtual: {{memory: {MEMORY}, cpus: 2}}\nnodes: {{image: {image}, when_used: full}}\n"
    )
    lab.farm("image", "build", image)
    lab.farm("up", "--virtual", "1")
    try:
        lab.wait("the machine is ready", lambda status: lab.ready() == [NAME])
        _build_once_for_its_toolchain(lab, folder)
        yield lab
    finally:
        lab.farm("down", "--force", check=False)


def _build_once_for_its_toolchain(lab: Lab, folder: Path) -> None:
    lab.compile(folder / f"first-{lab.name}", 8)


def _sources(folder: Path) -> Path:
    sources = folder / "sources"
    sources.mkdir()
    for n in range(SOURCES):
        (sources / f"part{n}.cpp").write_text(SOURCE.format(n=n))
    (sources / "Makefile").write_text(f"all: {' '.join(f'part{n}.o' for n in range(SOURCES))}\n")
    return sources


def _build(lab: Lab, sources: Path) -> float:
    """How long it takes to compile all of it there."""
    started = time.monotonic()
    lab.farm("run", "--require-remote", "--", "make", "-s", "-B", "-C", sources, "-j4")
    return time.monotonic() - started


def _keys(lab: Lab, sources: Path, folder: Path) -> tuple[list[float], list[float]]:
    """Log in, start a terminal, and type in it by turns."""
    idle: list[float] = []
    compiling: list[float] = []
    with own_root(lab.namespace, folder, "server") as host:
        host.write("/etc/pam.d/sshd", SSHD_PAM)
        host.run("useradd", "--create-home", "--shell", "/bin/bash", "--uid", "4321", USER)
        host.run("chpasswd", "--crypt-method", "SHA256", input=f"{USER}:{PASSWORD}\n")
        host.write("/etc/ssh/sshd_config", SSHD + "KbdInteractiveAuthentication yes\n")
        host.start("sshd", "/usr/sbin/sshd", "-D", "-e")
        log_in(lab)
        until(lambda: told(lab)["users"], "nobody is logged in")
        until(lambda: _on_node(lab, f"pgrep -u {USER} -x xfdesktop"), "there is no desktop")
        _on_node(lab, TERMINAL)
        until(lambda: _on_node(lab, "pgrep -x cat"), "there is no terminal")
        _on_node(lab, f"echo {base64.b64encode(PROBE.read_bytes()).decode()} | base64 -d > /run/key_echo.py")
        for _ in range(ROUNDS):
            idle += _type(lab)
            with _building(lab, sources):
                compiling += _type(lab)
    return idle, compiling


def _type(lab: Lab) -> list[float]:
    shell = "DISPLAY=:0 XAUTHORITY=/run/lightdm/root/:0 python3 /run/key_echo.py"
    taken: list[float] = json.loads(lab.farm("node", "ssh", NAME, "--", f"{shell} {KEYS} {PART}").stdout)
    return taken


def _on_node(lab: Lab, command: str) -> str:
    return lab.farm("node", "ssh", NAME, "--", command, check=False).stdout


@contextlib.contextmanager
def _building(lab: Lab, sources: Path) -> Iterator[None]:
    """Jobs in all slots meanwhile."""
    stop = sources / "stop"
    loop = f"until test -e {stop}; do make -s -B -C {sources} -j5 || exit 1; done"
    build = subprocess.Popen(lab.argv("run", "--", "sh", "-c", loop), env=environment(lab.home))
    try:
        until(lambda: node(lab)["compile"]["host"]["jobs_running"] >= 2, "not all slots compile")
        yield
    finally:
        stop.touch()
        build.wait(timeout=2 * PATIENCE)
        stop.unlink()


def ratios(found: Interference) -> tuple[float, float, float]:
    """Of a key's time: median and 95th percentile beside jobs to those without; then throughput, desk to node."""
    late = [statistics.quantiles(keys, n=20)[-1] for keys in (found.compiling, found.idle)]
    median = statistics.median(found.compiling) / statistics.median(found.idle)
    return median, late[0] / late[1], statistics.median(found.node) / statistics.median(found.desk)
