"""States that a lab of two nodes can be brought to, whatever the test before has left: by no more than is needed."""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import Lab

NODES = ["virtual-1", "virtual-2"]


def bring_down(lab: Lab) -> None:
    """Not up; the image that tests run is the one that the next boots get."""
    lab.farm("down", "--force")
    lab.choose_image()


def bring_up(lab: Lab) -> None:
    """Up, with whichever machines and services it has at the moment."""
    if lab.status_if_up() is None:
        boot(lab)


def boot(lab: Lab) -> None:
    """All services run, no name is blocked, and both nodes are ready and run the image that next boots get."""
    status = lab.status_if_up()
    if status and is_booted(lab, status):
        return
    if status and status["scheduler"]["blocked"]:
        lab.farm("node", "unblock", *status["scheduler"]["blocked"], check=False)  # `farm up` waits for ready nodes
    lab.choose_image()
    lab.farm("up", "--virtual", "2", "--nic", "virtio")
    for name, node in lab.nodes_by_name().items():
        if node["image"] != lab.image:
            lab.farm("node", "reboot", name)
            lab.wait_for_boot(name, node["stages"]["powered"])
    lab.wait("the lab is as it was at first", lambda status: is_booted(lab, status))


def is_booted(lab: Lab, status: dict[str, Any]) -> bool:
    """Whether a status is of a lab as `boot` leaves it."""
    ready = {node["name"]: node["image"] for node in status["nodes"] if node["stage"] == "ready"}
    return (
        status["problems"] == []
        and status["scheduler"]["blocked"] == []
        and status["image"] == lab.image
        and ready == dict.fromkeys(NODES, lab.image)
    )
