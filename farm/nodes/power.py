"""Nodes leave power: wait for jobs, power off, reboot. Over ssh with the farm's own key; a node obeys nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from farm.api.client import fetch_status, jobs_by_submitter
from farm.errors import FarmError, PartialError
from farm.home import Home
from farm.instance import Instance
from farm.nodes import ssh
from farm.nodes.pending import note
from farm.printable import printable
from farm.view.status import NodeStatus
from farm.view.wording import count
from farm.watch.events import Ordered, Stage

JOBS_PATIENCE = 60.0
"""Seconds that running jobs have to end before a farm goes down."""

AT_ONCE = 20
"""Nodes that get an order together. So many that boot take a link of 1 Gbit/s for about PAUSE."""
PAUSE = 10.0
"""Seconds until the next ones are told to boot."""
MAX_NAMED_SUBMITTERS = 8
Report = Callable[[str, str], None]
PowerOrder = Literal["reboot", "off"]
POWER_WORDS: dict[PowerOrder, tuple[str, str]] = {"reboot": ("reboot", "reboots"), "off": ("power off", "powers off")}
"""How people speak of each order: what a node is told, and what it then does."""
_SYSTEMCTL: dict[PowerOrder, str] = {"reboot": "reboot", "off": "poweroff"}


def jobs_under_way(home: Home) -> str:
    """Whose jobs are in flight, in words; empty when none are, or farmd does not answer."""
    try:
        found = jobs_by_submitter(home)
    except FarmError:
        return ""
    return ", ".join(
        f"{printable(name) or 'somebody'}: {count(jobs, 'job')}"
        for name, jobs in found.most_common(MAX_NAMED_SUBMITTERS)
    )


def jobs_by_node(home: Home) -> dict[str, int]:
    """How many jobs each node runs that runs any; nothing when farmd does not answer."""
    try:
        nodes = fetch_status(home).nodes
    except FarmError:
        return {}
    return {node.name: node.host.jobs_running for node in nodes if node.host and node.host.jobs_running}


def who_sits_there(nodes: Iterable[NodeStatus]) -> list[str]:
    """The nodes at whose screens somebody is logged in, with the names; what they have not saved ends with the node."""
    return [
        f"{node.name}: {', '.join(printable(user.name) for user in node.users)}"
        for node in nodes
        if node.users and node.stage is Stage.READY
    ]


def wait_for_jobs(home: Home, report: Report) -> None:
    """Wait until no job runs, at most JOBS_PATIENCE; a farm whose farmd is gone is not waited for."""
    deadline = time.monotonic() + JOBS_PATIENCE
    while time.monotonic() < deadline:
        busy = sum(jobs_by_node(home).values())
        if not busy:
            return
        report("jobs", f"{count(busy, 'job')} {'is' if busy == 1 else 'are'} still running: {jobs_under_way(home)}")
        time.sleep(0.5)


def power_off_all(home: Home, instance: Instance, nodes: Sequence[NodeStatus], report: Report) -> list[NodeStatus]:
    """Power those nodes off that can be reached, side by side; the others are reported and returned."""
    known = [node for node in nodes if node.verified]
    with ThreadPoolExecutor(16) as pool:
        reached = list(pool.map(lambda node: _try_power(home, instance, node.address), known))
    for node, went in zip(known, reached, strict=True):
        report("nodes", f"{node.name} {POWER_WORDS['off'][1] if went else 'cannot be reached'}")
    return [node for node, went in zip(known, reached, strict=True) if not went]


def _try_power(home: Home, instance: Instance, address: str) -> bool:
    try:
        power(home, instance, address, "off")
    except FarmError:
        return False
    return True


def power(home: Home, instance: Instance, address: str, order: PowerOrder, mac: str = "") -> None:
    """Power a node off or reboot it, at once: nothing it holds needs to be saved.

    ``mac``: its own, for whoever watches it to know why it goes. Raises FarmError when it cannot be reached.
    """
    # The connection dies with the node: the order is given in the background, and ssh ends first. Without its
    # accuracy systemd would put a timer off for up to a minute.
    later = ["systemd-run", "--quiet", "--on-active=1", "--timer-property=AccuracySec=100ms"]
    try:
        ssh.run(home, instance, address, [*later, "systemctl", "--force", "--force", _SYSTEMCTL[order]])
    except FarmError as error:
        raise FarmError(
            f"The node {address} did not accept the order to {POWER_WORDS[order][0]}.", error.why, error.fix
        ) from error
    note(home, Ordered(mac, order, time.time()))


def batches(names: Sequence[str], size: int, pause: float, report: Callable[[int], None]) -> Iterator[Sequence[str]]:
    """So many names at a time, with a pause in seconds between them; before it, ``report`` hears how many are left."""
    for first in range(0, len(names), size):
        if first:
            report(len(names) - first)
            time.sleep(pause)
        yield names[first : first + size]


def for_each(groups: Iterable[Sequence[str]], act: Callable[[str], None]) -> None:
    """Do something to nodes, to those of a group side by side; raises PartialError that names those it failed for."""
    asked = 0
    failed: list[str] = []

    def failure(name: str) -> str:
        """Why it failed; empty when it did not."""
        try:
            act(name)
        except FarmError as error:
            return f"{name}: {error.what}"
        return ""

    for names in groups:
        asked += len(names)
        with ThreadPoolExecutor(len(names)) as pool:
            failed += filter(None, pool.map(failure, names))
    if failed:
        raise PartialError(
            f"{len(failed)} of {count(asked, 'node')} did not get the order.",
            "\n".join(failed),
            "List the nodes: farm node list",
        )
