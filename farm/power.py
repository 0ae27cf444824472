"""Nodes leave power: wait for jobs, power off, reboot. Over ssh with the farm's own key; a node obeys nobody else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from farm import ssh
from farm.daemon.client import fetch_status
from farm.errors import FarmError, PartialError
from farm.events import Ordered
from farm.home import Home
from farm.ordered import note
from farm.running import Running

JOBS_PATIENCE = 60.0
"""Seconds that running jobs have to end before a farm goes down."""

Report = Callable[[str, str], None]
PowerOrder = Literal["reboot", "off"]
POWER_WORDS: dict[PowerOrder, tuple[str, str]] = {"reboot": ("reboot", "reboots"), "off": ("power off", "powers off")}
"""How people speak of each order: what a node is told, and what it then does."""
_SYSTEMCTL: dict[PowerOrder, str] = {"reboot": "reboot", "off": "poweroff"}


def wait_for_jobs(home: Home, report: Report) -> None:
    """Wait until no job runs, at most JOBS_PATIENCE; a farm whose farmd is gone is not waited for."""
    deadline = time.monotonic() + JOBS_PATIENCE
    while time.monotonic() < deadline:
        try:
            busy = sum(node.host.jobs_running for node in fetch_status(home).nodes if node.host)
        except FarmError:
            return
        if not busy:
            return
        report("jobs", f"{busy} still run")
        time.sleep(0.5)


def power_off_all(home: Home, running: Running, report: Report) -> None:
    """Power all nodes off that can be reached, side by side; one that cannot is reported and left."""
    with contextlib.suppress(FarmError):
        addresses = {node.name: node.address for node in fetch_status(home).nodes if node.verified}
        with ThreadPoolExecutor(16) as pool:
            for name, reached in pool.map(
                lambda item: (item[0], _try_power(home, running, item[1])), addresses.items()
            ):
                report("nodes", f"{name} {'powers off' if reached else 'cannot be reached'}")


def _try_power(home: Home, running: Running, address: str) -> bool:
    try:
        power(home, running, address, "off")
    except FarmError:
        return False
    return True


def power(home: Home, running: Running, address: str, order: PowerOrder, mac: str = "") -> None:
    """Power a node off or reboot it, at once: nothing it holds needs to be saved.

    ``mac``: its own, for whoever watches it to know why it goes. Raises FarmError when it cannot be reached.
    """
    # The connection dies with the node: the order is given in the background, and ssh ends first. Without its
    # accuracy systemd would put a timer off for up to a minute.
    later = ["systemd-run", "--quiet", "--on-active=1", "--timer-property=AccuracySec=100ms"]
    try:
        ssh.run(home, running, address, [*later, "systemctl", "--force", "--force", _SYSTEMCTL[order]])
    except FarmError as error:
        raise FarmError(
            f"The node {address} could not be told to {POWER_WORDS[order][0]}.", error.why, error.mend
        ) from error
    note(home, Ordered(mac, order, time.time()))


def for_each(names: list[str], act: Callable[[str], None]) -> None:
    """Do something to several nodes; raises PartialError that names those it failed for."""
    failed = []
    for name in names:
        try:
            act(name)
        except FarmError as error:
            failed.append(f"{name}: {error.what}")
    if failed:
        raise PartialError(
            f"{len(failed)} of {len(names)} nodes could not be reached.", "\n".join(failed), "See: farm node list"
        )
