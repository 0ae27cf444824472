"""Images that nodes read without checking: what is said of them, and when."""

from __future__ import annotations

from immutables import Map

from farm.config import FIRST_KIND, Config
from farm.instance import Instance, decode, encode
from farm.view.from_state import build
from farm.watch.events import Stage
from farm.watch.state import Farm, Node

RUNNING = Instance(
    config=Config(name="lab"),
    interface="farm0",
    images={FIRST_KIND: "v2", "cad": "cad/c1"},
    unverified=["v0", "v1", "cad/c1"],
    started=50.0,
)


def farm(image: str, stage: Stage = Stage.READY) -> Farm:
    node = Node(mac="52:54:00:00:00:01", name="pc01", address="10.77.0.57", stage=stage, since=0.0, image=image)
    return Farm(name="lab", nodes=Map({node.mac: node}))


def said(farm: Farm) -> list[str]:
    return [image.sentence for image in build(farm, RUNNING).unverified]


CAD = "Image cad/c1 is not verified: nodes do not check what they read, and "


def test_what_next_boots_get_is_built_again() -> None:
    assert [f"{CAD}next boots get it. Build it again: sudo farm image build cad"] == said(farm("v2"))
    assert [f"{CAD}next boots get it, pc01 runs it. Build it again: sudo farm image build cad"] == said(farm("cad/c1"))


def test_nodes_that_run_another_are_rebooted() -> None:
    first = "Image v1 is not verified: nodes do not check what they read, and pc01 runs it."
    assert f"{first} Reboot: sudo farm node reboot pc01" == said(farm("v1"))[0]


def test_a_machine_that_is_off_runs_nothing() -> None:
    assert 1 == len(said(farm("v1", Stage.OFF)))


def test_the_record_keeps_them() -> None:
    assert RUNNING == decode(encode(RUNNING))
