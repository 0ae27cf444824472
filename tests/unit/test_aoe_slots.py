"""The AoE slot of each version: its own, for as long as there is the version."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config import Config, ExportConfig
from farm.errors import FarmError
from farm.export import prepare, require_room, root_argument, root_of
from farm.export.aoe import slots
from farm.export.aoe.slots import MAX_SLOT, SlotTable, slot_of
from farm.image.store import Store
from tests.made_up_store import add_version

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True, max_size=30)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three versions."""
    store = Store(tmp_path)
    for built, version in enumerate(("v1", "v2", "v3"), 1):
        add_version(store, version, built)
    prepare(store)
    return store


def of(store: Store) -> dict[str, int | None]:
    return {manifest.version: slot_of(root_of(store, manifest)) for manifest in store.list()}


def written_before(store: Store, version: str, slot: object) -> None:
    """As manifests were written once."""
    path = store.path(version) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "slot": slot}))


def test_a_slot_comes_back_into_use_as_late_as_can_be(store: Store) -> None:
    assert {"v1": 1, "v2": 2, "v3": 3} == of(store)

    for version in ("v1", "v3"):
        store.remove(version, in_use=())
    add_version(store, "v4", 4)
    prepare(store)

    assert {"v2": 2, "v4": 4} == of(store)


class OlderManifest(msgspec.Struct):
    """What a release reads of a manifest that looks for the slot there."""

    version: str
    slot: int


def test_farms_of_earlier_releases_find_the_slots_in_manifests(store: Store) -> None:
    found = [msgspec.json.decode(path.read_bytes(), type=OlderManifest) for path in store.directory.glob("*/man*.json")]

    assert of(store) == {manifest.version: manifest.slot for manifest in found}
    assert ["v1", "v2", "v3"] == [manifest.version for manifest in store.list()]


def test_manifests_stay_as_they_are_while_the_store_changes(store: Store) -> None:
    path = store.path(add_version(store, "v4", 4).image) / "manifest.json"
    before = path.read_bytes()

    with store.lock():
        prepare(store)
    assert before == path.read_bytes()
    assert 4 == of(store)["v4"]

    prepare(store)
    assert 4 == msgspec.json.decode(path.read_bytes(), type=OlderManifest).slot


def test_slots_are_used_again_before_there_are_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(MAX_SLOT):
        add_version(store, f"v{number}", number)
    prepare(store)
    assert set(range(1, MAX_SLOT + 1)) == {*of(store).values()}
    add_version(store, "more", MAX_SLOT)
    with pytest.raises(FarmError) as caught:
        prepare(store)
    assert "sudo farm image remove v0" in caught.value.fix
    with pytest.raises(FarmError) as full:
        require_room(store)
    assert "sudo farm image remove v0" in full.value.fix
    assert "254 can be exported by aoe" in full.value.why
    assert of(store)["more"] is None

    store.remove("v7", in_use=())
    prepare(store)

    assert 8 == of(store)["more"]


def test_a_version_of_before_keeps_the_slot_that_its_manifest_gave_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for built, (version, slot) in enumerate({"v1": 253, "v2": 254, "v3": 1}.items(), 1):
        add_version(store, version, built)
        written_before(store, version, slot)

    # Nodes run, and nothing was written yet: the farm was not brought up since the upgrade.
    before = of(store)
    store.remove("v2", in_use=())
    add_version(store, "v4", 4)
    prepare(store)

    assert {"v1": 253, "v2": 254, "v3": 1} == before
    assert {"v1": 253, "v3": 1, "v4": 2} == of(store)
    assert "aoe:e7.253" == root_argument(Config(), store, store.get("v1"), "aoe")
    assert "aoe:e9.2" == root_argument(Config(export=ExportConfig(shelf=9)), store, store.get("v4"), "aoe")


def test_what_was_copied_from_another_store_takes_no_slot_of_another_version(store: Store) -> None:
    add_version(store, "copied", 0)
    written_before(store, "copied", 2)

    prepare(store)

    assert {"copied": 4, "v1": 1, "v2": 2, "v3": 3} == of(store)


def test_of_slots_that_all_were_used_the_one_comes_next_that_is_free_for_longest(store: Store) -> None:
    for number in range(4, MAX_SLOT + 1):
        add_version(store, f"v{number}", number)
    prepare(store)
    for version in ("v9", "v2", "v200"):
        store.remove(version, in_use=())
        prepare(store)

    for version in ("new1", "new2"):
        add_version(store, version, MAX_SLOT)
        prepare(store)

    assert (9, 2) == (of(store)["new1"], of(store)["new2"])


@pytest.mark.parametrize("slot", [None, -1, 0, 255, "3", [], 1.5])
def test_a_slot_that_no_shelf_has_counts_for_nothing(store: Store, slot: object) -> None:
    add_version(store, "odd", 9)
    written_before(store, "odd", slot)

    prepare(store)

    assert 4 == of(store)["odd"]


def test_what_was_not_prepared_has_no_address(store: Store) -> None:
    manifest = add_version(store, "v4", 4)

    with pytest.raises(FarmError, match="Image v4 has no AoE slot") as caught:
        root_argument(Config(), store, manifest, "aoe")

    assert "Prepare it: sudo farm up" == caught.value.fix


def test_a_version_that_another_farm_adds_meanwhile_keeps_its_slot(store: Store) -> None:
    known = [root_of(store, manifest) for manifest in store.list()]
    add_version(store, "v4", 4)
    prepare(store)
    add_version(store, "v5", 5)

    slots.give_slots(store.directory, known)
    prepare(store)

    assert {"v1": 1, "v2": 2, "v3": 3, "v4": 4, "v5": 5} == of(store)


def test_farms_that_share_a_store_give_slots_one_after_another(store: Store) -> None:
    for number in range(4, 24):
        add_version(store, f"v{number}", number)
    threads = [threading.Thread(target=prepare, args=[Store(store.directory)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {f"v{number}": number for number in range(1, 24)} == of(store)


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_text("{"), lambda path: path.write_bytes(b'{"last": "\xff"')]
)
def test_a_damaged_record_is_named_with_what_mends_it(store: Store, damage: Callable[[Path], None]) -> None:
    path = store.directory / ".aoe" / "slots.json"
    damage(path)

    for attempt in (lambda: prepare(store), lambda: of(store)):
        with pytest.raises(FarmError) as caught:
            attempt()
        assert f"Remove {path}, bring the farm up again (sudo farm up)" in caught.value.fix


@given(NAMES, NAMES, st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, MAX_SLOT)))
def test_no_two_versions_share_a_slot_and_none_moves(one: list[str], two: list[str], former: dict[str, int]) -> None:
    first = slots.given(SlotTable(), one, former)
    second = slots.given(first, two, former)

    for names, found in ((one, first), (two, second)):
        assert {*names} == {*found.slots}
        assert len(names) == len({*found.slots.values()})
        assert all(0 < slot <= MAX_SLOT for slot in found.slots.values())
    assert all(first.slots[name] == second.slots[name] for name in {*one} & {*two})
    new = [slot for name, slot in second.slots.items() if name not in one and name not in former]
    assert not {*new} & {*first.slots.values()}
