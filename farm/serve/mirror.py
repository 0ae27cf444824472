"""The second boot server of a lab: it holds the versions that the first one publishes, exported as there."""

from __future__ import annotations

import shutil

from msgspec import Struct

from farm.config import FIRST_KIND, Config
from farm.errors import FarmError
from farm.export import adopt, require_room
from farm.home import Home
from farm.image.prebuilt import pull
from farm.image.prebuilt.index import Index
from farm.image.prebuilt.signers import Ask, Signers
from farm.image.store import Store
from farm.serve.healing import Report
from farm.serve.versions import versions_in_use


class Mirrored(Struct, frozen=True, kw_only=True):
    """What changed when the store was made the same; versions as they are called here."""

    publisher: str
    serial: int
    fetched: list[str]
    removed: list[str]
    chosen: list[str]
    """Those for next boots that were others before."""

    @property
    def changed(self) -> bool:
        """Whether anything is to be served now that was not."""
        return bool(self.fetched or self.removed or self.chosen)


def mirror(home: Home, config: Config, ask: Ask, report: Report, *, last: int = 0) -> Mirrored:
    """Make the store hold what the other server publishes: the same versions, in the same slots, with the same choice.

    What that one has no more goes, unless a node runs it. What was built here stays. Nothing is done where the serial
    is still the ``last`` one: all files of the store are read otherwise. Raises FarmError.
    """
    if not config.mirror:
        raise FarmError(
            "farm.yaml names no server to mirror.", "", "Set `mirror` to the address that `farm image publish` says."
        )
    store = Store(home.images)
    report("fetching the index", config.mirror)
    with pull.pulling(store) as scratch:
        index, signer = pull.fetch_index(config.mirror, Signers(home), ask)
        if index.serial == last:
            return Mirrored(publisher=index.publisher, serial=last, fetched=[], removed=[], chosen=[])
        manifests = {label: pull.fetch_manifest(config.mirror, index, signer, label) for label in index.versions}
        known = {manifests[label].image: each.exports for label, each in index.versions.items()}
        adopt(store, known)
        fetched = []
        for label, manifest in manifests.items():
            if not store.has(manifest):
                folder = pull.fetch_files(config.mirror, manifest, scratch, report)
                with store.lock():
                    require_room(store)
                    # Again: whoever has looked meanwhile has taken a slot without a version for a free one.
                    adopt(store, known)
                    store.add(folder, manifest)
                shutil.rmtree(scratch / label, ignore_errors=True)
                fetched.append(manifest.image)
    with store.lock():
        chosen = _choose(store, index)
        removed = _remove_others(home, store, index, set(known))
    return Mirrored(publisher=index.publisher, serial=index.serial, fetched=fetched, removed=removed, chosen=chosen)


def _choose(store: Store, index: Index) -> list[str]:
    wanted = [label.removeprefix(f"{FIRST_KIND}/") for label in index.selected.values()]
    return [store.use(image) for image in wanted if store.selected(store.get(image).name) != image]


def _remove_others(home: Home, store: Store, index: Index, kept: set[str]) -> list[str]:
    """Remove what came from there and is not there any more."""
    in_use, selected = versions_in_use(home), store.selections().values()
    gone = [
        manifest.image
        for manifest in store.list()
        if manifest.publisher == index.publisher and manifest.image not in {*kept, *in_use, *selected}
    ]
    for image in gone:
        store.remove(image, in_use)
    return gone
