"""Which image versions must stay, whoever uses the store and whether or not their farm is up."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from farm.config import FIRST_KIND, Config
from farm.errors import FarmError
from farm.home import Home
from farm.image.store import Store
from farm.image.uses import note_user, noted
from farm.instance import Instance
from farm.serve.images import remove_image, switch_image
from farm.serve.up import exclusive
from farm.serve.versions import versions_in_use
from tests.lab import PATIENCE
from tests.made_up_store import add_version

Homes = tuple[Home, Home]


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Homes:
    """Two farms that share a store of three versions, neither of them up."""
    monkeypatch.setenv("FARM_IMAGES", str(tmp_path / "images"))
    one, two = Home.at(tmp_path / "one"), Home.at(tmp_path / "two")
    for home in (one, two):
        home.create()
    store = Store(one.images)
    for built, version in enumerate(("v1", "v2", "v3"), 1):
        add_version(store, version, built)
    store.use("v3")
    return one, two


def bring_up(home: Home, image: str) -> None:
    """A farm that is up, but whose farmd does not answer."""
    Instance(config=Config(), interface="lab0", images={FIRST_KIND: image}, started=1.0).save(home)
    note_user(Store(home.images), home, served=[image])


def test_what_nobody_runs_may_go(homes: Homes) -> None:
    remove_image(homes[0], "v1")

    assert ["v2", "v3"] == [manifest.version for manifest in Store(homes[0].images).list()]


@pytest.mark.parametrize("asked", [0, 1])
def test_what_nodes_were_left_running_stays_for_every_farm(homes: Homes, asked: int) -> None:
    note_user(Store(homes[0].images), homes[0], kept=["v1"])

    with pytest.raises(FarmError) as caught:
        remove_image(homes[asked], "v1")

    assert ("v1 is in use.", "Nodes were still running this version when their farm went down.") == (
        caught.value.what,
        caught.value.why,
    )
    assert f"sudo farm --home {homes[0].directory} up" in caught.value.fix
    remove_image(homes[asked], "v2")


def test_what_a_farm_served_that_was_never_taken_down_stays(homes: Homes) -> None:
    note_user(Store(homes[0].images), homes[0], served=["v2"])

    assert {"v2"} == versions_in_use(homes[1]).keys()


def test_of_a_farm_that_cannot_be_asked_all_stay(homes: Homes) -> None:
    bring_up(homes[0], "v1")

    assert {"v1", "v2", "v3"} == versions_in_use(homes[1]).keys()


def test_a_farm_that_went_down_with_its_nodes_holds_nothing(homes: Homes) -> None:
    store = Store(homes[0].images)
    note_user(store, homes[0], kept=["v1"], served=["v2"])
    note_user(store, homes[0])

    assert {} == versions_in_use(homes[0])
    assert ([], []) == (noted(store, homes[0]).kept, noted(store, homes[0]).served)


def test_a_note_of_no_use_holds_nothing(homes: Homes) -> None:
    note_user(Store(homes[0].images), homes[0], kept=["v1"])
    (note,) = (homes[0].images / ".users").iterdir()
    note.write_text("{")

    assert {} == versions_in_use(homes[1])


def test_a_farm_whose_home_was_deleted_holds_nothing(homes: Homes) -> None:
    note_user(Store(homes[0].images), homes[0], kept=["v1"])
    assert homes[0].directory is not None
    shutil.rmtree(homes[0].directory)

    assert {} == versions_in_use(homes[1])


def test_a_farm_that_is_taken_down_meanwhile_is_not_noted_as_up(homes: Homes) -> None:
    home = homes[0]
    bring_up(home, "v3")
    switch = threading.Thread(target=switch_image, args=(home, lambda store: store.use("v1")))

    with exclusive(home):
        switch.start()
        Instance.path(home).unlink()  # as `farm down` does under this lock
        Instance.forget(home)
    switch.join(PATIENCE)

    assert not switch.is_alive()
    assert not Instance.path(home).exists()
    assert "v1" == Store(home.images).selected(FIRST_KIND)
