"""Take a farm down: end its services, power its nodes off, and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from farm.api.client import fetch_status
from farm.config import Config
from farm.errors import FarmError
from farm.export.socket_buffer import release_socket_buffer
from farm.home import Home, remove
from farm.image.store import Store
from farm.image.uses import note_user, noted
from farm.instance import Instance
from farm.nodes.power import power_off_all, wait_for_jobs, who_sits_there
from farm.serve import cups
from farm.serve.healing import Report
from farm.serve.remains import config_of, left, own_namespaces, remove_network, unmount
from farm.serve.service_list import ENVIRONMENTS
from farm.serve.up import exclusive
from farm.session_server import sshd_settings
from farm.supervisor import Supervisor
from farm.view.status import NodeStatus
from farm.virtual.namespace import ICECC_SOCKETS
from farm.virtual.user_commands import end_builds, find_builds, require_no_builds, wait_for_builds

Builds = Literal["refuse", "wait", "end"]
"""What to do about builds that run inside a virtual lab, which end with it; sessions end only where builds do."""


def bring_down(home: Home, report: Report, *, keep_nodes: bool = False, builds: Builds = "refuse") -> None:
    """Stop everything and leave nothing behind: no process, namespace, mount, filter, address or kernel setting.

    ``keep_nodes``: nodes are not powered off; they wait for their root until the farm is up again. Works on what is
    left of a farm too, whatever was killed or deleted. Raises FarmError when builds or sessions run that it may not
    end, and when something could not be removed.
    """
    with exclusive(home):
        config, instance = config_of(home), Instance.known(home)
        namespaces = own_namespaces(home, instance, config)
        _settle_builds(home, namespaces, builds, report)
        supervisor = Supervisor(home)
        if instance is not None:
            if supervisor.alive and builds != "end" and (instance.namespace is not None or not keep_nodes):
                _require_nobody(home)
            _leave_nodes(home, instance, supervisor.alive, keep_nodes, report)
        report("services", "stopping")
        supervisor.shutdown()
        _remove_queues(instance, report)
        report("network", "removing")
        for doubtful in remove_network(home, instance, config, namespaces):
            report("left as it is", f"{doubtful}: who added it is not known")
        release_socket_buffer(home.runtime)
        _revert_sshd(home, instance.config if instance else config, report)
        _remove_sockets(instance)
        unmount(home)
        for path in home.runtime.glob("*"):
            remove(path)
        Instance.forget(home)
        _require_gone(left(home, namespaces))


def _settle_builds(home: Home, namespaces: Sequence[str], builds: Builds, report: Report) -> None:
    for namespace in namespaces:
        if builds == "wait":
            wait_for_builds(namespace, report)
        elif builds == "end" and (found := find_builds(namespace)):
            report("builds", f"ending {'; '.join(map(str, found))}")
            end_builds(home, found)
    require_no_builds(namespaces, "down", force=builds == "end")


def _require_nobody(home: Home) -> None:
    """Raises FarmError when users are logged in at machines that would be powered off."""
    nodes: Sequence[NodeStatus] = []
    with contextlib.suppress(FarmError):
        nodes = fetch_status(home).nodes
    if seats := who_sits_there(nodes):
        raise FarmError(
            "Users are logged in at machines of the farm.",
            "\n".join(seats),
            "Ask them to log out: sudo farm node message --all 'Please log out.' Or end their sessions: "
            "sudo farm down --force",
        )


def _leave_nodes(home: Home, instance: Instance, alive: bool, keep: bool, report: Report) -> None:
    """Drain and power off, and note in the image store what nodes were left running."""
    store = Store(home.images)
    user = noted(store, home)
    nodes: Sequence[NodeStatus] | None = None
    if alive:
        report("jobs", "waiting for those that run")
        wait_for_jobs(home, report)
        with contextlib.suppress(FarmError):
            nodes = fetch_status(home).nodes
    if instance.namespace is not None:
        note_user(store, home)
    elif nodes is None:
        if not keep:
            report("nodes", "left on, since farmd does not say which there are")
        kept = [*user.kept, *user.served, *instance.images.values()]
        note_user(store, home, kept=kept, exports=instance.exports)
    elif keep:
        note_user(store, home, kept=[node.image for node in nodes if node.image], exports=instance.exports)
    else:
        report("nodes", "powering off")
        on = power_off_all(home, instance, nodes, report)
        note_user(store, home, kept=[node.image for node in on if node.image], exports=instance.exports)


def _remove_queues(instance: Instance | None, report: Report) -> None:
    """The print queues of its clients' printers; one in which jobs wait stays for the next farm of this name."""
    if instance is not None and instance.namespace is None:
        with contextlib.suppress(FarmError):
            for name in cups.remove_queues(instance.config.name):
                report("left as it is", f"the print queue {name}: jobs wait in it")


def _remove_sockets(instance: Instance | None) -> None:
    """In a real lab icecc and iceccd meet in a folder of the system's: what the farm put there goes."""
    if instance is not None and instance.namespace is None:
        shutil.rmtree(Path(ICECC_SOCKETS, ENVIRONMENTS), ignore_errors=True)
        with contextlib.suppress(OSError):
            Path(ICECC_SOCKETS).rmdir()


def _revert_sshd(home: Home, config: Config, report: Report) -> None:
    try:
        done = sshd_settings.revert(config.name, home.config)
    except (FarmError, OSError) as error:
        done = " ".join(str(error).split())
    if done:
        report("sshd", done)


def _require_gone(remains: list[str]) -> None:
    if remains:
        raise FarmError("Not all of the farm could be removed.", "\n".join(remains), "Run again: sudo farm down")
