"""A network namespace with a real scheduler in it, for a simulated farm of its own; both end with it."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

from farm import command
from farm.errors import FarmError
from farm.node.ports import SCHEDULER_PORT
from farm.virtual.namespace import enter_network, exec_prefix, namespace_path

NETWORK = IPv4Network("10.78.0.0/16")
SCHEDULER_ADDRESS = str(NETWORK[1])
SIMULATED_INTERFACE = "sim0"
START_PATIENCE = 15.0
_PRIVATE_RUN = 'mkdir -p /run/icecc && mount -t tmpfs none /run/icecc && exec "$@"'
"""The scheduler writes its process id below /run/icecc, and would remove that of another there."""


@contextlib.contextmanager
def own_namespace(name: str) -> Iterator[None]:
    """Make a network namespace in which every address of ``NETWORK`` is this machine's, and put this thread into it.

    At the end the thread is where it was and the namespace is gone. One left behind by a killed process is replaced;
    raises FarmError when one is in use. Needs root.
    """
    if os.geteuid() != 0:
        raise FarmError(
            "Simulating a farm needs root.",
            "The simulation needs a network namespace.",
            "Try again with sudo, or use an existing scheduler: farm simulate --scheduler HOST",
        )
    if namespace_path(name).exists():
        if command.run(["ip", "netns", "pids", name]).stdout.split():
            raise FarmError(
                f"The network namespace {name} already exists.",
                "Programs are running in it, perhaps of another simulated farm.",
                "Choose another name: farm simulate --name NAME",
            )
        command.run(["ip", "netns", "delete", name])
    command.run(["ip", "netns", "add", name])
    try:
        inside = ["ip", "-n", name]
        command.run([*inside, "link", "set", "lo", "up"])
        command.run([*inside, "link", "add", SIMULATED_INTERFACE, "type", "bridge"])
        command.run(
            [
                *inside,
                "address",
                "add",
                f"{SCHEDULER_ADDRESS}/{NETWORK.prefixlen}",
                "brd",
                "+",
                "dev",
                SIMULATED_INTERFACE,
            ]
        )
        command.run([*inside, "link", "set", SIMULATED_INTERFACE, "up"])
        command.run([*inside, "route", "add", "local", str(NETWORK), "dev", "lo"])
        with Path("/proc/thread-self/ns/net").open() as before:
            with namespace_path(name).open() as handle:
                enter_network(handle.fileno())
            try:
                yield
            finally:
                enter_network(before.fileno())
    finally:
        command.run(["ip", "netns", "delete", name])


def allow_many_connections() -> None:
    """Let this process, and those it starts, hold as many connections as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def scheduler(namespace: str, netname: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run icecc-scheduler in that namespace, which this thread is in; it ends with this thread. Raises FarmError."""
    # The scheduler would change its user itself, but then no longer end with us.
    user = ["setpriv", "--reuid=icecc", "--regid=icecc", "--clear-groups", "--pdeathsig", "KILL"]
    argv = [command.find("icecc-scheduler"), "-n", netname, "-p", str(SCHEDULER_PORT), "-r"]
    full = [*exec_prefix(namespace), "sh", "-c", _PRIVATE_RUN, "sh", *user, *argv]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(full, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_until_it_listens(process, log.fileno())
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], log: int) -> None:
    """Its control port is asked, since a connection to the other one makes it deaf for a second."""
    end = time.monotonic() + START_PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((SCHEDULER_ADDRESS, SCHEDULER_PORT + 1), timeout=1):
            return
        time.sleep(0.05)
    said = os.pread(log, 4096, 0).decode(errors="replace")
    raise FarmError(
        "The scheduler of the simulated farm does not start.", said, "Check whether icecc is installed: farm doctor"
    )
