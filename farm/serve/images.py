"""Build, choose and remove image versions, also while the farm is up and serves them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from farm.config import Config
from farm.errors import FarmError
from farm.export import prepare
from farm.home import Home
from farm.image.apt_sources import host_sources
from farm.image.build import build, current_inputs
from farm.image.kinds import ImageKind, find
from farm.image.store import Manifest, Store
from farm.image.uses import note_user, noted
from farm.instance import Instance
from farm.serve import preflight
from farm.serve.healing import Report
from farm.serve.up import exclusive, instance_or_none, services, write_files
from farm.serve.versions import versions_in_use
from farm.supervisor import Supervisor
from farm.virtual.namespace import enter


def outdated_images(home: Home, instance: Instance) -> list[str]:
    """Of the images that next boots get, those built from other inputs than a build would use now; by kind."""
    store, sources = Store(home.images), host_sources()
    return [
        kind
        for kind, image in instance.images.items()
        if store.get(image).inputs != current_inputs(find(kind), instance.config, sources).all
    ]


def build_image(
    home: Home, kind: ImageKind, config: Config, report: Report, *, force: bool, refresh: bool
) -> tuple[Manifest, bool]:
    """Build a kind's image unless it is up to date, and let a farm that is up serve it to next boots."""
    home.create()
    manifest, built = build(
        home, kind, config, report, in_use=lambda: versions_in_use(home), force=force, refresh=refresh
    )
    with exclusive(home, wait=True):
        _serve_selected(home)
    return manifest, built


def switch_image(home: Home, choose: Callable[[Store], str]) -> str:
    """Change which image next boots of a kind get, in the store and in a farm that is up; returns the image."""
    preflight.require_root("farm image")
    store = Store(home.images)
    with exclusive(home, wait=True):
        with store.lock():
            image = choose(store)
        _serve_selected(home)
    return image


def remove_image(home: Home, image: str) -> None:
    """Delete a version that no node of any farm runs, and end its export."""
    preflight.require_root("farm image remove")
    store = Store(home.images)
    with exclusive(home, wait=True):
        with store.lock():
            in_use = versions_in_use(home)
            if image in in_use and image != store.selected(store.get(image).kind):
                raise FarmError(f"{image} is in use.", in_use[image].why, in_use[image].mend)
            store.remove(image, in_use=in_use)
        _serve_selected(home)


def _serve_selected(home: Home) -> None:
    """Let the exports get ready for what is in the store now, and a farm that is up serve the selected images.

    To be called under the lock of `exclusive`: else a farm that is taken down meanwhile would be noted as up.
    """
    store = Store(home.images)
    prepare(store)
    old = instance_or_none(home)
    if old is None:
        return
    selected = {kind: store.selected(kind) or image for kind, image in old.images.items()}
    instance = msgspec.structs.replace(old, images=selected)
    instance.save(home)
    user = noted(store, home)
    note_user(store, home, kept=user.kept, served=[*user.served, *selected.values()])
    write_files(home, instance)
    supervisor = Supervisor(home)
    if supervisor.alive:
        supervisor.converge(services(home, instance), prefix=enter(instance, home), power_on=False)
