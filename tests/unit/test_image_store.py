"""The image store: which version next boots get, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.config import FIRST_KIND
from farm.errors import FarmError
from farm.image.store import FILES, FileEntry, Manifest, Selection, Store, sha256


def add(store: Store, version: str, *, inputs: str = "same", built: float | None = None) -> Manifest:
    """A version with real, small files."""
    folder = store.directory / ".build" / version
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(f"{name} of {version}")
    manifest = Manifest(
        version=version,
        built=len(store.list()) + 1 if built is None else built,
        seconds=1.5,
        inputs=inputs,
        base="base",
        kernel="6.1.0-1-amd64",
        packages={"icecc": "1.4-1"},
        files={name: FileEntry((folder / name).stat().st_size, sha256(folder / name)) for name in FILES},
    )
    store.add(folder, manifest)
    return manifest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three versions, the newest chosen."""
    store = Store(tmp_path)
    for version in ("1.1", "1.2", "1.3"):
        add(store, version, inputs=f"inputs of {version}")
        store.use(version)
    return store


def refusal(caught: pytest.ExceptionInfo[FarmError]) -> tuple[str, str]:
    return caught.value.what, caught.value.fix


def test_an_empty_store_has_no_choice_and_no_versions(tmp_path: Path) -> None:
    store = Store(tmp_path / "missing")

    assert [] == store.list()
    assert Selection() == store.selection(FIRST_KIND)


def test_versions_are_listed_as_they_were_built_and_found_by_their_inputs(store: Store) -> None:
    again = add(store, "1.10", inputs="inputs of 1.1")

    assert ["1.1", "1.2", "1.3", "1.10"] == [manifest.version for manifest in store.list()]
    assert again == store.with_inputs(FIRST_KIND, "inputs of 1.1")
    assert store.with_inputs(FIRST_KIND, "others") is None
    assert again == store.get("1.10")


@pytest.mark.parametrize("version", ["1.9", "", "..", "../1.1", ".build", "1.1/", "x" * 300, "a\nb"])
def test_a_version_that_is_not_there_is_named_with_those_that_are(store: Store, version: str) -> None:
    with pytest.raises(FarmError) as caught:
        store.get(version)

    assert f"There is no image version {version}." == caught.value.what
    assert "In the store: 1.1, 1.2, 1.3." == caught.value.why


def test_rollback_goes_back_step_by_step_and_then_says_no(store: Store) -> None:
    assert "1.2" == store.rollback(FIRST_KIND)
    assert "1.1" == store.rollback(FIRST_KIND)
    with pytest.raises(FarmError) as caught:
        store.rollback(FIRST_KIND)

    assert (
        "There is no earlier version of icecream-node to go back to.",
        "List them: farm image list icecream-node",
    ) == refusal(caught)
    assert "1.1" == store.selected(FIRST_KIND)


def test_rollback_passes_over_versions_that_were_removed(store: Store) -> None:
    store.remove("1.2", in_use=())

    assert "1.1" == store.rollback(FIRST_KIND)


def test_choosing_the_same_again_changes_nothing(store: Store) -> None:
    before = store.selection(FIRST_KIND)

    assert "1.3" == store.use("1.3")
    assert before == store.selection(FIRST_KIND)


def test_choosing_an_old_one_keeps_the_way_back(store: Store) -> None:
    store.use("1.1")

    assert Selection("1.1", ["1.3", "1.2"]) == store.selection(FIRST_KIND)
    assert "1.3" == store.rollback(FIRST_KIND)


def test_what_next_boots_get_cannot_be_removed(store: Store) -> None:
    with pytest.raises(FarmError) as caught:
        store.remove("1.3", in_use=())

    assert ("1.3 is chosen for next boots.", "Choose another first: sudo farm image use VERSION") == refusal(caught)
    assert store.get("1.3")


def test_what_a_node_runs_cannot_be_removed(store: Store) -> None:
    with pytest.raises(FarmError) as caught:
        store.remove("1.2", in_use={"1.2"})

    assert "1.2 is in use." == caught.value.what
    assert store.get("1.2")


def test_a_removed_version_is_gone(store: Store) -> None:
    store.remove("1.2", in_use={"1.1"})

    assert not store.path("1.2").exists()
    assert ["1.1", "1.3"] == [manifest.version for manifest in store.list()]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_version_is_neither_verified_nor_chosen_nor_rolled_back_to(
    store: Store, name: str, damage: str
) -> None:
    path = store.path("1.2") / name
    content = path.read_bytes()
    if damage == "flip":
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "truncate":
        path.write_bytes(content[:-1])
    else:
        path.unlink()

    for attempt in (lambda: store.verify("1.2"), lambda: store.use("1.2"), lambda: store.rollback(FIRST_KIND)):
        with pytest.raises(FarmError) as caught:
            attempt()
        assert f"Image 1.2 is damaged: {name} has changed since it was built." == caught.value.what
        assert "sudo farm image use VERSION" in caught.value.fix
    assert "1.3" == store.selected(FIRST_KIND)
    store.verify("1.3")


@pytest.mark.parametrize("text", ["", "{", '{"version": 3}', "\0\xff"])
def test_a_damaged_manifest_is_named_with_what_mends_it(store: Store, text: str) -> None:
    path = store.path("1.1") / "manifest.json"
    path.write_text(text)

    with pytest.raises(FarmError) as caught:
        store.get("1.1")

    assert f"The manifest {path} cannot be read." == caught.value.what
    assert f"Remove the folder {path.parent} and build again: sudo farm image build" == caught.value.fix


@pytest.mark.parametrize("damaged", [b"{", b'{"current": "\xff"}'], ids=["cut off", "foul"])
def test_a_damaged_choice_is_named_with_what_mends_it(store: Store, damaged: bytes) -> None:
    (store.directory / "selection.json").write_bytes(damaged)

    with pytest.raises(FarmError) as caught:
        store.selection(FIRST_KIND)

    assert "The record of the chosen image version cannot be read." == caught.value.what
    assert "sudo farm image use VERSION" in caught.value.fix


def test_a_half_written_version_is_no_version(store: Store) -> None:
    (store.directory / "1.4").mkdir()
    (store.directory / "1.4" / "kernel").write_text("half")

    assert ["1.1", "1.2", "1.3"] == [manifest.version for manifest in store.list()]


def test_only_one_command_at_a_time_changes_the_store(store: Store) -> None:
    with store.lock():
        with pytest.raises(FarmError) as caught, Store(store.directory).lock():
            pass
        assert "Another command is building or changing images." == caught.value.what

    with Store(store.directory).lock():
        pass


@pytest.mark.parametrize(
    ("keep", "in_use", "left"),
    [
        (9, set(), ["1.1", "1.2", "1.3"]),
        (1, set(), ["1.2", "1.3"]),
        (0, set(), ["1.3"]),
        (0, {"1.1"}, ["1.1", "1.3"]),
    ],
)
def test_old_versions_go_but_none_that_is_chosen_or_run(
    store: Store, keep: int, in_use: set[str], left: list[str]
) -> None:
    store.prune(FIRST_KIND, keep, in_use)

    assert left == [manifest.version for manifest in store.list()]
