"""The virtual lab's network: a namespace that holds a bridge and a tap per machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

import psutil

from farm import command
from farm.errors import CommandError
from farm.virtual.namespace import namespace_path

BRIDGE = "farm0"


def create(namespace: str, mtu: int, taps: int) -> None:
    """Make the namespace, or bring one that is there to what is wanted; raises CommandError.

    ``mtu``: of the bridge and the taps, in bytes.
    """
    if not namespace_path(namespace).exists():
        command.run(["ip", "netns", "add", namespace])
    present = links(namespace)
    _ip(namespace, ["link set lo up"])
    if BRIDGE not in present:
        _ip(namespace, [f"link add {BRIDGE} type bridge forward_delay 0 stp_state 0"])
    # Set, it stays. A bridge takes the lowest MAC of what is attached otherwise, and vblade goes on by the one that it
    # found when it started: a further machine would take the root away from all.
    _ip(namespace, [f"link set {BRIDGE} address {_mac(namespace)}"])
    wanted = _taps(taps)
    for tap in sorted(present):
        if tap.startswith("tap") and tap not in wanted:
            _ip(namespace, [f"link del {tap}"])
    for tap in wanted:
        if tap not in present:
            _ip(namespace, [f"tuntap add {tap} mode tap"])
        # Also one that is there already: its bridge may be a new one.
        _ip(namespace, [f"link set {tap} mtu {mtu} up master {BRIDGE}"])
    _ip(namespace, [f"link set {BRIDGE} mtu {mtu} up"])


def cut_off(namespace: str, taps: int) -> list[int]:
    """Numbers of the taps that are missing, down or not in the bridge: what their machines send gets nowhere."""
    shown = json.loads(command.run(["ip", "-n", namespace, "-j", "link", "show"]).stdout)
    joined = {link["ifname"] for link in shown if link.get("master") == BRIDGE and "UP" in link["flags"]}
    return [number for number, tap in enumerate(_taps(taps), 1) if tap not in joined]


def _taps(count: int) -> list[str]:
    return [f"tap{number}" for number in range(1, count + 1)]


def _mac(namespace: str) -> str:
    """The bridge's, as it is now."""
    shown = json.loads(command.run(["ip", "-n", namespace, "-j", "link", "show", BRIDGE]).stdout)
    return str(shown[0]["address"])


def links(namespace: str) -> set[str]:
    """Names of the network interfaces in a namespace."""
    listing = command.run(["ip", "-n", namespace, "-o", "link", "show"]).stdout
    return {line.split(": ")[1].split("@")[0] for line in listing.splitlines() if ": " in line}


def remove(namespace: str) -> None:
    """End what still runs in the namespace and delete it, interfaces and nftables tables included."""
    if not namespace_path(namespace).exists():
        return
    with contextlib.suppress(CommandError):
        _end_processes(namespace)
    command.run(["ip", "netns", "del", namespace])


def _end_processes(namespace: str) -> None:
    pids = [int(pid) for pid in command.run(["ip", "netns", "pids", namespace]).stdout.split()]
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        for _ in range(20):
            if not any(psutil.pid_exists(pid) for pid in pids):
                return
            time.sleep(0.1)


def _ip(namespace: str, commands: list[str]) -> None:
    for line in commands:
        command.run(["ip", "-n", namespace, *line.split()])
