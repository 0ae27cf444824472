"""What the command line says to those who mistype or have nothing to see; and that it ends with its reader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.config import Config, DhcpConfig, MachineConfig
from farm.virtual.namespace import exec_prefix
from tests.lab import AS_NOBODY, PATIENCE, Namespace, namespaces, until
from tests.server import served
from tests.terminal import Terminal

SERVER = "10.99.82.1"
FARM = [sys.executable, "-m", "farm"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Namespace]:
    with namespaces(f"{SERVER}/24") as (space,):
        space.scheduler()
        space.iceccd("pc01", SERVER, "-m", "1")
        yield space


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["statsu"], "status"),
        (["STATUS"], "status"),
        (["node", "lsit"], "list"),
        (["image", "shwo"], "show"),
        (["history", "comapre"], "compare"),
        (["config", "chekc"], "check"),
    ],
)
def test_the_nearest_command_is_named(words: list[str], meant: str) -> None:
    done = subprocess.run([*FARM, *words], text=True, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert f"No such command {words[-1]!r}. Did you mean {meant!r}?" in done.stderr
    assert done.stderr.count("Did you mean") == 1


def test_what_is_like_none_is_not_guessed_at() -> None:
    done = subprocess.run([*FARM, "xyzzy"], text=True, capture_output=True, timeout=PATIENCE, check=False)
    assert (done.returncode, "Did you mean" in done.stderr) == (2, False)


def test_that_there_is_nothing_is_said(lab: Namespace, tmp_path: Path) -> None:
    home = ["--home", str(tmp_path)]
    assert "There are no logs in" in lab.run(*FARM, *home, "logs").stdout
    at = ["--scheduler", SERVER]
    assert lab.run(*FARM, *home, "jobs", *at).stdout == "No job is in flight.\n"
    assert lab.run(*FARM, *home, "jobs", *at, "--failed").stdout == "No matching job is in flight.\n"
    said = lab.run(*FARM, *home, "status", *at).stdout
    assert "Nodes 1, 1 slot, 0 other daemons" in said
    assert "daemons    1, 1 slot " in lab.run(*FARM, *home, "scheduler", *at).stdout


def test_what_is_said_of_a_scheduler_names_it_again(lab: Namespace, tmp_path: Path) -> None:
    said = lab.run(*FARM, "--home", str(tmp_path), "node", "show", "pc02", "--scheduler", SERVER, check=False).stderr
    assert "There is no node pc02." in said
    assert f"→ Did you mean pc01? List them: farm node list --scheduler {SERVER}" in " ".join(said.split())


def test_an_order_that_names_a_node_which_there_is_not_reaches_none() -> None:
    machines = [MachineConfig(mac="52:54:00:00:00:01", name="pc01", address="10.99.83.60")]
    config = Config(
        name="orders", address="10.99.83.1/24", dhcp=DhcpConfig("10.99.83.50", "10.99.83.60"), machines=machines
    )
    with namespaces(config.address) as (place,), served(config, place) as server:
        until(server.status, "farmd does not answer")
        argv = [*FARM, "--home", str(server.home.directory), "node"]
        for order in ("reboot", "off"):
            for more in ([], ["--force"]):
                done = place.run(*argv, order, *more, "pc01", "pc1", check=False)
                said = " ".join(done.stderr.split())
                assert (done.returncode, "did not get the order" in said) == (1, False)
                assert "There is no node pc1. Known nodes: pc01. → Did you mean pc01? List them: farm" in said
            for nobody_or_both in ([], ["--all", "pc01"]):
                done = place.run(*argv, order, *nobody_or_both, check=False)
                assert (done.returncode, "Name nodes, or give --all." in " ".join(done.stderr.split())) == (2, True)
            assert "" == place.run(*argv, order, "--all").stdout, "none is on"


@pytest.mark.parametrize("words", [["status", "--watch"], ["jobs", "--follow"], ["jobs", "-f", "--json"]])
def test_it_ends_with_its_reader(lab: Namespace, words: list[str]) -> None:
    argv = [*exec_prefix(lab.name), *FARM, *words, "--scheduler", SERVER]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        if "--watch" in words:
            process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
    finally:
        process.kill()
        process.wait()


def test_a_number_typed_before_the_farms_are_shown_joins_none(lab: Namespace, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "HOME": "/nonexistent"}
    terminal = Terminal([*exec_prefix(lab.name), *AS_NOBODY, *FARM, "join"], None, environment, (100, 30))
    try:
        terminal.type("1\n")
        terminal.wait_for("Join number")
        terminal.type("0\n")
        terminal.wait_for("not in the range")
        assert terminal.process.poll() is None
        terminal.type("\x03")
        assert terminal.end() == 130
    finally:
        terminal.close()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT", "SIGUSR1", "SIGXCPU", "SIGRTMIN"])
def test_a_watched_status_leaves_the_terminal_as_it_was(lab: Namespace, name: str) -> None:
    environment = {**os.environ, "TERM": "xterm-256color"}
    command = [*exec_prefix(lab.name), *FARM, "status", "--watch", "--scheduler", SERVER]
    terminal = Terminal(command, None, environment, (100, 30))
    modes = terminal.screen.mode
    try:
        until(lambda: any("pc01" in row for row in terminal.rows), "nothing is shown")
        assert 1049 << 5 in modes
        terminal.process.send_signal(signal.SIGTSTP)
        stopped = os.WSTOPPED | os.WNOWAIT | os.WNOHANG
        until(lambda: os.waitid(os.P_PID, terminal.process.pid, stopped), "it does not stop")
        until(lambda: 1049 << 5 not in modes and not terminal.screen.cursor.hidden, "it keeps the terminal, stopped")
        terminal.screen.reset()
        terminal.process.send_signal(signal.SIGCONT)
        until(lambda: any("pc01" in row for row in terminal.rows), "it stays blank")
        terminal.process.send_signal(signal.Signals[name])
        assert terminal.process.wait(PATIENCE) in (-signal.Signals[name], 130)
        until(lambda: 1049 << 5 not in terminal.screen.mode, "it keeps the screen")
        until(lambda: not terminal.screen.cursor.hidden, "there is no cursor")
    finally:
        terminal.close()
