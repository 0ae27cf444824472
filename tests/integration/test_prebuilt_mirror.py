"""A second boot server that holds what the first one publishes."""

from __future__ import annotations

from tests.prebuilt_pair import URL, Farm, Pair, pair

__all__ = ["pair"]


def slots(farm: Farm) -> dict[str, int]:
    return {image["image"]: image["slot"] for image in farm.json("image", "list")["images"]}


def test_a_second_server_holds_the_same_in_the_same_slots(pair: Pair) -> None:
    pair.b.home.config.write_text(f"name: lab-b\nother_server: 10.77.0.2\nmirror: '{URL}'\n")
    pair.a.add("20261103.1")
    pair.a.farm("image", "list")
    pair.a.farm("image", "remove", "20261101.1")  # so that slots and order are not the same
    pair.publish()
    pair.serve()
    assert "whom this farm does not know" in pair.b.refused("image", "mirror")

    done = pair.b.json("image", "mirror", *pair.trusted())

    assert {"20261102.1", "20261103.1", "cad/20261101.1"} == set(done["fetched"])
    assert slots(pair.a) == slots(pair.b)
    assert pair.a.store.selections() == pair.b.store.selections()
    again = pair.b.json("image", "mirror")
    assert ([], [], []) == (again["fetched"], again["removed"], again["chosen"])
    assert "is not built here." in pair.b.refused("image", "build")

    pair.a.farm("image", "use", "20261102.1")
    pair.a.farm("image", "remove", "20261103.1")
    pair.a.add("20261104.1", "cad")
    pair.publish()
    assert "Removed 20261103.1." in pair.b.farm("image", "mirror").stdout
    assert slots(pair.a) == slots(pair.b)
    assert pair.a.store.selections() == pair.b.store.selections()


def test_a_slot_that_something_else_has_here_is_refused(pair: Pair) -> None:
    pair.b.home.config.write_text(f"name: lab-b\nother_server: 10.77.0.2\nmirror: '{URL}'\n")
    pair.b.add("20260101.1", "own")
    pair.b.farm("image", "use", "own/20260101.1")
    assert {"own/20260101.1": 1} == slots(pair.b)
    pair.a.farm("image", "use", "20261102.1")
    pair.publish()
    pair.serve()

    said = pair.b.refused("image", "mirror", *pair.trusted())

    assert "Slot 1, in which the other server exports" in said
    assert "has own/20260101.1 here." in said
    assert ["own/20260101.1"] == pair.b.images
